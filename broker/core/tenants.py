"""What operators said: which tenants there are, whose tokens, what backends are to do.

Folded from the tenants topic.

The tenant that everybody is without a token is there from the start.
"""

from collections.abc import Collection, Sequence

from broker.core.windows import Windows
from schemas.backends import BackendMode, BackendOrder
from schemas.decoding import UnreadableError
from schemas.limits import MIB
from schemas.reservations import Reservation
from schemas.tenants import Said, SigningKey, Tenant, Token
from schemas.values import DEFAULT_TENANT

ROOM = 64 * MIB  # bytes of what is taken in
ENTRY = 1024  # bytes that each takes


class Register:
    """All tenants and tokens. The same, in whatever pieces the topic is read."""

    def __init__(self, room: int = ROOM) -> None:
        self._room = room
        self._tenants = {DEFAULT_TENANT: Tenant(name=DEFAULT_TENANT, created="")}
        self._tokens: dict[str, Token] = {}
        self._by_hash: dict[str, Token] = {}
        self._signing_keys: dict[str, SigningKey] = {}
        self.orders: dict[str, BackendOrder] = {}  # by backend; none: it is active
        self.windows = Windows()
        # Whether one was ever made: from then on everybody has to bring one, whatever became of it.
        self.has_tokens = False

    @property
    def weight(self) -> int:
        """Bytes that it holds."""
        named = len(self._tenants) + len(self._tokens)
        said = len(self._signing_keys) + len(self.orders) + len(self.windows)
        return ENTRY * (named + said)

    def take(self, said: Said) -> None:
        """Take in what the topic says. Raises `UnreadableError` if there is no room for it."""
        self.has_tokens = self.has_tokens or isinstance(said, Token)
        if not self._knows(said) and self.weight > self._room:
            raise UnreadableError("too_large", "there is no room for more tenants and tokens")
        match said:
            case Tenant():
                self._tenants[said.name] = said
            case SigningKey():
                self._signing_keys[said.id] = said
            case BackendOrder():
                self.orders.pop(said.name, None)
                if said.mode is not BackendMode.ACTIVE or said.calibrate:
                    self.orders[said.name] = said
            case Reservation():
                self.windows.put(said)
            case Token():
                self._forget_token(said.id)
                self._tokens[said.id] = self._by_hash[said.sha256] = said

    def _knows(self, said: Said) -> bool:
        match said:
            case Tenant():
                return said.name in self._tenants
            case SigningKey():
                return said.id in self._signing_keys
            case BackendOrder():
                says_nothing = said.mode is BackendMode.ACTIVE and not said.calibrate
                return said.name in self.orders or says_nothing
            case Reservation():
                return said.id in self.windows or said.cancelled is not None
            case Token():
                return said.id in self._tokens

    def forget(self, key: bytes) -> None:
        """What a record with that key said holds no more."""
        kind, _, name = key.decode(errors="replace").partition("/")
        if kind == "token":
            self._forget_token(name)
        elif kind == "tenant" and name != DEFAULT_TENANT:
            self._tenants.pop(name, None)
        elif kind == "signing-key":
            self._signing_keys.pop(name, None)
        elif kind == "backend":
            self.orders.pop(name, None)
        elif kind == "reservation":
            self.windows.remove(name)

    def _forget_token(self, token_id: str) -> None:
        token = self._tokens.pop(token_id, None)
        if token is not None and self._by_hash.get(token.sha256) is token:
            del self._by_hash[token.sha256]

    @property
    def names(self) -> Collection[str]:
        """Of all tenants."""
        return self._tenants.keys()

    @property
    def tenants(self) -> Sequence[Tenant]:
        """All of them, by name."""
        return [self._tenants[name] for name in sorted(self._tenants)]

    @property
    def tokens(self) -> Sequence[Token]:
        """All that were made, in order of time; also those that are good for nothing any more."""
        return sorted(self._tokens.values(), key=lambda token: (token.created, token.id))

    def tenant(self, name: str) -> Tenant | None:
        """The tenant of that name."""
        return self._tenants.get(name)

    def token(self, token_id: str) -> Token | None:
        """The token of that id, whatever it is good for."""
        return self._tokens.get(token_id)

    def signing_key(self, key_id: str) -> SigningKey | None:
        """The key of that id."""
        return self._signing_keys.get(key_id)

    @property
    def newest_signing_key(self) -> SigningKey | None:
        """The one to sign with, if there is one."""
        return next(reversed(self._signing_keys.values()), None)

    def hashed(self, sha256: str) -> Token | None:
        """The token with that hash, whatever it is good for."""
        return self._by_hash.get(sha256)

    def refusal(self, token: Token, now: str) -> str | None:
        """Why *token* is good for nothing at *now* (ISO 8601, as in messages); None if it is good."""
        if token.revoked is not None:
            return "the token was revoked"
        if token.expires is not None and token.expires <= now:
            return "the token has expired"
        return self.refusal_of(token.tenant)

    def refusal_of(self, tenant: str) -> str | None:
        """Why nobody can ask in the name of *tenant*; None if somebody can."""
        found = self._tenants.get(tenant)
        if found is None:
            return f"there is no tenant {tenant[:40]!r}, which the token names"
        return "the tenant of the token is disabled" if found.disabled else None
