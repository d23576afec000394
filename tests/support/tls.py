"""Certificates for tests, of an authority that lives as long as they do."""

import atexit
import base64
import hashlib
import shutil
import ssl
import tempfile
from functools import cache
from pathlib import Path

import trustme
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import load_pem_x509_certificate

from broker.gateway.certificates import TlsFiles

HERE = ("localhost", "127.0.0.1")


@cache
def authority() -> trustme.CA:
    """Who signs them."""
    return trustme.CA()


@cache
def files() -> TlsFiles:
    """A certificate for this machine."""
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return issue(folder)


def issue(folder: Path, *names: str) -> TlsFiles:
    """A new certificate for *names*, in *folder*."""
    made = authority().issue_cert(*(names or HERE))
    certificate, key = folder / "cert.pem", folder / "key.pem"
    made.cert_chain_pems[0].write_to_path(certificate)
    made.private_key_pem.write_to_path(key)
    return TlsFiles(certificate, key)


def trust() -> ssl.SSLContext:
    """What a client has that trusts the authority."""
    context = ssl.create_default_context()
    authority().configure_trust(context)
    return context


def pin(made: TlsFiles) -> str:
    """The SHA-256 of its public key in base64, by which a browser trusts it."""
    key = load_pem_x509_certificate(made.certificate.read_bytes()).public_key()
    spki = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(spki).digest()).decode()
