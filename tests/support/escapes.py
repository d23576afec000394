"""Programs that mean harm, by what they try, and what each of them must get.

Each is what `main(backend, user_messenger, worker, server, database, port, abstract, **more)` does,
in Python. `worker` and `server` are the pids of the worker and of its fork server, `database` a file
of the worker, `port` and `abstract` where it listens; `call` makes a system call by its number.
"""

import base64
import io
import re
import textwrap
import zlib
from dataclasses import dataclass, field
from typing import Any

HEAD = """\
import ctypes, gc, mmap, os, resource, signal, socket, sys, threading, time

libc = ctypes.CDLL(None, use_errno=True)

def call(number, *arguments):
    values = [ctypes.c_long(value) if isinstance(value, int) else value for value in arguments]
    result = libc.syscall(ctypes.c_long(number), *values)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result

"""
MAIN = "def main(backend, user_messenger, worker, server, database, port, abstract, **more):\n"


_NUMBERS = re.compile(r"\\\[Errno \(?([\d|]+)\)?\\\]")
_SIGNS = re.compile(r"[\\()]")  # of regular expressions


@dataclass(frozen=True)
class Escape:
    """One program that means harm."""

    name: str
    gets: str  # a regular expression of how its attempt ends: `returned VALUE`, `raised REASON: …`
    body: str
    limit: float = 20.0  # s
    stop_after: float | None = None  # s, after which somebody cancels it
    inputs: dict[str, Any] | bytes = field(default_factory=dict)
    result_schema: dict[str, Any] = field(default_factory=dict)  # of interim and final results
    most_said: int = 1_200_000  # bytes of output that may be passed on

    @property
    def told(self) -> str:
        """What it gets, for people."""
        text = _NUMBERS.sub(lambda found: f"errno {found[1].replace('|', '/')}", self.gets)
        parts = (part.strip("$: ") for part in _SIGNS.sub("", text.replace(".*", "… ")).split("|"))
        return " or ".join(f"`{part}`" for part in parts)

    @property
    def code(self) -> str:
        """Its source."""
        return HEAD + MAIN + textwrap.indent(textwrap.dedent(self.body).strip() + "\n", "    ")


REFUSED = r"raised program_error: PermissionError"
NOT_THERE = r"raised program_error: FileNotFoundError"
NO_WRITING = r"raised program_error: (PermissionError|OSError: \[Errno (30|18)\])"
TOO_LONG = r"stopped ran_too_long"
INVALID_INPUTS = r"raised invalid_inputs: "
INVALID_RESULT = r"raised invalid_result: "
NO_MEMORY = r"raised out_of_memory: "
BROKEN = r"raised program_error: the program broke the connection"
CRASHED = r"died child_crashed: .*killed by "
UNPACKS = r"raised (invalid_inputs|out_of_memory): "
NOTHING = r"returned \[\]$"

