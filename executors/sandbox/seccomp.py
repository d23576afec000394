"""The filter of system calls: a list of those that are allowed, and all others are refused."""

import ctypes
import errno
import platform
import signal
import socket
import struct
from collections.abc import Iterable, Sequence

from executors.sandbox.calls import ARCHITECTURES, ATTRIBUTES, CHECKED, FREE
from executors.sandbox.kernel import NEW_NAMESPACES, call

_KILL, _ERRNO, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000  # what a filter answers
_LOAD, _IS, _HAS, _IS_MORE, _AND, _ANSWER = 0x20, 0x15, 0x45, 0x25, 0x54, 0x06  # instructions
_NUMBER, _ARCHITECTURE, _ARGUMENTS = 0, 4, 16  # where they stand in what a filter looks at
_SET_FILTER = 1

LAST_KNOWN = 470  # newer calls do not exist for programs, so that libraries use the older ones
_NEW_THREAD = 0x00010000  # a flag of `clone`
_TERMINAL_CALLS = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # `ioctl`: asks, or sets flags
_NAMES = (15, 16, 0x53564D41)  # `prctl`: names of threads and of memory
_PDEATHSIG = 1

Code = list[tuple[int, int, int, int]]


def program(pid: int, has_own_files: bool) -> bytes:
    """The filter for process *pid*, as that process sees its own number.

    *has_own_files*: it sees no files of the host but such as can not be changed.
    """
    code: Code = [
        (_LOAD, 0, 0, _ARCHITECTURE),
        (_IS, 1, 0, ARCHITECTURES[platform.machine()]),
        (_ANSWER, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
        (_IS_MORE, 0, 1, LAST_KNOWN),
        _refused(errno.ENOSYS),
    ]
    for number in sorted(FREE | ATTRIBUTES if has_own_files else FREE):
        code += [(_IS, 0, 1, number), (_ANSWER, 0, 0, _ALLOW)]
    for name, block in _blocks(pid).items():
        code += [(_IS, 0, len(block), CHECKED[name]), *block]
    code.append(_refused(errno.EPERM))
    return b"".join(struct.pack("HBBI", *instruction) for instruction in code)


def install(pid: int, has_own_files: bool) -> None:
    """Make no other calls from now on; raises `OSError`."""
    data = program(pid, has_own_files)
    instructions = ctypes.create_string_buffer(data, len(data))
    address = ctypes.addressof(instructions)
    whole = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(data) // 8, address))
    call("seccomp", _SET_FILTER, 0, whole)


def _refused(number: int) -> tuple[int, int, int, int]:
    return (_ANSWER, 0, 0, _ERRNO | number)


def _blocks(pid: int) -> dict[str, Code]:
    """What decides about the calls that are allowed with some arguments only."""
    return {
        "clone": [
            *_low(0),
            (_HAS, 0, 2, _NEW_THREAD),
            (_HAS, 1, 0, NEW_NAMESPACES),
            (_ANSWER, 0, 0, _ALLOW),
            _refused(errno.EPERM),
        ],
        "clone3": [_refused(errno.ENOSYS)],  # its flags can not be seen; libc then uses `clone`
        "ioctl": _only([(1, _TERMINAL_CALLS)]),
        "kill": _only([(0, (pid,))]),
        "tgkill": _only([(0, (pid,))]),
        "prctl": [*_only([(0, _NAMES)])[:-1], *_only([(0, (_PDEATHSIG,)), (1, (signal.SIGKILL,))])],
        "prlimit64": _only([(0, (0, pid))]),
        "setrlimit": [(_ANSWER, 0, 0, _ALLOW)],
        "sendto": _without_address(),
        "socketpair": _pairs(),
    }


def _low(argument: int) -> Code:
    """Load the lower half of an argument."""
    return [(_LOAD, 0, 0, _ARGUMENTS + 8 * argument)]


def _only(wanted: Sequence[tuple[int, Iterable[int]]]) -> Code:
    """Allow the call if each of these arguments is one of these values."""
    code: Code = [(_ANSWER, 0, 0, _ALLOW), _refused(errno.EPERM)]
    for argument, values in reversed(wanted):
        numbers = list(values)
        refused = len(code) - 1
        tests: Code = [
            (_IS, len(numbers) - place - 1, 0 if place + 1 < len(numbers) else refused, number)
            for place, number in enumerate(numbers)
        ]
        code = [*_low(argument), *tests, *code]
    return code


def _without_address() -> Code:
    """`sendto` where the peer is the one that the socket has already."""
    address = _ARGUMENTS + 8 * 4
    return [
        (_LOAD, 0, 0, address),
        (_IS, 0, 3, 0),
        (_LOAD, 0, 0, address + 4),
        (_IS, 0, 1, 0),
        (_ANSWER, 0, 0, _ALLOW),
        _refused(errno.EPERM),
    ]


def _pairs() -> Code:
    """`socketpair` of streams between its own threads, as event loops use it."""
    return [
        *_low(0),
        (_IS, 0, 4, socket.AF_UNIX),
        *_low(1),
        (_AND, 0, 0, 0xF),
        (_IS, 0, 1, socket.SOCK_STREAM),
        (_ANSWER, 0, 0, _ALLOW),
        _refused(errno.EPERM),
    ]
