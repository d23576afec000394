"""An authority of an installation's own."""

import stat
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme
from cryptography import x509

from broker.authority import ALWAYS, Authority, names_of
from broker.errors import SettingsError


def made(folder: Path, names: Sequence[str] = ALWAYS) -> Authority:
    authority = Authority(folder, names)
    authority.renew()
    return authority


def shown(authority: Authority) -> x509.Certificate:
    return x509.load_pem_x509_certificate(authority.certificate.read_bytes())


def test_it_is_made_once_and_its_certificate_too(tmp_path: Path) -> None:
    first = made(tmp_path / "tls")
    before = {file.name: file.read_bytes() for file in (tmp_path / "tls").iterdir()}
    made(tmp_path / "tls")

    assert {file.name: file.read_bytes() for file in (tmp_path / "tls").iterdir()} == before
    assert timedelta(days=395) < shown(first).not_valid_after_utc - datetime.now(UTC)
    assert {stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "tls").iterdir()} == {0o600}
    assert stat.S_IMODE((tmp_path / "tls").stat().st_mode) == 0o700


def test_other_names_get_another_certificate_of_the_same_authority(tmp_path: Path) -> None:
    authority = made(tmp_path)
    trusted = authority.trusted.read_bytes()
    authority = made(tmp_path, (*ALWAYS, "qjb.example.org"))

    said = shown(authority).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert "qjb.example.org" in {str(name.value) for name in said.value}
    assert authority.trusted.read_bytes() == trusted


def test_a_certificate_that_runs_out_is_made_anew(tmp_path: Path) -> None:
    authority = made(tmp_path)
    ca = trustme.CA.from_pem(authority.trusted.read_bytes(), (tmp_path / "ca.key").read_bytes())
    old = ca.issue_cert(*ALWAYS, not_after=datetime.now(UTC) + timedelta(days=30))
    authority.certificate.write_bytes(old.private_key_and_cert_chain_pem.bytes())
    authority.renew()

    assert shown(authority).not_valid_after_utc > datetime.now(UTC) + timedelta(days=300)


@pytest.mark.parametrize("damage", ["gone", "broken", "of another"])
def test_an_authority_that_is_not_whole_is_not_replaced_without_a_word(
    tmp_path: Path, damage: str
) -> None:
    authority = made(tmp_path)
    authority.certificate.unlink()
    trusted, key = authority.trusted.read_bytes(), tmp_path / "ca.key"
    if damage == "gone":
        key.unlink()
    else:
        key.write_bytes(trustme.CA().private_key_pem.bytes() if damage == "of another" else b"x")

    with pytest.raises(SettingsError, match=r"QJB_TLS: .*ca\.pem and ca\.key can not be used"):
        authority.renew()
    assert authority.trusted.read_bytes() == trusted


def test_names_are_those_that_a_certificate_can_have() -> None:
    found = names_of("0.0.0.0", ("QJB.example.org", "*.lab", "*", "a*b.lab", "10.1.2.3", "_x"))

    assert set(found) >= {"localhost", "127.0.0.1", "::1", "qjb.example.org", "*.lab", "10.1.2.3"}
    assert not {"0.0.0.0", "*", "a*b.lab", "_x"} & set(found)