FILES = [
    Escape("read /etc/passwd", NOT_THERE, "open('/etc/passwd')"),
    Escape("ask for /etc/passwd", NOT_THERE, "os.stat('/etc/passwd')"),
    Escape("go up to /etc/passwd", NOT_THERE, "open('../' * 20 + 'etc/passwd')"),
    Escape(
        "follow a symlink to /etc/passwd",
        NOT_THERE,
        "os.symlink('/etc/passwd', 'link')\nopen('link')",
    ),
    Escape("list the root", REFUSED, "return sorted(os.listdir('/'))"),
    Escape(
        "open a file by its handle", REFUSED, "call(304, -100, ctypes.create_string_buffer(128), 0)"
    ),
    Escape("read the log's database", NOT_THERE, "open(database)"),
    Escape("list another job's scratch folder", NOTHING, "return os.listdir('/scratch')"),
    Escape("find files in /tmp", rf"{NOTHING}|{REFUSED}", "return os.listdir('/tmp')"),
    Escape("find shared memory in /dev/shm", NOTHING, "return os.listdir('/dev/shm')"),
    Escape("list /proc", NOT_THERE, "os.listdir('/proc')"),
    Escape(
        "read the environment of the worker", NOT_THERE, "open(f'/proc/{worker}/environ', 'rb')"
    ),
    Escape("read the memory of the worker", NOT_THERE, "open(f'/proc/{worker}/mem', 'rb')"),
    Escape("read its own memory map", NOT_THERE, "open('/proc/self/maps')"),
    Escape("read the machine's memory", NOT_THERE, "open('/dev/mem', 'rb')"),
    Escape(
        "make a device",
        REFUSED,
        "os.mknod('memory', 0o020666, os.makedev(1, 1))",
    ),
    Escape("write into Python's library", NO_WRITING, "open(os.__file__, 'a')"),
    Escape(
        "write into the service's code",
        NO_WRITING,
        "import executors\nopen(executors.__file__, 'w')",
    ),
    Escape("link a file of Python's library", NO_WRITING, "os.link(os.__file__, 'link')"),
    Escape("write beside the scratch folder", NO_WRITING, "open('/new', 'w')"),
    Escape(
        "attach attributes to files", REFUSED, "open('a', 'w')\nos.setxattr('a', 'user.a', b'')"
    ),
]

NETWORK = [
    Escape(
        "sockets of any family",
        NOTHING,
        """
        made = []
        for family in range(1, 50):
            for kind in (1, 2, 3, 5):
                try:
                    made.append([family, kind, socket.socket(family, kind).fileno()])
                except OSError:
                    pass
        return made
        """,
    ),
    Escape("connect to the worker", REFUSED, "socket.create_connection(('127.0.0.1', port))"),
    Escape(
        "connect to an abstract socket of the worker",
        REFUSED,
        "socket.socket(socket.AF_UNIX).connect('\\0' + abstract)",
    ),
    Escape(
        "connect a pair to an abstract socket",
        REFUSED,
        "one, _ = socket.socketpair()\none.connect('\\0' + abstract)",
    ),
    Escape(
        "datagrams to an abstract socket",
        REFUSED,
        """
        one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        one.sendto(b'x', '\\0' + abstract)
        """,
    ),
    Escape("send to an address", REFUSED, "socket.socketpair()[0].sendto(b'x', '\\0' + abstract)"),
    Escape(
        "pass descriptors on",
        REFUSED,
        "one, _ = socket.socketpair()\nsocket.send_fds(one, [b'x'], [0])",
    ),
    Escape("list network interfaces", REFUSED, "socket.if_nameindex()"),
    Escape(
        "descriptors that are open already",
        r"returned \[0,1,2,3\]$",
        """
        found = []
        for fd in range(1024):
            try:
                os.fstat(fd)
            except OSError:
                continue
            found.append(fd)
        return found
        """,
    ),
    Escape("read what else is told to it", TOO_LONG, "return len(os.read(3, 1))", limit=0.5),
]

