"""Which tenants there are, and whose tokens: what the topic says, folded."""

import pytest

from broker.core.tenants import ENTRY, Register
from schemas.decoding import UnreadableError
from schemas.tenants import SigningKey
from tests.support.tokens import tenant, token


def test_a_token_that_is_no_more_does_not_open_the_service_to_everybody() -> None:
    register = Register()
    register.take(token("alice"))
    register.forget(token("alice").key)

    assert register.has_tokens
    assert register.token("alice") is None


def test_nor_does_one_for_which_there_is_no_room() -> None:
    register = Register(room=ENTRY)
    register.take(tenant("lab"))
    with pytest.raises(UnreadableError):
        register.take(token("alice"))

    assert register.has_tokens


def test_gateways_sign_with_the_newest_key_and_know_the_others() -> None:
    register = Register()
    assert register.newest_signing_key is None
    first, second = (
        SigningKey(id=name, secret="0" * 64, created="2026-01-01T00:00:00.000Z") for name in "ab"
    )
    register.take(first)
    register.take(second)
    assert register.newest_signing_key == second
    assert register.signing_key("a") == first
    register.forget(second.key)

    assert register.newest_signing_key == first
    assert register.signing_key("b") is None
    assert not register.has_tokens
