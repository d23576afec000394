"""Where what programs of 2021 imported is today."""

import importlib

import pytest

from executors.programs.authored.old_names import (
    ADDED,
    MOVED,
    REPLACED,
    STANDS_FOR,
    place_of,
    replacement,
)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("qiskit.providers.aer", "qiskit_aer"),
        ("qiskit.providers.aer.noise.errors", "qiskit_aer.noise.errors"),
        ("qiskit.providers.aerospace", None),
        ("qiskit.providers.ibmq.runtime.utils", "executors.programs.authored.runtime"),
        ("qiskit.tools.visualization", "qiskit.visualization"),
        ("qiskit.algorithms.optimizers.spsa", "qiskit_algorithms.optimizers.spsa"),
        ("numpy", None),
    ],
)
def test_a_module_is_found_by_its_longest_name(name: str, place: str | None) -> None:
    assert place_of(name) == place


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("qiskit.opflow.primitive_ops", "SparsePauliOp"),
        ("qiskit.providers.ibmq.job", "a program is given its backend"),
        ("qiskit.providers.ibmq.runtime", None),
        ("qiskit.opflower", None),
        ("qiskit", None),
    ],
)
def test_what_is_gone_says_what_came_in_its_place(name: str, told: str | None) -> None:
    found = replacement(name)

    assert found is None if told is None else told in str(found)


@pytest.mark.parametrize("place", sorted({*MOVED.values(), *STANDS_FOR.values()}))
def test_what_stands_for_a_module_is_there(place: str) -> None:
    assert importlib.import_module(place)


@pytest.mark.parametrize(
    "entry", sorted({entry for names in ADDED.values() for entry in names.values()})
)
def test_what_stands_for_a_name_is_there(entry: str) -> None:
    module, _, name = entry.partition(":")

    assert hasattr(importlib.import_module(module), name)


@pytest.mark.parametrize("name", sorted(REPLACED))
def test_what_is_said_to_be_gone_is_gone(name: str) -> None:
    home, _, last = name.rpartition(".")
    if home == "qiskit_ibm_runtime":
        pytest.skip("a service is out of a program's reach, wherever its client is installed")
    with pytest.raises(ImportError):
        importlib.import_module(name)
    if home:
        assert not hasattr(importlib.import_module(home), last)
