"""Devices as the settings name them."""

import tomllib
from importlib import import_module
from pathlib import Path

import pytest

from executors.hardware.specs import DeviceSpec, check, devices_of


def test_a_device_in_the_settings_is_its_name_maker_slots_and_credentials() -> None:
    variables = {"TOKEN": "sesame", "URL": "u", "OTHER": "o"}
    [found] = devices_of(
        ["aqt=lab.devices:aqt?slots=3&env=TOKEN&env=URL&label=cold&label=lab"], variables
    )

    taken = {"TOKEN": "sesame", "URL": "u"}
    labels = ("cold", "lab")
    assert found == DeviceSpec("aqt", "lab.devices:aqt", 3, taken, labels=labels)
    assert variables == {"OTHER": "o"}
    assert "sesame" not in repr(found)
    with pytest.raises(ValueError, match="aqt needs the variable TOKEN, which is not set"):
        devices_of(["aqt=lab:aqt?env=TOKEN"], variables)


def test_devices_of_one_vendor_share_their_credentials() -> None:
    variables = {"TOKEN": "sesame"}
    found = devices_of(["one=lab:one?env=TOKEN", "two=lab:two?env=TOKEN"], variables)

    assert [dict(each.variables) for each in found] == [{"TOKEN": "sesame"}] * 2
    assert variables == {}


def test_what_else_it_says_are_arguments_of_its_maker() -> None:
    [found] = devices_of(
        ["far=ibm?backend=line_5&url=http://far:8080/a&slots=2&python=/v/python"], {}
    )

    assert found.arguments == {"backend": "line_5", "url": "http://far:8080/a"}
    assert (found.slots, found.python) == (2, "/v/python")


def test_a_variable_may_have_another_name_in_the_process_of_its_device() -> None:
    variables = {"TOKEN_OF_ONE": "a", "TOKEN_OF_TWO": "b"}
    one, two = devices_of(
        [f"{name}=ibm?env=TOKEN=TOKEN_OF_{name.upper()}" for name in ("one", "two")], variables
    )

    assert (one.variables, two.variables) == ({"TOKEN": "a"}, {"TOKEN": "b"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "aqt",
        "=a:b",
        "a b=c:d",
        "a=b:c?slots=0",
        "a=b:c?slots=x",
        "a=b:c?env=1x",
        "a=b:c?env=X=1",
        "a=b:c?X=1",
        "a=b:c?label=",
        "a=b:c?python=python3",
    ],
)
def test_what_is_no_device_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not of the form name=module:function"):
        check(text)


def test_the_names_that_come_along_lead_to_functions() -> None:
    project = tomllib.loads(Path("pyproject.toml").read_text())["project"]

    for name, where in project["entry-points"]["qjb.backends"].items():
        module, _, function = where.partition(":")
        assert callable(getattr(import_module(module), function)), name
        check(f"dev={name}?slots=1")
