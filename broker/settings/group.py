"""What groups of settings have in common: where values come from, and how variables are named."""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

from pydantic import BeforeValidator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

PREFIX = "QJB_"
ID = r"^([A-Za-z0-9][A-Za-z0-9._~-]{0,127})?$"


def _split(value: Any) -> Any:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_split)]  # with commas between


class Group(BaseSettings):
    """Settings that are about one thing. Raises `ValidationError`."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        frozen=True,
        extra="forbid",
        hide_input_in_errors=True,
    )
    filled: ClassVar[frozenset[str]] = frozenset()  # those that follow from others, if not set

    @classmethod
    def variables(cls) -> Mapping[str, str]:
        """The variables, by the names of the fields that they set."""
        prefix = cls.model_config["env_prefix"]
        return {name: prefix + name.upper() for name in cls.model_fields}

    def as_environment(self) -> dict[str, str]:
        """Variables that set the same in another process: what was set, and what follows from it."""
        found = {}
        for name, variable in self.variables().items():
            if name in self.model_fields_set | self.filled:
                value = getattr(self, name)
                text = ",".join(value) if isinstance(value, tuple) else str(value)
                found[variable] = "" if value is None else text
        return found
