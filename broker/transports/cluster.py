"""How to reach a Kafka cluster, as its URL says."""

import re
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from broker.errors import SettingsError
from broker.shown import url_visible

MECHANISMS = ("SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN")


@dataclass(frozen=True, slots=True)
class Cluster:
    """Servers to ask first, and who we are."""

    servers: tuple[str, ...]  # host:port
    tls: bool = False
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    mechanism: str = MECHANISMS[0]
    ca_file: str | None = None

    def options(self) -> dict[str, Any]:
        """The arguments that every client of the cluster takes. Raises `SettingsError`."""
        options: dict[str, Any] = {"bootstrap_servers": list(self.servers)}
        if self.tls:
            options["ssl_context"] = self._trust()
        protocol = "SSL" if self.tls else "PLAINTEXT"
        if self.user is not None:
            protocol = f"SASL_{protocol}"
            options |= {
                "sasl_mechanism": self.mechanism,
                "sasl_plain_username": self.user,
                "sasl_plain_password": self.password,
            }
        return options | {"security_protocol": protocol}

    def _trust(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=self.ca_file)
        except OSError as error:  # also where it is no certificate
            why = error.strerror or error
            raise SettingsError(
                f"QJB_LOG: ca_file {self.ca_file} can not be used: {why}"
            ) from error

    def __str__(self) -> str:
        return ",".join(self.servers)


def cluster_of(url: str) -> Cluster:
    """The cluster at *url*; raises `SettingsError`.

    `kafka://[user:password@]host:port,host:port[?mechanism=…][&ca_file=…]`; `kafkas://` with TLS.
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
    if set(asked) - {"mechanism", "ca_file"}:
        raise SettingsError(
            f"QJB_LOG: after ? {url_visible(url)} may have mechanism and ca_file only"
        )
    mechanism = asked.get("mechanism", MECHANISMS[0]).upper()
    if mechanism not in MECHANISMS:
        named = f" {mechanism}" if re.fullmatch("[A-Z0-9_-]{1,20}", mechanism) else ""
        raise SettingsError(f"QJB_LOG: mechanism{named} is none of {', '.join(MECHANISMS)}")
    user, _, password = who.partition(":")
    return Cluster(
        servers,
        tls=scheme == "kafkas",
        user=unquote(user) if who else None,
        password=unquote(password) if who else None,
        mechanism=mechanism,
        ca_file=asked.get("ca_file"),
    )


def _server(text: str, url: str) -> str:
    host, colon, port = text.rpartition(":")
    if not colon:
        host, port = text, "9092"
    if not host or not (port.isascii() and port.isdecimal()) or not 0 < int(port[:6]) < 65536:
        shown = url_visible(url)
        what = repr(text) if shown == url else f"what follows {shown.partition('://')[0]}:// and @"
        raise SettingsError(f"QJB_LOG: {what} is no host:port of a Kafka server")
    return f"{host}:{port}"