PROCESSES = [
    Escape("attach to the worker", REFUSED, "call(101, 16, worker, 0, 0)"),
    Escape("be traced", REFUSED, "call(101, 0, 0, 0, 0)"),
    Escape(
        "read the worker's memory at once",
        REFUSED,
        "call(310, worker, ctypes.create_string_buffer(64), 1, ctypes.create_string_buffer(64), 1, 0)",
    ),
    Escape("take hold of the worker", REFUSED, "os.pidfd_open(worker)"),
    Escape("kill the worker", REFUSED, "os.kill(worker, signal.SIGKILL)"),
    Escape("kill the fork server", REFUSED, "os.kill(server, signal.SIGKILL)"),
    Escape("kill all", REFUSED, "os.kill(-1, signal.SIGKILL)"),
    Escape("kill its group", REFUSED, "os.kill(0, signal.SIGKILL)"),
    Escape("kill a thread of the worker", REFUSED, "call(234, worker, worker, 9)"),
    Escape("queue a signal", REFUSED, "call(129, worker, 9, ctypes.create_string_buffer(128))"),
    Escape("limit the worker", REFUSED, "resource.prlimit(worker, resource.RLIMIT_NOFILE, (3, 3))"),
    Escape("run with another's priority", REFUSED, "os.setpriority(os.PRIO_PROCESS, 0, -20)"),
    Escape("fork", REFUSED, "os.fork()"),
    Escape("a fork bomb", REFUSED, "while True:\n    os.fork()"),
    Escape("fork as the kernel names it", REFUSED, "call(56, signal.SIGCHLD, 0, 0, 0, 0)"),
    Escape(
        "fork in the new way", r"raised program_error: OSError: \[Errno 38\]", "call(435, 0, 0)"
    ),
    Escape("fork twice and live on", REFUSED, "os.fork() or os.fork() or os.setsid()"),
    Escape("leave the session", REFUSED, "os.setsid()"),
    Escape("start a program", REFUSED, "__import__('subprocess').run(['/bin/true'])"),
    Escape("become a program", REFUSED, "os.execv('/bin/true', ['true'])"),
    Escape(
        "become a file of its own",
        REFUSED,
        """
        open('own', 'wb').write(b'#!/bin/true\\n')
        os.chmod('own', 0o4755)
        os.execv('own', ['own'])
        """,
    ),
    Escape(
        "become a file that is open only",
        REFUSED,
        "os.execve(os.open('/dev/null', os.O_RDONLY), ['true'], {})",
    ),
    Escape("a file in memory", REFUSED, "os.memfd_create('own')"),
    Escape(
        "load a library of its own",
        r"raised program_error: (OSError|PermissionError)",
        """
        with open(__import__('math').__file__, 'rb') as library:
            open('own.so', 'wb').write(library.read())
        ctypes.CDLL('./own.so')
        """,
    ),
    Escape(
        "a bomb of threads",
        r"raised (program_error: RuntimeError: can't start new thread|out_of_memory: )",
        """
        while True:
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
        """,
    ),
    Escape(
        "a thread that outlives main",
        r"returned \"done\"$",
        """
        def go_on():
            while True:
                user_messenger.publish('still here')
        threading.Thread(target=go_on, daemon=True).start()
        return 'done'
        """,
    ),
    Escape(
        "threads that nobody waits for in vain",
        r"returned \"done\"$",
        "threading.Thread(target=lambda: time.sleep(3600)).start()\nreturn 'done'",
    ),
    Escape(
        "what is to run at its exit",
        r"returned \"done\"$",
        "__import__('atexit').register(time.sleep, 3600)\nreturn 'done'",
    ),
]

