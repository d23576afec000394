"""Foreign tools in environments of their own, from the package index: nothing of ours is there.

Each is made once and kept in the user's cache folder, by what it was asked to have.
"""

import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

from platformdirs import user_cache_path

HERE = f"3.{sys.version_info.minor}"


class NoPythonError(Exception):
    """There is no such Python on this machine."""


def environment(name: str, *requirements: str, python: str = HERE) -> Path:
    """The Python of an environment that has *requirements* and what they need, and nothing else.

    *name* is for people; equal *requirements* are one environment. Takes a minute the first time.
    Raises `NoPythonError` if that version of *python* is not here.
    """
    asked = json.dumps([python, sorted(requirements)])
    digest = hashlib.sha256(asked.encode()).hexdigest()[:12]
    folder = user_cache_path("quantum-job-broker") / "environments" / f"{name}-{digest}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open(
        "w"
    ) as lock:  # several test runs may want it at once
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "complete").exists():
            _make(folder, interpreter(python), requirements)
    return folder / "bin" / "python"


def interpreter(version: str) -> Path:
    """The Python of that version, such as "3.9". Raises `NoPythonError`."""
    if version == HERE:
        return Path(sys.base_prefix) / "bin" / f"python{version}"
    versions = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    on_path = shutil.which(f"python{version}")
    found = [str(path) for path in versions.glob(f"{version}.*/bin/python{version}")]
    for path in [*found, *([on_path] if on_path else [])]:
        if subprocess.run([path, "-c", ""], capture_output=True, check=False).returncode == 0:
            return Path(path)
    raise NoPythonError(f"there is no Python {version} here")


def output(python: Path, script: Path, *arguments: str, given: str = "", **variables: str) -> str:
    """What *script* prints there. Nothing can be imported from where it stands."""
    done = subprocess.run(
        [str(python), "-I", str(script), *arguments],
        input=given,
        capture_output=True,
        text=True,
        check=False,
        cwd=python.parent,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def today(url: str, token: str = "any") -> dict[str, str]:
    """The variables that point today's client at *url*, and nothing else has to."""
    variables = dict.fromkeys(("IAM_URL", "GLOBAL_SEARCH_URL", "GLOBAL_CATALOG_URL"), url)
    return variables | {"QISKIT_IBM_URL": f"{url}/experimental", "QISKIT_IBM_TOKEN": token}


def _make(folder: Path, base: Path, requirements: tuple[str, ...]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(interpreter(HERE)), "-m", "pip", "--python", str(folder / "bin" / "python")]
    for command in (
        [str(base), "-m", "venv", "--without-pip", str(folder)],
        # What is imported is compiled then; to compile all else would take as long as the rest.
        [*pip, "install", "-q", "--no-compile", *requirements],
    ):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (folder / "complete").touch()
