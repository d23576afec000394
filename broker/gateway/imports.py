"""What a program imports and no worker has, as far as can be told without running it."""

import sys
from collections.abc import Iterable, Iterator, Sequence

from broker.judging.wire import Import
from executors.programs.authored import old_names
from schemas.values import Violation
from schemas.workers import EnvironmentAnnounced

OURS = "executors"  # what stands for modules that are gone


def missing(
    imports: Sequence[Import], environments: Iterable[EnvironmentAnnounced]
) -> list[Violation]:
    """What of *imports* is not in the environment that has the most of it, each once.

    Without any environment only what is gone from Qiskit for good is known to be missing.
    """
    gone = list(_gone(imports))
    lacking = [list(_lacking(imports, _modules(one))) for one in environments]
    found: dict[str, Violation] = {}
    for one in gone + min(lacking, key=len, default=[]):
        found.setdefault(one.value, one)
    return list(found.values())


def _modules(environment: EnvironmentAnnounced) -> frozenset[str]:
    own = {module for package in environment.packages for module in package.modules}
    return frozenset({*own, *sys.stdlib_module_names, *old_names.PACKAGES, "__main__", OURS})


def _gone(imports: Sequence[Import]) -> Iterator[Violation]:
    for one in imports:
        if one.module.startswith("."):
            yield _violation(one, _full(one), "a program is one file, with nothing beside it")
            continue
        for name in (one.module, _full(one)):
            if instead := old_names.replacement(name):
                yield _violation(one, name, f"it is gone; in its place: {instead}")
                break


def _lacking(imports: Sequence[Import], modules: frozenset[str]) -> Iterator[Violation]:
    for one in imports:
        module = old_names.place_of(one.module) or one.module
        top = module.partition(".")[0]
        if top and top not in modules and not old_names.replacement(one.module):
            yield _violation(one, top, "no worker has it installed")


def _full(one: Import) -> str:
    return ".".join(part for part in (one.module.rstrip("."), one.name) if part) or one.module


def _violation(one: Import, name: str, why: str) -> Violation:
    return Violation("/data", "imports", name, f"{name} (line {one.line}): {why}")