KERNEL = [
    Escape("namespaces again", REFUSED, "call(272, 0x10000000)"),
    Escape("another's namespaces", REFUSED, "call(308, 0, 0)"),
    Escape("mount", REFUSED, "libc.mount and call(165, b'none', b'/scratch', b'tmpfs', 0, 0)"),
    Escape("unmount", REFUSED, "call(166, b'/scratch', 2)"),
    Escape("another root", REFUSED, "os.chroot('/scratch')"),
    Escape("the old root", REFUSED, "call(155, b'/', b'/scratch')"),
    Escape("the user of the machine", REFUSED, "os.setuid(0)"),
    Escape("the groups of the machine", REFUSED, "os.setgroups([0])"),
    Escape("capabilities", REFUSED, "call(126, ctypes.create_string_buffer(8), 0)"),
    Escape("a filter of its own", REFUSED, "call(317, 1, 0, 0)"),
    Escape("keys of the kernel", REFUSED, "call(250, 0, -3, 0)"),
    Escape("rings of calls", REFUSED, "call(425, 8, ctypes.create_string_buffer(128))"),
    Escape("faults of pages", REFUSED, "call(323, 0)"),
    Escape(
        "programs in the kernel", REFUSED, "call(321, 0, ctypes.create_string_buffer(128), 128)"
    ),
    Escape("counters of the processor", REFUSED, "call(298, 0, 0, -1, -1, 0)"),
    Escape("type into a terminal", REFUSED, "__import__('fcntl').ioctl(0, 0x5412, b'x')"),
    Escape("another personality", REFUSED, "call(135, 0x0040000)"),
    Escape(
        "calls of another kind of machine",
        r"raised program_error: OSError: \[Errno 38\]",
        "call(0x40000000 + 39)",
    ),
    Escape(
        "calls of 32 bits",
        CRASHED + "SIGSYS",
        """
        code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        code.write(bytes.fromhex('b814000000cd80c3'))  # getpid by int 0x80
        address = ctypes.addressof(ctypes.c_char.from_buffer(code))
        return ctypes.CFUNCTYPE(ctypes.c_int)(address)()
        """,
    ),
    Escape(
        "every other call",
        NOTHING,
        """
        from executors.sandbox.calls import ATTRIBUTES, CHECKED, FREE
        made, allowed = [], FREE | ATTRIBUTES | set(CHECKED.values())
        for number in set(range(600)) - allowed - {335, 336}:  # not filtered
            try:
                call(number, -1, -1, -1, -1, -1, -1)
                made.append(number)
            except OSError as error:
                if error.errno not in (1, 38):
                    made.append([number, error.errno])
        return made
        """,
    ),
    Escape(
        "limits raised again",
        r"raised program_error: ValueError",
        "resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))",
    ),
    Escape("another clock", REFUSED, "time.clock_settime(time.CLOCK_REALTIME, 0)"),
    Escape("another name of the machine", REFUSED, "socket.sethostname('host')"),
    Escape(
        "who it is and where",
        r'returned \[65534,65534,1,0,"sandbox",\[\]\]$',
        """
        kept = {'LANG', 'LC_ALL', 'LC_CTYPE', 'TZ', 'HOME', 'TMPDIR'}
        there = sorted(set(os.environ) - kept)
        return [os.getuid(), os.getgid(), os.getpid(), os.getppid(), os.uname().nodename, there]
        """,
    ),
    Escape(
        "secrets in memory that it was forked with",
        NOTHING,
        """
        word = '-'.join(['secret', 'of', 'the', 'worker'])
        held = [thing for thing in gc.get_objects() if isinstance(thing, (dict, list, tuple))]
        texts = [text for thing in held if len(thing) < 500
                 for text in (thing.values() if isinstance(thing, dict) else thing)
                 if isinstance(text, str)]
        return [text for text in texts if word in text]
        """,
    ),
]

