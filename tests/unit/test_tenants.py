"""Which tenants there are, and whose tokens: what the topic says, folded."""

import pytest

from broker.core.tenants import ENTRY, Register
from schemas.decoding import UnreadableError
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
