"""A certificate authority of this installation: made once, so that who trusts it goes on to.

It is for where there is no other: a laptop, a laboratory, a test.
"""

import asyncio
import fcntl
import os
import re
import socket
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from secrets import token_hex

import structlog
import trustme
from cryptography import x509
from cryptography.exceptions import InvalidSignature

from broker.errors import SettingsError

logger = structlog.get_logger()

LASTS = timedelta(days=397)  # a certificate; browsers take none that lasts longer
RENEWED = timedelta(days=60)  # before its end
LOOK = 3600.0  # s between looks at how long it lasts
ALWAYS = ("localhost", "127.0.0.1", "::1")
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_NAME = re.compile(rf"(?:\*\.)?{_LABEL}(?:\.{_LABEL})*")
EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 -- addresses that are none to connect to


def names_of(host: str, more: Sequence[str]) -> tuple[str, ...]:
    """Under which names a server is found that listens at *host*, and is known by *more*."""
    wanted = (*ALWAYS, socket.gethostname(), host, *more)
    found = [_plain(name) for name in wanted if name not in EVERYWHERE and _can_be_certified(name)]
    return tuple(dict.fromkeys(found))


def _can_be_certified(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return _NAME.fullmatch(name) is not None
    return True


def _plain(name: str) -> str:
    try:
        return str(ip_address(name))
    except ValueError:
        return name.lower()


class Authority:
    """In *folder*: `ca.pem` to trust, its key, and a certificate for *names* in `server.pem`."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self._folder, self._names = folder, names
        self.trusted = folder / "ca.pem"
        self.certificate = folder / "server.pem"  # its key, too
        self._key = folder / "ca.key"

    def renew(self) -> None:
        """Have an authority, and a certificate that lasts for a while. Raises `SettingsError`."""
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with _alone(self._folder):
                if not self._is_good():
                    self._issue(self._authority())
                    if not self._is_good():
                        raise self._broken("they do not belong together")
        except OSError as error:
            why = (error.strerror or str(error)).lower()
            raise SettingsError(f"QJB_TLS: {self._folder} can not be used: {why}") from error

    async def watch(self) -> None:
        """Renew the certificate in time, for as long as the server runs."""
        while True:
            await asyncio.sleep(LOOK)
            try:
                await asyncio.to_thread(self.renew)
            except SettingsError as error:
                logger.warning("certificate.not_renewed", reason=error.message)

    def _authority(self) -> trustme.CA:
        if not self.trusted.exists() and not self._key.exists():
            name = f"qjb on {socket.gethostname()[:40]} {token_hex(4)}"
            made = trustme.CA(organization_name="quantum-job-broker", organization_unit_name=name)
            _write(self._key, made.private_key_pem.bytes())
            _write(self.trusted, made.cert_pem.bytes())
            return made
        try:
            return trustme.CA.from_pem(self.trusted.read_bytes(), self._key.read_bytes())
        except (OSError, ValueError) as error:
            raise self._broken(error) from error

    def _broken(self, why: object) -> SettingsError:
        return SettingsError(
            f"QJB_TLS: {self.trusted} and {self._key.name} can not be used: {why}. Where both are "
            "missing, a new authority is made, which clients then have to trust"
        )

    def _issue(self, authority: trustme.CA) -> None:
        now = datetime.now(UTC)
        made = authority.issue_cert(
            *self._names, not_before=now - timedelta(days=1), not_after=now + LASTS
        )
        _write(self.certificate, made.private_key_and_cert_chain_pem.bytes())
        logger.info("certificate.made", file=str(self.certificate), names=self._names)

    def _is_good(self) -> bool:
        """Whether there is a certificate of the authority, for all names, and for a while."""
        try:
            found = x509.load_pem_x509_certificate(self.certificate.read_bytes())
            found.verify_directly_issued_by(
                x509.load_pem_x509_certificate(self.trusted.read_bytes())
            )
            said = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        except (OSError, ValueError, TypeError, x509.ExtensionNotFound, InvalidSignature):
            return False
        known = {str(name.value).lower() for name in said}
        lasts = found.not_valid_after_utc - datetime.now(UTC) > RENEWED
        return lasts and known.issuperset(self._names)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """No other process makes anything in *folder* while the block runs."""
    with os.fdopen(os.open(folder / "lock", os.O_WRONLY | os.O_CREAT, 0o600), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _write(path: Path, data: bytes) -> None:
    """Put *data* there as a whole, for its owner alone."""
    new = path.with_name(f"{path.name}.new")
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