BOMBS = [
    Escape(
        "a memory bomb", NO_MEMORY, "held = []\nwhile True:\n    held.append(bytearray(8_000_000))"
    ),
    Escape(
        "a memory bomb with its limit lifted",
        NO_MEMORY,
        """
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))
        held = []
        while True:
            held.append(b'x' * 8_000_000)
        """,
    ),
    Escape(
        "a memory bomb of arrays",
        NO_MEMORY,
        "import numpy\nheld = []\nwhile True:\n    held.append(numpy.ones(10**6))",
    ),
    Escape(
        "a memory bomb of shared maps",
        NO_MEMORY,
        """
        held = []
        while True:
            held.append(mmap.mmap(-1, 1 << 24))
            held[-1].write(b'x' * (1 << 24))
        """,
    ),
    Escape(
        "more addresses than there may be",
        r"raised (out_of_memory|program_error: OSError: \[Errno 12\])",
        "held = [mmap.mmap(-1, 1 << 40, mmap.MAP_PRIVATE, mmap.PROT_READ) for _ in range(64)]",
    ),
    Escape("shared memory segments", REFUSED, "call(29, 0, 1 << 30, 0o1666)"),
    Escape("message queues", REFUSED, "call(68, 0, 0o1666)"),
    Escape(
        "memory in pipes",
        r"returned \d{1,8}$",
        """
        import fcntl
        held = 0
        try:
            while True:
                _, pipe = os.pipe()
                os.set_blocking(pipe, False)
                try:
                    fcntl.fcntl(pipe, 1031, 1 << 20)
                except OSError:
                    pass
                try:
                    while True:
                        held += os.write(pipe, b'x' * 65536)
                except BlockingIOError:
                    pass
        except OSError:
            return held
        """,
    ),
    Escape(
        "a disk bomb",
        r"raised program_error: OSError: \[Errno (28|27|122)\]",
        """
        for number in range(10_000):
            with open(f'{number}', 'wb') as file:
                for _ in range(16):
                    file.write(b'x' * (1 << 20))
        """,
    ),
    Escape(
        "a disk bomb by way of /dev/shm",
        r"raised program_error: OSError: \[Errno (28|27)\]",
        """
        for number in range(10_000):
            with open(f'/dev/shm/{number}', 'wb') as file:
                file.write(b'x' * (1 << 23))
        """,
    ),
    Escape(
        "a file that is large and empty",
        r"raised program_error: OSError: \[Errno 27\]",
        "open('a', 'wb').truncate(1 << 40)",
    ),
    Escape(
        "a bomb of files",
        r"raised program_error: OSError: \[Errno 28\]",
        "for number in range(1_000_000):\n    open(f'{number}', 'x').close()",
    ),
    Escape(
        "a bomb of folders in folders",
        r"raised program_error: OSError: \[Errno (28|36)\]",
        "while True:\n    os.mkdir('a')\n    os.chdir('a')",
    ),
    Escape(
        "a flood of output",
        r"returned \"done\"$",
        "for _ in range(1_000):\n    os.write(1, b'x' * 100_000)\nreturn 'done'",
    ),
    Escape(
        "output into a closed pipe",
        r"returned \"done\"$",
        "os.close(1)\nos.close(2)\nreturn 'done'",
    ),
    Escape(
        "10,000,000 interim results",
        r"raised program_error: .*interim results",
        "for number in range(10_000_000):\n    user_messenger.publish(number)",
        limit=60,
    ),
    Escape(
        "large interim results without end",
        r"raised program_error: .*interim results",
        "while True:\n    user_messenger.publish('x' * 10_000_000)",
        limit=60,
    ),
    Escape(
        "calls of itself without end",
        r"raised (program_error: RecursionError|out_of_memory)|died child_crashed",
        "sys.setrecursionlimit(10**9)\ndef again():\n    again()\nagain()",
    ),
    Escape(
        "a pattern that goes back for ever",
        TOO_LONG,
        "__import__('re').match('(a+)+$', 'a' * 60 + '!')",
        limit=0.5,
    ),
    Escape(
        "ignore all signals and keep Python's lock",
        TOO_LONG,
        """
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        ctypes.PyDLL(None).usleep(3_600_000_000)
        while True:
            ctypes.PyDLL(None).sleep(3600)
        """,
        limit=0.5,
    ),
    Escape(
        "ignore being cancelled, with Python's lock",
        r"stopped user_request",
        """
        for number in range(1, 65):
            try:
                signal.signal(number, signal.SIG_IGN)
            except (OSError, ValueError):
                pass
        while True:
            ctypes.PyDLL(None).sleep(3600)
        """,
        stop_after=0.3,
    ),
    Escape("stop itself", r"returned \"on\"$", "os.kill(os.getpid(), signal.SIGSTOP)\nreturn 'on'"),
    Escape("sleep for ever", TOO_LONG, "signal.pause()", limit=0.5),
    Escape("end at once", r"died child_(died|crashed)", "os._exit(0)"),
    Escape("crash", CRASHED, "ctypes.string_at(0)"),
    Escape(
        "catch all that ends it",
        TOO_LONG,
        "while True:\n    try:\n        time.sleep(9)\n    except BaseException:\n        pass",
        limit=0.5,
    ),
]

