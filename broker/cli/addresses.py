"""What says where a gateway is: its URL, the paths below it, the token, whom to trust."""

import ssl
from urllib.parse import quote, urlsplit

from broker.cli.answers import AnswerError, GatewayMissingError
from broker.errors import SettingsError
from broker.shown import url_visible

UNKNOWN_AUTHORITY = (18, 19, 20, 21)  # of OpenSSL: self-signed, or of an issuer that is not known


def gateway_url(url: str) -> str:
    """*url*, if it can be a gateway's; without a slash at its end."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "?" in url or "#" in url:
        shown = url_visible(url)
        raise GatewayMissingError(
            f"{shown!r} is no URL of a gateway, such as http://127.0.0.1:8080"
        )
    return url.rstrip("/")


def segment(text: str) -> str:
    """*text* as one segment of a path."""
    if text in ("", ".", ".."):  # it would mean another path
        raise AnswerError(404, "not_found", f"nothing has the name {text!r}")
    return quote(text, safe="", errors="surrogateescape")


def sendable(token: str) -> str:
    """*token*, if it can be one. Raises `SettingsError`; it says nothing of what the token is."""
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise SettingsError("QJB_TOKEN: what it has is no token")
    return token


def trusted(ca_file: str | None) -> ssl.SSLContext | bool:
    """Whom to trust: those that the system does, and those in *ca_file*."""
    if ca_file is None:
        return True
    trust = ssl.create_default_context()
    try:
        trust.load_verify_locations(ca_file)
    except ssl.SSLError as error:
        raise SettingsError(f"QJB_CA_FILE: {ca_file} has no certificate in PEM") from error
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise SettingsError(f"QJB_CA_FILE: {ca_file} can not be read: {why}") from error
    return trust


def why_untrusted(found: Exception) -> str:
    """What is wrong with a certificate, and what can be done."""
    said = getattr(found, "verify_message", "") or str(found)
    if getattr(found, "verify_code", 0) in UNKNOWN_AUTHORITY:
        said += (
            "; --ca FILE (QJB_CA_FILE) names an authority to trust, which of `qjb up --tls` is "
            "tls/ca.pem in its data folder"
        )
    return said
