"""Makes the import paths of 2021 lead to what is there today, in this process."""

import importlib
import sys
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_loader
from types import ModuleType
from typing import Any

from executors.programs.authored import (  # the first two so that no program waits for them
    algorithms_2021,  # noqa: F401
    old_names,
    qiskit_2021,  # noqa: F401
)
from executors.programs.authored.circuits_2021 import add_methods


class OldNames(MetaPathFinder):
    """Finds modules by the names that they had."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """How to import *fullname*, if it is a name of then; raises where it is gone for good."""
        if (place := old_names.place_of(fullname)) is not None:
            return spec_from_loader(fullname, _StandsFor(place), is_package=True)
        if fullname == "qiskit.providers.ibmq":
            return spec_from_loader(fullname, _Empty(), is_package=True)
        if fullname in old_names.HOMES:
            return _extended(fullname, path)
        must_exist(fullname)
        return None


class _StandsFor(Loader):
    """Makes a module with all that another one has."""

    def __init__(self, place: str) -> None:
        self._place = place

    def exec_module(self, module: ModuleType) -> None:
        """Fill *module*."""
        real = importlib.import_module(self._place)
        names = {name: value for name, value in vars(real).items() if not name.startswith("__")}
        module.__dict__.update(names)
        module.__dict__["__getattr__"] = _look_up(module.__name__, lambda name: getattr(real, name))


class _Empty(Loader):
    """Makes a module in which there are others, and names that are gone."""

    def exec_module(self, module: ModuleType) -> None:
        """Fill *module*."""
        extend(module)


class _AndMore(Loader):
    """Executes a module as *loader* does, then adds to it."""

    def __init__(self, loader: Loader) -> None:
        self._loader = loader

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As without us."""
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As without us, and more."""
        self._loader.exec_module(module)
        extend(module)


def _extended(name: str, path: Sequence[str] | None) -> ModuleSpec | None:
    """How to import module *name* with more in it; it need not be installed."""
    spec = PathFinder.find_spec(name, path)
    if spec is None or spec.loader is None:
        if name.partition(".")[0] not in old_names.PACKAGES:
            return None
        return spec_from_loader(name, _Empty(), is_package=True)
    spec.loader = _AndMore(spec.loader)
    return spec


def install() -> None:
    """Let programs of 2021 import and use what they did, from now on and in all this process."""
    if any(isinstance(finder, OldNames) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, OldNames())
    add_methods()
    for name in old_names.HOMES:
        if (module := sys.modules.get(name)) is not None:
            extend(module)


def extend(module: ModuleType) -> None:
    """Give *module* what it had; a name that is gone says what came in its place."""
    home = module.__name__
    added = old_names.ADDED.get(home, {})
    for name in added.keys() & vars(module).keys():
        setattr(module, name, _from(added[name]))

    def find(name: str) -> Any:
        return _from(added[name]) if name in added else _below(home, name)

    module.__dict__["__getattr__"] = _look_up(home, find)


def _look_up(home: str, find: Callable[[str], Any]) -> Callable[[str], Any]:
    """What a module asks for a name that it does not have."""

    def look_up(name: str) -> Any:
        if not name.startswith("__"):
            must_exist(f"{home}.{name}")
        try:
            return find(name)
        except AttributeError:
            raise AttributeError(f"module {home!r} has no attribute {name!r}") from None

    return look_up


def _below(home: str, name: str) -> Any:
    """The module *name* in *home*, if it is one that is found by an old name."""
    if old_names.place_of(f"{home}.{name}") is None:
        raise AttributeError(name)
    return importlib.import_module(f"{home}.{name}")


def _from(entry: str) -> Any:
    module, _, name = entry.partition(":")
    return getattr(importlib.import_module(module), name)


def must_exist(name: str) -> None:
    """Raise `ModuleNotFoundError` if *name* is gone, and say what came in its place."""
    if (instead := old_names.replacement(name)) is not None:
        raise ModuleNotFoundError(f"{name} is gone; in its place: {instead}", name=name)
