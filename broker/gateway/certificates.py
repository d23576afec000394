"""The certificate that a gateway shows, read from its files, and again when they change."""

import asyncio
import ssl
from dataclasses import dataclass
from pathlib import Path

import structlog

from broker.errors import SettingsError

logger = structlog.get_logger()

LOOK = 2.0  # s between looks at the files
CERTIFICATE, KEY = "QJB_TLS_CERT", "QJB_TLS_KEY"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a certificate and its key are, both in PEM; by default in one file."""

    certificate: Path
    key: Path | None = None

    def context(self) -> ssl.SSLContext:
        """What they say, for new connections. Raises `SettingsError` that names what is wrong."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)  # TLS 1.2 or later
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        self._check()
        try:
            context.load_cert_chain(self.certificate, self.key, password=self._refuse)
        except OSError as error:  # also what OpenSSL finds
            raise SettingsError(self._rule(error)) from error
        return context

    def stamp(self) -> tuple[object, ...]:
        """Changes when a file does."""
        return tuple(map(_stamp, filter(None, (self.certificate, self.key))))

    def _check(self) -> None:
        certificate = _read(self.certificate, CERTIFICATE)
        if b"-----BEGIN CERTIFICATE-----" not in certificate:
            raise SettingsError(f"{CERTIFICATE}: {self.certificate} has no certificate in PEM")
        key = certificate if self.key is None else _read(self.key, KEY)
        if b"PRIVATE KEY-----" not in key:
            where = f"{KEY}: {self.key} has no key in PEM"
            none = f"{KEY}: it names no file, and {self.certificate} has no key in it"
            raise SettingsError(none if self.key is None else where)

    def _refuse(self) -> str:
        """Asked for a passphrase, of which there is none: else OpenSSL asks at the terminal."""
        raise SettingsError(
            f"{KEY}: the key in {self.key or self.certificate} has a passphrase; it must have none"
        )

    def _rule(self, error: OSError) -> str:
        reason = getattr(error, "reason", None) or str(error)
        if reason == "KEY_VALUES_MISMATCH":
            key, where = self.key or self.certificate, self.certificate
            return f"{KEY}: the key in {key} is not that of the certificate in {where}"
        broken = f"{self.certificate} or its key can not be read"
        return f"{CERTIFICATE}: {broken}: {reason.lower().replace('_', ' ')}"


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise SettingsError(f"{setting}: {path} can not be read: {why}") from error


class Certificate:
    """What new connections are shown. Those that are open keep what they were shown."""

    def __init__(self, files: TlsFiles) -> None:
        self._files = files
        self._stamp = files.stamp()
        self.context = files.context()

    async def watch(self, look: float = LOOK) -> None:
        """Take over what the files say when they change, for as long as the server runs."""
        while True:
            await asyncio.sleep(look)
            await asyncio.to_thread(self._look)

    def _look(self) -> None:
        if (stamp := self._files.stamp()) == self._stamp:
            return
        self._stamp = stamp
        try:
            self.context = self._files.context()
        except SettingsError as error:  # they may be half written
            logger.warning("certificate.not_changed", reason=error.message)
        else:
            logger.info("certificate.changed", file=str(self._files.certificate))
