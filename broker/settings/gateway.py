"""How HTTP is served, and to whom."""

from pathlib import Path
from typing import Self

from pydantic import Field, model_validator

from broker.settings.group import PREFIX, Group, Words
from schemas.limits import LARGEST_BODY


class GatewaySettings(Group):
    """Where the gateway listens, under which names and certificate, and how much it takes."""

    host: str = Field("127.0.0.1", description="Address that the gateway listens on")
    port: int = Field(8080, ge=0, le=65535, description="Its port; 0 takes any free one")
    gateways: int = Field(
        0,
        ge=0,
        le=64,
        description="Gateways of `qjb up` that are processes of their own, on the one port; "
        "0: its one process has the gateway, too",
    )
    open: bool = Field(
        False,
        description="Serve whoever reaches the gateway, though others than this machine can and "
        "there is no token: it does not start then otherwise",
    )
    hosts: Words = Field(
        (),
        description="Names under which the gateway and metrics answer, with commas between, such "
        "as qjb.example.org,*.lab; * for all. On loopback the names that point there always count; "
        "by default only they do there, and every name elsewhere",
    )
    public_url: str = Field(
        "",
        pattern=r"^(https?://[^/\s?#]+(/[^\s?#]*)?)?$",
        description="URL under which clients find the gateway, such as https://qjb.example.org/api; "
        "by default what their requests say: the name in Host, behind a proxy with its "
        "X-Forwarded-Proto",
    )
    tls: bool = Field(
        False,
        description="Serve https with a certificate of an authority of one's own, which is made "
        "once and kept in the data folder",
    )
    tls_cert: Path | None = Field(
        None,
        description="Serve https with this certificate, a file in PEM with what leads from it to "
        "its authority; taken over when it changes",
    )
    tls_key: Path | None = Field(
        None, description="Its key, without a passphrase; by default in QJB_TLS_CERT"
    )
    cors_origins: Words = Field(
        (),
        description="Other origins whose pages may use the gateway, with commas between; * for all",
    )
    max_body: int = Field(
        LARGEST_BODY, ge=1024, description="Largest body of an HTTP request, in bytes"
    )
    connections: int = Field(
        10_000,
        ge=16,
        description="Connections that a gateway serves at once, or as many as the limit of open "
        "files leaves room for",
    )

    @model_validator(mode="after")
    def _has_one_certificate(self) -> Self:
        if self.tls and self.tls_cert:
            raise ValueError("QJB_TLS makes a certificate: leave it out, or QJB_TLS_CERT")
        if self.tls_key and not self.tls_cert:
            raise ValueError("QJB_TLS_KEY is the key of a certificate: QJB_TLS_CERT is missing")
        return self


class StreamSettings(Group, env_prefix=f"{PREFIX}STREAM_"):
    """How a gateway tells what happens."""

    memory: int = Field(
        64 * 1024 * 1024, ge=1024, description="Newest events that a gateway keeps in memory, bytes"
    )
    age: float = Field(
        600.0, gt=0, description="Seconds after which an event stream is closed, give or take 20 %"
    )
    drain: float = Field(
        5.0, ge=0, description="Seconds over which a gateway that stops closes its streams"
    )


class OidcSettings(Group, env_prefix=f"{PREFIX}OIDC_"):
    """OpenID Connect: who is known by whose word."""

    issuer: str = Field(
        "",
        pattern=r"^(https?://[^\s?#]+)?$",
        description="OpenID Connect: the issuer whose JWTs are taken besides tokens; then everybody "
        "needs one or the other",
    )
    audience: str = Field("", description="Whom its JWTs have to be for (`aud`)")
    client_id: str = Field(
        "",
        description="As which client the issuer knows this service: then it logs people in to the "
        "web page",
    )
    client_secret: str = Field(
        "", repr=False, description="The client's secret; without one it is a public client"
    )
    login_scopes: str = Field(
        "openid",
        pattern=r"^(\S+ )*openid( \S+)*$",
        description="The scopes that a login asks the issuer for, openid among them",
    )
    ca: Path | None = Field(
        None,
        description="PEM file of the authority by which the issuer is known at https; by default "
        "those of the system",
    )
    tenant: str = Field("tenant", min_length=1, description="The claim that names the tenant")
    scopes: str = Field(
        "scope",
        min_length=1,
        description="The claim with the scopes, a list or words; with none of ours: submit, read and programs",
    )

    @model_validator(mode="after")
    def _has_an_audience(self) -> Self:
        if self.issuer and not self.audience:
            raise ValueError("QJB_OIDC_ISSUER: QJB_OIDC_AUDIENCE is missing, whom its JWTs are for")
        if self.client_id and not self.issuer:
            raise ValueError(
                "QJB_OIDC_CLIENT_ID: QJB_OIDC_ISSUER is missing, which knows that client"
            )
        return self
