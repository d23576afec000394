"""Devices as the settings name them: `name=module:function?slots=2&env=TOKEN`."""

import re
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass, field
from urllib.parse import parse_qsl

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
MADE_BY = re.compile(r"[\w.]+:\w+|[\w.-]+")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
MOST_SLOTS = 1024
FORM = "name=module:function?slots=1&env=VARIABLE"


@dataclass(frozen=True, slots=True)
class DeviceSpec:
    """A device: its name here, the `module:function` or entry point that makes it, how many jobs
    it is given at once, and its credentials.

    *variables* are for its process, and for no other.
    """

    name: str
    made_by: str
    slots: int = 1
    variables: Mapping[str, str] = field(default_factory=dict, repr=False)


def check(text: str) -> None:
    """Raise `ValueError` if *text* is no device."""
    _read(text)


def device_of(text: str, variables: MutableMapping[str, str]) -> DeviceSpec:
    """The device in *text*; its credentials are taken out of *variables*. Raises `ValueError`."""
    name, made_by, slots, needed = _read(text)
    if missing := [each for each in needed if each not in variables]:
        raise ValueError(f"{name} needs the variable {missing[0]}, which is not set")
    taken = {each: variables.pop(each) for each in needed}
    return DeviceSpec(name, made_by, slots, taken)


def _read(text: str) -> tuple[str, str, int, list[str]]:
    name, _, rest = text.partition("=")
    made_by, _, query = rest.partition("?")
    if not NAME.fullmatch(name) or not MADE_BY.fullmatch(made_by):
        raise ValueError(f"{text!r} is not of the form {FORM}")
    slots, needed = 1, []
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "slots" and value.isdecimal() and 1 <= int(value) <= MOST_SLOTS:
            slots = int(value)
        elif key == "env" and VARIABLE.fullmatch(value):
            needed.append(value)
        else:
            raise ValueError(f"{name}: {key}={value!r} is not of the form {FORM}")
    return name, made_by, slots, needed
