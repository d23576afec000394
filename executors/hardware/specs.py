"""Devices as the settings name them: `name=module:function?slots=2&label=lab&env=TOKEN&region=eu`."""

import re
from collections.abc import Iterable, Mapping, MutableMapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MADE_BY = re.compile(r"[\w.]+:\w+|[\w.-]+")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
ARGUMENT = re.compile(r"[a-z][a-z0-9_]*")
MOST_SLOTS = 1024
FORM = "name=module:function?slots=1&label=name&env=VARIABLE&python=/path&argument=value"
MOST_LABELS = 64


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device: its name here, the `module:function` or entry point that makes it and the named
    arguments of that, how many jobs it is given at once, its credentials, and what jobs may ask
    for it by.

    *variables* are for its process, and for no other. *python*: that of an environment which has
    what makes it; by default the worker's own.
    """

    name: str
    made_by: str
    slots: int = 1
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)
    arguments: Mapping[str, str] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    python: str = ""


def check(text: str) -> None:
    """Raise `ValueError` if *text* is no device."""
    _read(text)


def devices_of(texts: Iterable[str], variables: MutableMapping[str, str]) -> list[DeviceSpec]:
    """The devices in *texts*; their credentials, which several may share, are taken out of
    *variables*. Raises `ValueError`.
    """
    read = [_read(text) for text in texts]
    found = [_device_of(each, variables) for each in read]
    for here in {here for each in read for here in each.needed.values()}:
        del variables[here]
    return found


@dataclass(slots=True)
class _Read:
    name: str
    made_by: str
    slots: int = 1
    python: str = ""
    needed: dict[str, str] = field(default_factory=dict)  # a variable there: what it is called here
    arguments: dict[str, str] = field(default_factory=dict)
    labels: list[str] = field(default_factory=list)


def _device_of(read: _Read, variables: Mapping[str, str]) -> DeviceSpec:
    if missing := [here for here in read.needed.values() if here not in variables]:
        raise ValueError(f"{read.name} needs the variable {missing[0]}, which is not set")
    taken = {there: variables[here] for there, here in read.needed.items()}
    more = tuple(read.labels), read.python
    return DeviceSpec(read.name, read.made_by, read.slots, taken, read.arguments, *more)


def _read(text: str) -> _Read:
    name, _, rest = text.partition("=")
    made_by, _, query = rest.partition("?")
    if not NAME.fullmatch(name) or not MADE_BY.fullmatch(made_by):
        raise ValueError(f"{text!r} is not of the form {FORM}")
    read = _Read(name, made_by)
    for key, value in parse_qsl(query, keep_blank_values=True):
        there, _, here = value.partition("=")
        if key == "slots" and value.isdecimal() and 1 <= int(value) <= MOST_SLOTS:
            read.slots = int(value)
        elif key == "env" and VARIABLE.fullmatch(there) and VARIABLE.fullmatch(here or there):
            read.needed[there] = here or there
        elif key == "label" and NAME.fullmatch(value) and len(read.labels) < MOST_LABELS:
            read.labels.append(value)
        elif key == "python" and Path(value).is_absolute():
            read.python = value
        elif key not in ("slots", "label", "env", "python") and ARGUMENT.fullmatch(key):
            read.arguments[key] = value
        else:
            raise ValueError(f"{name}: {key}={value!r} is not of the form {FORM}")
    return read
