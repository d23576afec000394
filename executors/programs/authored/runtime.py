"""What programs import from the Runtime of 2021: `UserMessenger`, `ProgramBackend`, encoder, decoder.

It stands in for `qiskit.providers.ibmq.runtime` and the modules that it became later.
"""

import json
import sys
from typing import Any, Protocol

from executors import runtime_json
from executors.faults import InvalidInputsError


class RuntimeEncoder(json.JSONEncoder):
    """Writes what JSON has no form for in the Runtime encoding."""

    def default(self, o: Any) -> Any:
        """*o*, which is not of JSON, as something that is."""
        return runtime_json.form(o)


class RuntimeDecoder(json.JSONDecoder):
    """Reads the Runtime encoding."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **{"object_hook": self.object_hook} | options)

    def object_hook(self, obj: Any) -> Any:
        """What the JSON object *obj*, decoded inside, stands for. Raises `ValueError`."""
        try:
            return runtime_json.built(obj)
        except InvalidInputsError as error:  # it need be none of the job's inputs
            raise ValueError(str(error)) from None


class ResultDecoder(RuntimeDecoder):
    """Reads a program's result; its client used it, and programs may derive from it."""

    @classmethod
    def decode(cls, data: str) -> Any:  # type: ignore[override]  # as it was
        """The result in *data*."""
        return json.loads(data, cls=cls)


class ProgramBackend:
    """What a program runs circuits on: the backend that it is given is one."""


class UserMessenger:
    """What a program publishes through. One that it makes by itself prints."""

    def publish(
        self, message: Any, encoder: type[json.JSONEncoder] = RuntimeEncoder, final: bool = False
    ) -> None:
        """Print *message*; *final* says nothing here."""
        del final
        sys.stdout.write(json.dumps(message, cls=encoder) + "\n")


class _Publisher(Protocol):
    def publish(self, message: Any, *, final: bool) -> None: ...


class _Messenger(UserMessenger):
    """The messenger that a program is given."""

    def __init__(self, publisher: _Publisher) -> None:
        self._publisher = publisher

    def publish(
        self,
        message: Any,
        encoder: type[json.JSONEncoder] | None = RuntimeEncoder,
        final: bool = False,
    ) -> None:
        """Publish *message*, an interim result or the *final* one, as *encoder* writes it."""
        if encoder not in (None, RuntimeEncoder, json.JSONEncoder):
            message = json.loads(json.dumps(message, cls=encoder))
        self._publisher.publish(message, final=final)


def messenger_to(publisher: _Publisher) -> UserMessenger:
    """A messenger as programs know it, which publishes by *publisher*."""
    return _Messenger(publisher)