TALK = [
    Escape("say what is no report", BROKEN, "os.write(3, b'\\xff' * 100)\ntime.sleep(9)"),
    Escape(
        "announce a giant frame",
        BROKEN,
        "import struct\nos.write(3, struct.pack('!IIB', 200_000_000, 1, 4))\ntime.sleep(9)",
    ),
    Escape(
        "speak as the fork server",
        BROKEN,
        "import struct\nfor kind in (10, 11, 12):\n    os.write(3, struct.pack('!IIB', 2, 1, kind) + b'{}')\ntime.sleep(9)",
    ),
    Escape(
        "begin twice",
        BROKEN,
        "import struct\nos.write(3, struct.pack('!IIB', 0, 1, 2))\ntime.sleep(9)",
    ),
    Escape(
        "say that it ended in no words",
        BROKEN,
        "import struct\nos.write(3, struct.pack('!IIB', 3, 1, 4) + b'...')\ntime.sleep(9)",
    ),
    Escape(
        "speak of another attempt",
        r"returned \"mine\"$",
        "import struct\nfor attempt in (0, 2, 7):\n    os.write(3, struct.pack('!IIB', 6, attempt, 4) + b'\"mine'[:1] + b'not\"!')\nreturn 'mine'",
    ),
    Escape(
        "end for a reason that is another's",
        r"raised program_error: ",
        'import struct\ntext = b\'{"reason":"worker_stopped","message":"again"}\'\nos.write(3, struct.pack(\'!IIB\', len(text), 1, 5) + text)\ntime.sleep(9)',
    ),
    Escape(
        "the messenger's insides",
        r"returned 1$",
        """
        from executors.children.child import Line
        from executors.children.frames import Kind
        own = [thing for thing in gc.get_objects() if isinstance(thing, Line)]
        for attempt in (0, 2, 3):
            Line(own[0].connection, attempt).tell(Kind.RETURNED, b'2')
        return len(own)
        """,
    ),
    Escape(
        "the frames of who calls it",
        r"returned \[\]$",
        """
        frame, found = sys._getframe(), []
        while frame:
            found += [name for name in frame.f_locals if 'secret' in name or 'token' in name]
            frame = frame.f_back
        return found
        """,
    ),
    Escape("hang up", BROKEN, "os.close(3)\ntime.sleep(9)"),
]

RESULTS = [
    Escape(
        "a result that never ends encoding",
        TOO_LONG,
        "class Long:\n    def to_json(self):\n        while True:\n            pass\nreturn Long()",
        limit=0.5,
    ),
    Escape("a result of itself", INVALID_RESULT, "held = []\nheld.append(held)\nreturn held"),
    Escape(
        "a result that makes more of itself",
        INVALID_RESULT,
        "class More:\n    def to_json(self):\n        return [More()]\nreturn More()",
    ),
    Escape("a result of endless items", INVALID_RESULT, "return (n for n in iter(int, 1))"),
    Escape(
        "a set of endless items",
        r"(stopped ran_too_long|raised out_of_memory)",
        "class Many(set):\n    def __iter__(self):\n        while True:\n            yield 1\nreturn Many()",
        limit=2,
    ),
    Escape(
        "a result that is reduced for ever",
        INVALID_RESULT,
        "class Odd:\n    def __reduce__(self):\n        while True:\n            pass\nreturn Odd()",
    ),
    Escape(
        "a result that is huge",
        r"raised (invalid_result|out_of_memory): |died child_crashed",
        "return 'x' * 150_000_000",
    ),
    Escape(
        "a result of many small things",
        r"raised (invalid_result|out_of_memory): ",
        "return [[]] * 80_000_000",
    ),
    Escape(
        "an exception that never ends being told",
        TOO_LONG,
        "class Long(Exception):\n    def __str__(self):\n        while True:\n            pass\nraise Long()",
        limit=0.5,
    ),
    Escape(
        "exceptions in a ring",
        r"(raised program_error|stopped ran_too_long)",
        "one, two = ValueError(1), ValueError(2)\none.__context__, two.__context__ = two, one\nraise one",
        limit=1,
    ),
    Escape(
        "an exception that is long",
        r"raised program_error: ValueError",
        "raise ValueError('x' * 50_000_000)",
    ),
]


