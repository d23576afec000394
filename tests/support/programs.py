"""Programs that misbehave in every way that an executor has to stand."""

import ctypes
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

HERE = "tests.support.programs"
PROGRAMS = {
    name.replace("_", "-"): f"{HERE}:{name}"
    for name in (
        "returns",
        "publishes",
        "hangs",
        "hangs_in_c",
        "ignores_stop",
        "dies",
        "exits",
        "raises",
        "raises_what_is_no_text",
        "closes_its_output",
        "writes",
        "writes_then_hangs",
        "floods_the_log",
        "floods_the_stream",
        "returns_a_secret_of_the_environment",
        "starts_a_process",
        "draws",
        "names_its_process",
        "returns_a_thing",
        "fills_memory",
        "asks_for_too_much",
        "translates_a_want_of_memory",
        "aborts_for_want_of_memory",
        "crashes",
        "returns_much",
        "returns_a_text",
        "starts_a_daemon",
        "leaves_a_thread",
        "changes_its_process",
        "publishes_from_threads",
        "writes_garbage",
        "closes_its_connection",
        "forges",
    )
}


def returns(backend: Any, user_messenger: Any, value: Any = "done", **_: Any) -> Any:
    return value


def publishes(backend: Any, user_messenger: Any, count: int = 2, **_: Any) -> str:
    for iteration in range(count):
        user_messenger.publish({"iteration": iteration})
    return "done"


def hangs(backend: Any, user_messenger: Any, **_: Any) -> None:
    while True:
        time.sleep(60)


def hangs_in_c(backend: Any, user_messenger: Any, **_: Any) -> None:
    ctypes.CDLL(None).sleep(3600)


def ignores_stop(backend: Any, user_messenger: Any, **_: Any) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    hangs(backend, user_messenger)


def dies(backend: Any, user_messenger: Any, **_: Any) -> None:
    os.kill(os.getpid(), signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CPU, (1, 1))  # the first process of a namespace lives on
    while True:
        pass


def exits(backend: Any, user_messenger: Any, **_: Any) -> None:
    os._exit(3)


def raises(backend: Any, user_messenger: Any, **_: Any) -> None:
    raise ValueError("as asked")


def raises_what_is_no_text(backend: Any, user_messenger: Any, **_: Any) -> None:
    raise ValueError("a file named \udcff")


def closes_its_output(backend: Any, user_messenger: Any, **_: Any) -> int:
    sys.stdout.write("the last of it")
    sys.stdout.close()
    os.close(2)
    return os.getpid()


def writes(backend: Any, user_messenger: Any, end: str = "returns", **_: Any) -> str:
    sys.stdout.write("to stdout\n")
    sys.stderr.write("to stderr\n")
    os.write(1, b"by the system call\n")
    ctypes.CDLL(None).puts(b"by libc")
    sys.stdout.write("without a newline")
    if end == "dies":
        sys.stdout.flush()
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "raises":
        raise ValueError("after writing")
    return "done"


def writes_then_hangs(backend: Any, user_messenger: Any, **_: Any) -> None:
    sys.stdout.write("here I am\n")
    hangs(backend, user_messenger)


def floods_the_log(backend: Any, user_messenger: Any, mib: int = 3, **_: Any) -> str:
    line = "x" * 1023 + "\n"
    for _ in range(mib * 1024):
        sys.stdout.write(line)
    return "done"


def floods_the_stream(backend: Any, user_messenger: Any, path: str, **_: Any) -> str:
    """Publishes 64 KiB a thousand times, and notes in the file *path* how far it came."""
    for number in range(1000):
        user_messenger.publish("x" * 65536)
        Path(path).write_text(str(number))
    return "done"


def returns_a_secret_of_the_environment(backend: Any, user_messenger: Any, **_: Any) -> Any:
    return sorted(name for name in os.environ if name.startswith("QJB_"))


def starts_a_process(backend: Any, user_messenger: Any, end: str = "hangs", **_: Any) -> None:
    child = subprocess.Popen(["sleep", "3600"])
    user_messenger.publish({"pid": child.pid})
    if end == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "hangs":
        hangs(backend, user_messenger)


def draws(backend: Any, user_messenger: Any, **_: Any) -> list[float]:
    import random

    import numpy as np

    return [random.random(), float(np.random.random())]


