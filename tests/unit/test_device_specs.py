"""Devices as the settings name them."""

import pytest

from executors.hardware.specs import DeviceSpec, check, device_of


def test_a_device_in_the_settings_is_its_name_maker_slots_and_credentials() -> None:
    variables = {"TOKEN": "sesame", "URL": "u", "OTHER": "o"}
    found = device_of("aqt=lab.devices:aqt?slots=3&env=TOKEN&env=URL", variables)

    assert found == DeviceSpec("aqt", "lab.devices:aqt", 3, {"TOKEN": "sesame", "URL": "u"})
    assert variables == {"OTHER": "o"}
    assert "sesame" not in repr(found)
    with pytest.raises(ValueError, match="aqt needs the variable TOKEN, which is not set"):
        device_of("aqt=lab:aqt?env=TOKEN", variables)


@pytest.mark.parametrize(
    "text",
    ["", "aqt", "=a:b", "a b=c:d", "a=b:c?slots=0", "a=b:c?slots=x", "a=b:c?env=1x", "a=b:c?x=1"],
)
def test_what_is_no_device_is_told(text: str) -> None:
    with pytest.raises(ValueError, match="is not of the form name=module:function"):
        check(text)
