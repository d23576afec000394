"""How to reach a Kafka cluster, as its URL says."""

import re
import ssl
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from broker.errors import SettingsError
from broker.shown import url_visible

TOKENS = "OAUTHBEARER"
MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN", TOKENS)
MOST_SECRET = 64 * 1024  # bytes of a password's file that are read
_OF_ALL = {"mechanism", "ca_file", "password_file"}
_OF_TOKENS = {"token_url", "scope"}
_EXTENSION = re.compile("extension_(?!auth$)[A-Za-z]+")  # RFC 7628, 3.1
_PRINTED = re.compile(r"[\x21-\x7e\t ]+")


@dataclass(frozen=True, slots=True)
class Grant:
    """Where and for what tokens are asked for, and what Kafka is told with one."""

    token_url: str
    scope: str = ""
    extensions: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Cluster:
    """Servers to ask first, and who we are: a user, or a client that the issuer of tokens knows."""

    servers: tuple[str, ...]  # host:port
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    mechanism: str = MECHANISMS[0]
    ca_file: str | None = None
    password_file: str | None = None
    grant: Grant | None = None

    def options(self) -> dict[str, Any]:
        """The arguments that every client of the cluster takes, but for who has its tokens.

        Reads files. Raises `SettingsError`.
        """
        options: dict[str, Any] = {"bootstrap_servers": list(self.servers)}
        if self.tls:
            options["ssl_context"] = self._trust(ssl.create_default_context)
        protocol = "SSL" if self.tls else "PLAINTEXT"
        if self.user is not None:
            protocol = f"SASL_{protocol}"
            options |= {"sasl_mechanism": self.mechanism}
            password = self.secret()
            if self.grant is None:
                options |= {"sasl_plain_username": self.user, "sasl_plain_password": password}
        return options | {"security_protocol": protocol}

    def secret(self) -> str:
        """The password, or the client's secret. Reads a file; raises `SettingsError`."""
        if self.password_file is None:
            return self.password or ""
        try:
            with Path(self.password_file).open("rb") as file:
                return file.read(MOST_SECRET).decode().rstrip("\r\n")
        except (OSError, ValueError) as error:
            raise _unusable("password_file", self.password_file, error) from error

    def trust_of_issuers(self) -> ssl.SSLContext | None:
        """Whom to trust where tokens are asked for: those that the system does, and *ca_file*'s.

        Reads files. Raises `SettingsError`.
        """
        if not self.ca_file:
            return None
        context = ssl.create_default_context()
        self._trust(context.load_verify_locations)
        return context

    def _trust(self, load: Any) -> Any:
        try:
            return load(cafile=self.ca_file)
        except OSError as error:  # also where it is no certificate
            raise _unusable("ca_file", self.ca_file, error) from error

    def __str__(self) -> str:
        return ",".join(self.servers)


def cluster_of(url: str) -> Cluster:
    """The cluster at *url*; raises `SettingsError`.

    `kafka://[user[:password]@]host:port,host:port[?mechanism=…][&ca_file=…][&password_file=…]`, and
    for `mechanism=OAUTHBEARER` `&token_url=…[&scope=…][&extension_NAME=…]`; `kafkas://` with TLS.
    """
    scheme, _, rest = url.partition("://")
    place, _, query = rest.partition("?")
    who, _, hosts = place.rstrip("/").rpartition("@")
    if "@" in who or "/" in who:
        raise SettingsError(
            f"QJB_LOG: in {url_visible(url)}, what is no letter or digit in a user or password "
            "is to be percent-encoded: @ is %40, / is %2F"
        )
    servers = tuple(_server(host.strip(), url) for host in hosts.split(","))
    asked = {name: values[-1] for name, values in parse_qs(query, keep_blank_values=True).items()}
    mechanism = _mechanism(asked.get("mechanism", MECHANISMS[0]).upper())
    user, has_password, password = who.partition(":")
    if "password_file" in asked and (has_password or not user):
        raise SettingsError("QJB_LOG: password_file is for a user without a password in the URL")
    return Cluster(
        servers,
        tls=scheme == "kafkas",
        user=unquote(user) if who else None,
        password=unquote(password) if who else None,
        mechanism=mechanism,
        ca_file=asked.get("ca_file"),
        password_file=asked.get("password_file"),
        grant=_grant(asked, mechanism, user, url),
    )


def _mechanism(asked: str) -> str:
    if asked not in MECHANISMS:
        named = f" {asked}" if re.fullmatch("[A-Z0-9_-]{1,20}", asked) else ""
        raise SettingsError(f"QJB_LOG: mechanism{named} is none of {', '.join(MECHANISMS)}")
    return asked


def _grant(asked: dict[str, str], mechanism: str, user: str, url: str) -> Grant | None:
    """How tokens are come by, if they are; and whether *asked* has nothing but what is known."""
    extensions = {name: value for name, value in asked.items() if _EXTENSION.fullmatch(name)}
    of_tokens = mechanism == TOKENS
    if set(asked) - set(extensions) - _OF_ALL - _OF_TOKENS:
        raise SettingsError(
            f"QJB_LOG: after ? {url_visible(url)} may have mechanism, ca_file and password_file, "
            f"and for {TOKENS} token_url, scope and extension_NAME only"
        )
    if not of_tokens:
        if extensions or _OF_TOKENS & set(asked):
            raise SettingsError(
                f"QJB_LOG: token_url, scope and extension_NAME are for mechanism={TOKENS}"
            )
        return None
    token_url = asked.get("token_url", "")
    if not user or not token_url:
        raise SettingsError(
            f"QJB_LOG: for {TOKENS} the URL has a client's id before the @, and token_url"
        )
    if not _is_safe(token_url):
        raise SettingsError(
            "QJB_LOG: token_url is no https:// URL with a host and without a user (http:// is for "
            "this machine alone)"
        )
    if not all(map(_PRINTED.fullmatch, extensions.values())):
        raise SettingsError("QJB_LOG: extension_NAME is empty, or not of printable ASCII alone")
    named = tuple((name.removeprefix("extension_"), value) for name, value in extensions.items())
    return Grant(token_url, asked.get("scope", ""), named)


def _is_safe(url: str) -> bool:
    """Whether a secret may be sent to *url*: nobody else can read it on the way."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        return False
    if not host or "@" in parts.netloc or parts.fragment or not url.isprintable() or " " in url:
        return False
    return parts.scheme == "https" or (parts.scheme == "http" and _is_here(host))


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _unusable(name: str, path: str | None, error: Exception) -> SettingsError:
    why = getattr(error, "strerror", None) or error
    return SettingsError(f"QJB_LOG: {name} {path} can not be used: {why}")


def _server(text: str, url: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, "9092"
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port[:6]) < 65536:
        shown = url_visible(url)
        what = repr(text) if shown == url else f"what follows {shown.partition('://')[0]}:// and @"
        raise SettingsError(f"QJB_LOG: {what} is no host:port of a Kafka server")
    return f"{host}:{port}"
