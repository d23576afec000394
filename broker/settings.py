"""Everything that an operator can set: by `QJB_…` variables, the common ones by options too."""

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import quote

from platformdirs.unix import Unix
from pydantic import ByteSize, Field, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from broker.durations import FOR_EVER, seconds_in
from broker.errors import SettingsError
from executors.hardware.specs import check
from schemas.limits import LARGEST_BODY
from schemas.values import Sandbox

PREFIX = "QJB_"
READ_ELSEWHERE = frozenset(
    {"QJB_URL", "QJB_CA_FILE", "QJB_TOKEN", "QJB_TOKEN_FILE", "QJB_TEST_KAFKA"}
)  # by clients, by tests
_ID = r"^([A-Za-z0-9][A-Za-z0-9._~-]{0,127})?$"


def _cores() -> int:
    """The cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not Linux
        return os.cpu_count() or 1


def _host_name() -> str:
    name = "".join(c if c.isalnum() or c in "._-" else "-" for c in socket.gethostname())
    return name.lstrip("._-")[:100] or "host"


class Settings(BaseSettings):
    """The settings of every role. Relative paths start from the working directory."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )

    data: Path = Field(
        default_factory=lambda: Unix("qjb").user_data_path,  # the same wherever it runs
        description="Folder for the embedded log, payloads and the gateway's local copy; "
        "by default ~/.local/share/qjb",
    )
    log: str = Field(
        "",
        repr=False,  # there may be a password in it
        description="The log: sqlite:///path, kafka://host:port,… or memory://; "
        "by default the embedded one in the data folder",
    )
    blobs: str = Field(
        "",
        repr=False,
        description="Where large payloads go: a folder or a URL such as s3://bucket/prefix; "
        "by default a folder in the data folder. All roles must see the same",
    )
    topic_prefix: str = Field(
        "",
        pattern=r"^[A-Za-z0-9._-]{0,100}$",
        description="Put before every topic's name, so that several installations share a Kafka",
    )
    partitions: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Partitions of the topics that a role makes and that may have several; "
        "by default 4 on Kafka (8 of the inbox), 1 in the embedded log",
    )
    keep_jobs: str = Field(
        "",
        description="How long jobs and results are kept after their end, such as 90d, 12h or "
        "forever; by default for ever in the embedded log, 90d on Kafka",
    )
    keep_events: str = Field(
        "7d",
        description="How long events are kept: for streams that resume, interim results and logs",
    )

    min_free: int = Field(
        256 * 1024 * 1024,
        ge=0,
        description="Bytes that must be free where data are kept; with less, submits are refused",
    )

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
    oidc_issuer: str = Field(
        "",
        pattern=r"^(https?://[^\s?#]+)?$",
        description="OpenID Connect: the issuer whose JWTs are taken besides tokens; then everybody "
        "needs one or the other",
    )
    oidc_audience: str = Field("", description="Whom its JWTs have to be for (`aud`)")
    oidc_client_id: str = Field(
        "",
        description="As which client the issuer knows this service: then it logs people in to the "
        "web page",
    )
    oidc_client_secret: str = Field(
        "", repr=False, description="The client's secret; without one it is a public client"
    )
    oidc_login_scopes: str = Field(
        "openid",
        pattern=r"^(\S+ )*openid( \S+)*$",
        description="The scopes that a login asks the issuer for, openid among them",
    )
    oidc_ca: Path | None = Field(
        None,
        description="PEM file of the authority by which the issuer is known at https; by default "
        "those of the system",
    )
    oidc_tenant: str = Field("tenant", min_length=1, description="The claim that names the tenant")
    oidc_scopes: str = Field(
        "scope",
        min_length=1,
        description="The claim with the scopes, a list or words; with none of ours: submit, read and programs",
    )
    hosts: Annotated[tuple[str, ...], NoDecode] = Field(
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
    cors_origins: Annotated[tuple[str, ...], NoDecode] = Field(
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
    stream_memory: int = Field(
        64 * 1024 * 1024, ge=1024, description="Newest events that a gateway keeps in memory, bytes"
    )
    stream_age: float = Field(
        600.0, gt=0, description="Seconds after which an event stream is closed, give or take 20 %"
    )
    stream_drain: float = Field(
        5.0, ge=0, description="Seconds over which a gateway that stops closes its streams"
    )

    slots: int = Field(
        default_factory=_cores,
        ge=1,
        le=1024,
        description="Attempts that a worker runs at once; by default as many as there are cores",
    )
    memory: ByteSize | None = Field(
        None,
        ge=64 * 1024 * 1024,
        description="Memory that the jobs of a worker may use, shared by its slots, such as 12GiB; "
        "by default what is free when it starts, but for 1 GiB or a quarter",
    )
    worker_id: str = Field(
        "",
        pattern=_ID,
        description="Name of the worker, the same after every start; by default the host's name, "
        "with a number from the second worker on a host on",
    )
    executor: Literal["simulator", "scripted"] = Field(
        "simulator",
        description="What runs programs: simulator; or scripted, for drills: a job takes as many "
        "seconds as its input iterations says",
    )
    backends: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="Devices that a worker offers beside, with commas between: "
        "name=module:function?slots=1&env=TOKEN; see devices.md",
    )
    sandbox: Sandbox = Field(
        Sandbox.FULL,
        description="The least sandbox in which programs that users have uploaded run on a worker: "
        "full; reduced, where the host allows no namespaces or has no Landlock; or off",
    )
    grace: float = Field(
        30.0, ge=0, description="Seconds that running jobs get to finish when a worker stops"
    )

    broker_id: str = Field(
        "", pattern=_ID, description="Name of the broker; by default the host's name and a number"
    )
    book_memory: ByteSize | None = Field(
        None,
        ge=16 * 1024 * 1024,
        description="Memory for live jobs in the broker, beyond which requests wait on the log; by "
        "default a quarter of what is free when it starts, at most 2 GiB",
    )
    known_jobs: int = Field(
        1_000_000,
        ge=1000,
        description="Ended jobs whose ids the broker remembers, so that none is run twice",
    )

    log_level: Literal["", "debug", "info", "warning", "error"] = Field(
        "", description="Least important log lines to write; by default info, at a terminal warning"
    )
    log_format: Literal["auto", "json", "console"] = Field(
        "auto", description="Log lines as JSON or for people; auto: for people at a terminal"
    )
    metrics_port: int | None = Field(
        None,
        ge=1,
        le=65535,
        description="Port on which a broker or worker serves Prometheus metrics; the gateway "
        "has /metrics",
    )
    health_file: Path | None = Field(
        None, description="File that a role touches every second while it lives; see qjb health"
    )

    @field_validator("backends", "cors_origins", "hosts", mode="before")
    @classmethod
    def _split(cls, value: Any) -> Any:
        if isinstance(value, str):
            return tuple(part.strip() for part in value.split(",") if part.strip())
        return value

    @field_validator("backends")
    @classmethod
    def _are_devices(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for text in value:
            check(text)
        return value

    @field_validator("keep_jobs", "keep_events")
    @classmethod
    def _is_a_length_of_time(cls, value: str) -> str:
        if value not in ("", FOR_EVER):
            seconds_in(value)
        return value

    @model_validator(mode="after")
    def _has_an_audience(self) -> Self:
        if self.oidc_issuer and not self.oidc_audience:
            raise ValueError("QJB_OIDC_ISSUER: QJB_OIDC_AUDIENCE is missing, whom its JWTs are for")
        if self.oidc_client_id and not self.oidc_issuer:
            raise ValueError(
                "QJB_OIDC_CLIENT_ID: QJB_OIDC_ISSUER is missing, which knows that client"
            )
        return self

    @model_validator(mode="after")
    def _has_one_certificate(self) -> Self:
        if self.tls and self.tls_cert:
            raise ValueError("QJB_TLS makes a certificate: leave it out, or QJB_TLS_CERT")
        if self.tls_key and not self.tls_cert:
            raise ValueError("QJB_TLS_KEY is the key of a certificate: QJB_TLS_CERT is missing")
        return self

    @model_validator(mode="after")
    def _completed(self) -> Self:
        """Fill in what follows from the data folder."""
        data = self.data.expanduser().absolute()
        filled = {
            "data": data,
            "log": self.log or f"sqlite:///{quote(str(data))}/log.db",
            "blobs": self.blobs or f"{data}/blobs",
            "keep_jobs": self.keep_jobs or (FOR_EVER if self.is_embedded else "90d"),
        }
        for name, value in filled.items():
            object.__setattr__(self, name, value)
        return self

    @property
    def is_embedded(self) -> bool:
        """Whether the log is on this machine: what it holds is kept for as long as there is room."""
        return not self.log.startswith("kafka")

    @property
    def kept_jobs(self) -> float | None:
        """Seconds that an ended job is kept; None: for ever."""
        return None if self.keep_jobs == FOR_EVER else seconds_in(self.keep_jobs)

    @property
    def kept_events(self) -> float | None:
        """Seconds that an event is kept; None: for ever."""
        return None if self.keep_events == FOR_EVER else seconds_in(self.keep_events)


def as_environment(settings: Settings) -> dict[str, str]:
    """Variables that set the same in another process: what was set, and what follows from it."""
    found = {}
    for name in settings.model_fields_set | {"data", "log", "blobs", "keep_jobs"}:
        value = getattr(settings, name)
        text = ",".join(value) if isinstance(value, tuple) else str(value)
        found[PREFIX + name.upper()] = "" if value is None else text
    return found


def load(options: Mapping[str, Any] | None = None) -> Settings:
    """The settings: *options* that are not None, else variables, else defaults.

    Raises `SettingsError` with one sentence that names every setting that can not be used.
    """
    given = {name: value for name, value in (options or {}).items() if value is not None}
    try:
        return Settings(**given)
    except ValidationError as error:
        findings = "; ".join(_finding(detail) for detail in error.errors())
        raise SettingsError(findings) from error


def _finding(detail: Any) -> str:
    name = str(detail["loc"][0]) if detail["loc"] else "settings"
    rule = str(detail["msg"])
    for lead in ("Input ", "String ", "Value error, "):
        rule = rule.removeprefix(lead)
    field = Settings.model_fields.get(name)
    value = f"{detail['input']!r} " if field is not None and field.repr else ""
    return f"{PREFIX}{name.upper()}: {value}{rule}"


def unknown_variables() -> list[str]:
    """`QJB_…` variables that set nothing: most likely misspelt."""
    known = {PREFIX + name.upper() for name in Settings.model_fields} | READ_ELSEWHERE
    return sorted(name for name in os.environ if name.startswith(PREFIX) and name not in known)


def host_name() -> str:
    """The host's name, as far as it can stand in an id."""
    return _host_name()
