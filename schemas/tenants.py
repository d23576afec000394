"""What operators say: tenants, tokens by which clients say for which they ask, orders to backends.

Of a token its hash is kept: it is 256 random bits, so that nobody finds it by trying.
"""

import enum
import hashlib
from typing import Annotated, TypeAlias

import msgspec

from schemas.backends import BackendOrder
from schemas.reservations import Reservation
from schemas.values import Id

TOKEN_KEY = b"token/"  # how keys of their records begin
TENANT_PATTERN = r"^[a-z0-9][a-z0-9-]{0,31}\Z"

TenantName = Annotated[str, msgspec.Meta(pattern=TENANT_PATTERN)]
Sha256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}\Z")]
Label = Annotated[str, msgspec.Meta(max_length=200)]
LEAST_WEIGHT = 0.001

Whole = Annotated[int, msgspec.Meta(ge=0, le=2**53)]


class Scope(enum.StrEnum):
    """What a caller may do."""

    SUBMIT = "submit"  # have jobs run, end them, change and delete them
    READ = "read"
    PROGRAMS = "programs"  # bring programs, change and delete them
    ADMIN = "admin"  # tenants and tokens


class Quota(msgspec.Struct, frozen=True, omit_defaults=True):
    """The most that a tenant may have or do; None: as much as there is."""

    queued: Whole | None = None  # jobs
    running: Whole | None = None  # jobs
    rate: Annotated[float, msgspec.Meta(gt=0, le=1e6)] | None = None  # requests a second
    body: Annotated[int, msgspec.Meta(ge=1024, le=2**53)] | None = None  # bytes of a request
    retries: Annotated[int, msgspec.Meta(ge=0, le=10)] | None = None  # of a job, at most
    # Within 28 days, in UTC, with the one that is under way:
    device_seconds: Annotated[float, msgspec.Meta(ge=0, le=1e12)] | None = None
    shots: Whole | None = None  # that inputs ask for
    bytes: Whole | None = None  # of inputs

    @property
    def limits_use(self) -> bool:
        """Whether it matters what was used within the period."""
        return not (self.device_seconds is None and self.shots is None and self.bytes is None)


NO_QUOTA = Quota()


class Tenant(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="tenant"):
    """Somebody whose jobs, programs and sessions nobody else sees."""

    name: TenantName
    created: str
    disabled: bool = False  # nobody can ask for anything in its name
    quota: Quota = NO_QUOTA
    weight: Annotated[float, msgspec.Meta(ge=LEAST_WEIGHT, le=1000)] = (
        1.0  # its share, beside others'
    )
    kafka: bool = False  # it reads its events on a topic of its own

    @property
    def key(self) -> bytes:
        """Of its record."""
        return f"tenant/{self.name}".encode()


class Token(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="token"):
    """What a client brings."""

    id: Id
    tenant: TenantName
    sha256: Sha256  # of the token itself
    scopes: tuple[Scope, ...]
    created: str
    label: Label = ""
    expires: str | None = None
    revoked: str | None = None

    @property
    def key(self) -> bytes:
        """Of its record."""
        return TOKEN_KEY + self.id.encode()


class SigningKey(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag="signing-key"):
    """What gateways sign with for callers whom an issuer vouches for: they bring no token of ours."""

    id: Id
    secret: Sha256  # 256 random bits
    created: str

    @property
    def key(self) -> bytes:
        """Of its record."""
        return f"signing-key/{self.id}".encode()


Said: TypeAlias = Tenant | Token | SigningKey | BackendOrder | Reservation


def hashed(token: str) -> str:
    """*token* as it is kept."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