def names_its_process(backend: Any, user_messenger: Any, seconds: float = 0, **_: Any) -> list[int]:
    user_messenger.publish({"pid": os.getpid()})
    time.sleep(seconds)
    return [os.getpid(), os.getpgid(0), len(list(Path("/dev/fd").iterdir()))]


def returns_a_thing(backend: Any, user_messenger: Any, **_: Any) -> Any:
    return b"bytes have no form in JSON"


def publishes_a_thing(backend: Any, user_messenger: Any, **_: Any) -> str:
    user_messenger.publish(b"bytes have no form in JSON")
    user_messenger.publish("text has")
    return "done"


def fills_memory(backend: Any, user_messenger: Any, mib: int = 10_000, **_: Any) -> int:
    """Takes memory bit by bit, as a simulation does that grows."""
    taken = []
    for _ in range(mib // 8):
        taken.append(bytearray(b"x") * (8 * 1024 * 1024))
        time.sleep(0.001)
    return len(taken) * 8


def asks_for_too_much(backend: Any, user_messenger: Any, **_: Any) -> int:
    return len(bytearray(50 * 1024**3))


def translates_a_want_of_memory(backend: Any, user_messenger: Any, **_: Any) -> None:
    """As libraries do that know one kind of error only."""
    try:
        asks_for_too_much(backend, user_messenger)
    except MemoryError as error:
        raise ValueError("it can not be done") from error


def aborts_for_want_of_memory(backend: Any, user_messenger: Any, **_: Any) -> None:
    """As Rust does."""
    os.write(2, b"memory allocation of 34359738368 bytes failed\n")
    os.abort()


def returns_a_text(
    backend: Any, user_messenger: Any, mib: int, times: int = 1, **_: Any
) -> list[str]:
    return ["x" * mib * 2**20] * times


def returns_much(backend: Any, user_messenger: Any, mib: int, **_: Any) -> str:
    return "x" * (mib * 1024 * 1024)


def crashes(backend: Any, user_messenger: Any, **_: Any) -> None:
    ctypes.string_at(0)


def starts_a_daemon(backend: Any, user_messenger: Any, end: str = "returns", **_: Any) -> None:
    """Starts a process as daemons do: in a session of its own, and with its parent gone."""
    reader, writer = os.pipe()
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            os.write(writer, str(os.getpid()).encode())
            time.sleep(3600)
        os._exit(0)
    os.wait()
    user_messenger.publish({"pid": int(os.read(reader, 20))})
    if end == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if end == "hangs":
        hangs(backend, user_messenger)


def leaves_a_thread(backend: Any, user_messenger: Any, **_: Any) -> int:
    """Its thread publishes and writes for ever."""

    def speak() -> None:
        while True:
            user_messenger.publish("I am still here")
            sys.stdout.write("still here\n")
            time.sleep(0.0001)

    threading.Thread(target=speak, daemon=True).start()
    return os.getpid()


def publishes_from_threads(backend: Any, user_messenger: Any, **_: Any) -> str:
    def speak(number: int) -> None:
        for _ in range(50):
            user_messenger.publish(str(number) * 100_000)

    threads = [threading.Thread(target=speak, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return "done"


def changes_its_process(backend: Any, user_messenger: Any, **_: Any) -> Any:
    """What it found, before it left all of it changed."""
    found = [
        os.environ.get("LEFT"),
        str(Path.cwd()),
        sys.getrecursionlimit(),
        hasattr(sys.modules["json"], "left"),
        signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL,
        len(list(Path("/dev/fd").iterdir())),
    ]
    os.environ["LEFT"] = "behind"
    os.chdir("/tmp")
    sys.setrecursionlimit(5000)
    sys.modules["json"].left = True  # type: ignore[attr-defined]
    signal.signal(signal.SIGUSR1, signal.SIG_IGN)
    os.open("/dev/null", os.O_RDONLY)
    return found


def writes_garbage(backend: Any, user_messenger: Any, ends: bool = False, **_: Any) -> None:
    os.write(3, b"garbage, " * 100)
    if not ends:
        hangs(backend, user_messenger)


def closes_its_connection(backend: Any, user_messenger: Any, **_: Any) -> None:
    os.close(3)
    hangs(backend, user_messenger)


def forges(backend: Any, user_messenger: Any, kind: int, text: str, attempt: int, **_: Any) -> str:
    """Sends a frame of its own making."""
    import struct

    data = text.encode("latin-1")
    os.write(3, struct.pack("!IIB", len(data), attempt, kind) + data)
    return "its own"
