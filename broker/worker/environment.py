"""What programs can import here: the distributions of the worker's own environment."""

import platform
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, packages_distributions, version

from schemas.workers import EnvironmentAnnounced, Package


def installed(worker: str) -> EnvironmentAnnounced:
    """The environment of this process, as *worker* announces it. Reads some hundred files."""
    return EnvironmentAnnounced(worker, platform.python_version(), packages())


@cache
def packages() -> tuple[Package, ...]:
    """The distributions in which something is that can be imported, in the order of their names."""
    return tuple(_packages(packages_distributions()))


def _packages(found: Mapping[str, Sequence[str]]) -> Iterator[Package]:
    """*found* has the distributions by the names that they are imported by."""
    modules: dict[str, set[str]] = defaultdict(set)
    for module, names in found.items():
        if module.isidentifier() and not module.startswith("__"):
            for name in names:
                modules[name].add(module)
    for name in sorted(modules, key=str.lower):
        try:
            yield Package(name, version(name), tuple(sorted(modules[name])))
        except PackageNotFoundError:  # it went meanwhile
            continue