def _packed(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data, 9)).decode()


def _bomb(head: bytes) -> str:
    """A GiB of zeros behind *head*, packed; made of one MiB again and again."""
    packer = zlib.compressobj(9)
    first = packer.compress(head) + packer.flush(zlib.Z_FULL_FLUSH)
    zeros = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    return base64.b64encode(first + zeros * 1024).decode()


def _pickled() -> str:
    import numpy as np

    buffer = io.BytesIO()
    np.save(buffer, np.array([print], dtype=object), allow_pickle=True)
    return _packed(buffer.getvalue())


def _typed(name: str, value: Any, **more: str) -> dict[str, Any]:
    return {"a": {"__type__": name, **more, "__value__": value}}


SEEN = "return repr(more)[:60]"
INPUTS = [
    Escape("inputs that are pickles", INVALID_INPUTS, SEEN, inputs=_typed("ndarray", _pickled())),
    Escape(
        "inputs that unpack without end",
        UNPACKS,
        SEEN,
        inputs=_typed("ndarray", _bomb(b"")),
    ),
    Escape(
        "circuits that unpack without end",
        UNPACKS,
        SEEN,
        inputs=_typed("QuantumCircuit", _bomb(b"QISKIT")),
    ),
    Escape(
        "circuits that announce more than there is",
        INVALID_INPUTS,
        SEEN,
        inputs=_typed("QuantumCircuit", _packed(b"QISKIT\x0c\x02\x06\x02" + b"\xff" * 64)),
    ),
    Escape(
        "settings of a module",
        INVALID_INPUTS,
        SEEN,
        inputs=_typed("settings", {"args": "true"}, __module__="subprocess", __class__="Popen"),
    ),
    Escape(
        "settings that are no class of Qiskit's",
        INVALID_INPUTS,
        SEEN,
        inputs=_typed("settings", {}, __module__="qiskit.quantum_info", __class__="os"),
    ),
    Escape("a type that nobody knows", r"returned ", SEEN, inputs=_typed("os.system", "true")),
    Escape(
        "inputs that are deep",
        INVALID_INPUTS,
        SEEN,
        inputs=b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ),
    Escape(
        "inputs that are deep and typed",
        r"raised invalid_inputs",
        SEEN,
        inputs=b'{"a":' + b'{"__type__":"set","__value__":[' * 400 + b"]}" * 400 + b"}",
    ),
    Escape("inputs called like what main is given", INVALID_INPUTS, SEEN, inputs={"backend": 1}),
]

PAST_THE_CHECK = [  # what its process lets through, if it wants to; the worker looks again
    Escape(
        "say a large nothing",
        r"(raised (program_error: the program broke|invalid_result))",
        "import struct\nsize = 3_000_000\ndata = struct.pack('!IIB', size, 1, 4) + b'.' * size\nwhile data:\n    data = data[os.write(3, data):]\ntime.sleep(9)",
    ),
    Escape(
        "return past its own schema",
        INVALID_RESULT,
        "import struct\nos.write(3, struct.pack('!IIB', 3, 1, 4) + b'\"a\"')\ntime.sleep(9)",
        result_schema={"type": "integer"},
    ),
    Escape(
        "publish past its own schema",
        r"returned 1$",
        "import struct\nos.write(3, struct.pack('!IIB', 3, 1, 3) + b'\"a\"')\nreturn 1",
        result_schema={"type": "integer"},
    ),
]

AREAS = {
    "Files": FILES,
    "Network and descriptors": NETWORK,
    "Other processes": PROCESSES,
    "The kernel": KERNEL,
    "Bombs, and what will not end": BOMBS,
    "The connection to the worker": TALK,
    "Results": RESULTS,
    "Inputs": INPUTS,
}
ESCAPES = {escape.name: escape for area in AREAS.values() for escape in area}
