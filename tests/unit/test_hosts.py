"""Under which names a server answers."""

import pytest

from broker.errors import InvalidRequestError
from broker.gateway.api.hosts import Hosts

HERE = ["localhost", "LOCALHOST:8080", "localhost.", "127.0.0.1", "127.0.0.1:1", "127.1.2.3:80",
        "[::1]", "[::1]:8080", "qjb.localhost:8080", "localhost:"]  # fmt: skip
ELSEWHERE = ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.nip.io",
             "192.168.1.7:8080", "[2001:db8::1]", "0.0.0.0:8080", "xlocalhost", "1.0.0.127"]  # fmt: skip
NONE = ["", " ", "a b", "user@localhost", "localhost:99999", "localhost:80:80", "localhost:-1",
        "::1", "[::1", "l\u00f6calhost", "localhost/", "http://localhost", "localhost,evil", "*",
        "a" * 300]  # fmt: skip


def _hosts(*allowed: str, own: str = "127.0.0.1", on_loopback: bool = True) -> Hosts:
    hosts = Hosts(allowed, own)
    hosts.on_loopback = on_loopback
    return hosts


def test_on_loopback_only_names_that_point_there_are_answered() -> None:
    hosts = _hosts()
    assert [host for host in HERE if not hosts.answers(host)] == []
    assert [host for host in ELSEWHERE if hosts.answers(host)] == []


def test_names_are_allowed_by_patterns() -> None:
    hosts = _hosts("qjb.example.org", "*.Lab", "192.168.1.7")
    for host in ("qjb.example.org", "QJB.example.org:8443", "a.b.lab", "192.168.1.7:8080", *HERE):
        assert hosts.answers(host), host
    for host in ("example.org", "evil.example", "lab", "qjb.example.org.evil", "192.168.1.8"):
        assert not hosts.answers(host), host


def test_the_name_that_it_was_told_to_listen_on_is_one_of_them() -> None:
    assert _hosts(own="lab-1.internal").answers("lab-1.internal:8080")


def test_a_star_allows_every_name() -> None:
    assert all(_hosts("*").answers(host) for host in ("evil.example", "localhost"))


def test_elsewhere_every_name_is_answered_unless_some_are_named() -> None:
    assert all(_hosts(on_loopback=False).answers(host) for host in (*HERE, *ELSEWHERE))
    strict = _hosts("qjb.example.org", on_loopback=False)
    assert all(
        strict.answers(h) for h in ("qjb.example.org", "192.168.1.7", "[2001:db8::1]", *HERE)
    )
    assert not strict.answers("evil.example")


@pytest.mark.parametrize("host", NONE)
@pytest.mark.parametrize("on_loopback", [True, False])
def test_what_is_no_name_is_refused(host: str, on_loopback: bool) -> None:
    with pytest.raises(InvalidRequestError, match="Host"):
        _hosts(on_loopback=on_loopback).answers(host)
