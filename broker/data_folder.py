"""Where a process keeps what is its own."""

import os
from pathlib import Path

from broker.errors import SettingsError
from broker.transports.files import make_folder


def make_data_folder(folder: Path) -> None:
    """Make it, for this user alone, if it is not there. Raises `SettingsError`."""
    try:
        make_folder(folder)
    except OSError as error:
        why = os.strerror(error.errno or 0).lower()
        raise SettingsError(f"QJB_DATA: the folder {folder} can not be used: {why}") from error
