"""A program's `main` called with a job's inputs, whichever way it takes them."""

import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from executors.faults import InvalidInputsError
from schemas.checking import rule, shown, step
from schemas.values import Violation

_GIVEN = 2  # backend and user_messenger
_BY_PLACE = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


@dataclass(frozen=True, slots=True)
class Arguments:
    """What `main` gets beside backend and messenger."""

    positional: list[Any]
    named: dict[str, Any]
    ignored: list[str]  # inputs that it does not take


def call(
    main: Callable[..., Any], backend: Any, user_messenger: Any, inputs: Mapping[str, Any]
) -> Any:
    """What *main* returns. Raises `InvalidInputsError` where *inputs* lack what it requires."""
    arguments = arranged(main, inputs)
    for name in arguments.ignored:
        sys.stderr.write(f"note: main takes no input {shown(name)}; it is ignored\n")
    return main(backend, user_messenger, *arguments.positional, **arguments.named)


def arranged(main: Callable[..., Any], inputs: Mapping[str, Any]) -> Arguments:
    """*inputs* as *main* takes them. Raises `InvalidInputsError`."""
    try:
        parameters = list(inspect.signature(main).parameters.values())
    except (TypeError, ValueError):  # a function of C that does not say what it takes
        return Arguments([], dict(inputs), [])
    given = [one.name for one in parameters[:_GIVEN] if one.kind in _BY_PLACE]
    _refuse_given(given, inputs)
    others = [one for one in parameters if one.name not in given]
    _require(others, inputs)
    return _placed(others, inputs)


def _placed(parameters: Sequence[inspect.Parameter], inputs: Mapping[str, Any]) -> Arguments:
    left = dict(inputs)
    positional = [
        left.pop(one.name, one.default) for one in parameters if one.kind is one.POSITIONAL_ONLY
    ]
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return Arguments(positional, left, [])
    known = {one.name for one in parameters if one.kind is not one.VAR_POSITIONAL}
    named = {name: value for name, value in left.items() if name in known}
    return Arguments(positional, named, [name for name in left if name not in known])


def _refuse_given(given: Sequence[str], inputs: Mapping[str, Any]) -> None:
    """Raise for inputs by the names of what every program is given."""
    for name in given:
        if name in inputs:
            raise InvalidInputsError(
                f"{name} is what main is given here, so no input may be called so"
            )


def _require(parameters: Sequence[inspect.Parameter], inputs: Mapping[str, Any]) -> None:
    """Raise if an input is not there without which *main* can not be called."""
    missing = [
        one.name
        for one in parameters
        if one.default is one.empty
        and one.kind not in (one.VAR_KEYWORD, one.VAR_POSITIONAL)
        and one.name not in inputs
    ]
    if missing:
        told = f"the program requires the inputs: {', '.join(missing)}"
        violations = [
            Violation(f"/params{step(name)}", rule("required", name), "", told) for name in missing
        ]
        raise InvalidInputsError(told, violations)
