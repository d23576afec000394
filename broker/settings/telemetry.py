"""How a role says what it does."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from broker.settings.group import Group


class TelemetrySettings(Group):
    """Log lines, metrics and health."""

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
