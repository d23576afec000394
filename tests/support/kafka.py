"""A real Apache Kafka for tests, benchmarks and drills, from its published jars.

Needs a JDK 17 or later, and fetches 43 MB of jars once, into the user's cache folder.

    python -m tests.support.kafka up DIR [--nodes N]    start; prints host:port,…
    python -m tests.support.kafka stop|start|kill|pause|resume DIR NODE
    python -m tests.support.kafka down DIR              stop all nodes; the data stay
"""

import argparse
import asyncio
import ctypes
import fcntl
import functools
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from jgo.maven import MavenContext, PythonResolver
from joserfc.jwk import ECKey
from platformdirs import user_cache_path

from tests.support.awaiting import eventually, eventually_here
from tests.support.processes import free_port

FILES = Path(__file__).parent / "kafka_files"
JARS = FILES / "jars.txt"
STARTED = b"Kafka Server started"
START_WITHIN = 90.0  # seconds
CLUSTER_ID = "cWpiLWthZmthLXRlc3RzMQ"


class NoKafkaError(Exception):
    """No Kafka can run here; the message says why."""


def jars() -> Path:
    """The folder of jars, fetched from Maven Central if it is not in the cache yet."""
    version = re.search(r"^org.apache.kafka:kafka-server:(.+)$", JARS.read_text(), re.MULTILINE)
    assert version is not None
    cache = user_cache_path("quantum-job-broker")
    folder = cache / f"kafka-{version[1]}"
    if not folder.exists():
        cache.mkdir(parents=True, exist_ok=True)
        with (cache / "lock").open("w") as lock:  # several test runs may want it at once
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not folder.exists():
                _fetch(folder)
    return folder


def _fetch(folder: Path) -> None:
    new = folder.with_name(folder.name + ".new")
    shutil.rmtree(new, ignore_errors=True)
    new.mkdir()
    wanted = [line for line in JARS.read_text().splitlines() if not line.startswith("#")]
    with tempfile.TemporaryDirectory() as repository, ThreadPoolExecutor(8) as pool:
        # The list is resolved already, so that jgo need not, which it does unlike Maven.
        maven = MavenContext(repo_cache=Path(repository), resolver=PythonResolver())

        def fetch(line: str) -> None:
            group, artifact, version = line.split(":")
            jar = maven.project(group, artifact).at_version(version).artifact().resolve()
            shutil.move(jar, new / jar.name)

        try:
            for _ in pool.map(fetch, wanted):
                pass
        except (OSError, RuntimeError) as error:
            raise NoKafkaError(f"Kafka's jars could not be fetched: {error}") from error
    new.rename(folder)


def java() -> str:
    """The Java to run, 17 or later."""
    found = shutil.which("java")
    if found is None:
        raise NoKafkaError("there is no JDK here (java), which Kafka runs on")
    said = subprocess.run([found, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < 17:
        raise NoKafkaError(f"Kafka needs Java 17 or later, here is {said.splitlines()[:1]}")
    return found


@dataclass
class Node:
    """One Kafka process, broker and controller in one."""

    number: int
    port: int
    controller: int
    home: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.home / "log"

    @property
    def pid(self) -> int | None:
        """Its process, if it lives; also one that another run of this script started."""
        if self.process is not None:
            return self.process.pid if self.process.poll() is None else None
        try:
            pid = int((self.home / "pid").read_text())
            os.kill(pid, 0)
        except (FileNotFoundError, ProcessLookupError):
            return None
        return pid

    def send(self, number: signal.Signals) -> None:
        if (pid := self.pid) is not None:
            os.kill(pid, number)


@dataclass
class KafkaCluster:
    """Some nodes under one folder. Its methods block; nodes count from 1."""

    folder: Path
    nodes: list[Node]
    lasting: bool = False  # goes on after this process
    is_brief: bool = False  # sooner there, at half the work, for less speed in the long run
    heap: str = "256m"
    settings: dict[str, str] = field(default_factory=dict)
    secured_port: int = 0
    signing_key: ECKey | None = None
    properties: list[str] = field(default_factory=list)  # of Java

    @classmethod
    def make(cls, folder: Path, count: int = 1, **more: object) -> "KafkaCluster":
        """A new cluster, not started yet, or the one that was made in *folder* before."""
        plan = folder / "plan.json"
        if not plan.exists():
            folder.mkdir(parents=True, exist_ok=True)
            plan.write_text(json.dumps([free_port() for _ in range(2 * count)]))
        ports = json.loads(plan.read_text())
        nodes = [
            Node(i + 1, ports[2 * i], ports[2 * i + 1], folder / f"node-{i + 1}")
            for i in range(len(ports) // 2)
        ]
        return cls(folder, nodes, **more)  # type: ignore[arg-type]

    @property
    def bootstrap(self) -> str:
        return ",".join(f"127.0.0.1:{node.port}" for node in self.nodes)

    @property
    def url(self) -> str:
        return f"kafka://{self.bootstrap}"

    @property
    def certificate(self) -> Path:
        """What to trust, after `secure`."""
        return self.folder / "ca.pem"

    def secure(self) -> None:
        """Before `up`, of one node: TLS and SASL at `secured_port`, and rights.

        There `admin` may do everything and `guest` nothing. By PLAIN and SCRAM-SHA-512 the password
        is the name; OAUTHBEARER takes JWTs for `kafka` that are signed with `signing_key`.
        """
        key = ["-alias", "node", "-keystore", str(self.folder / "keys"), "-storepass", "changeit"]
        san = ["-keyalg", "RSA", "-dname", "CN=node", "-ext", "san=ip:127.0.0.1"]
        try:
            subprocess.run(["keytool", "-genkeypair", *san, *key], check=True)
            export = ["-exportcert", "-rfc", "-file", str(self.certificate)]
            subprocess.run(["keytool", *export, *key], check=True, stderr=subprocess.DEVNULL)
        except OSError as error:
            raise NoKafkaError("there is no JDK here (keytool)") from error
        self.secured_port = free_port()
        plain = self._config(self.nodes[0])
        more = f",SECURED://127.0.0.1:{self.secured_port}"
        self.settings = {
            "listeners": plain["listeners"] + more,
            "advertised.listeners": plain["advertised.listeners"] + more,
            "listener.security.protocol.map": plain["listener.security.protocol.map"]
            + ",SECURED:SASL_SSL",
            "ssl.keystore.location": str(self.folder / "keys"),
            "ssl.keystore.password": "changeit",
            **self._mechanisms(),
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS;User:admin",
        }

    def _mechanisms(self) -> dict[str, str]:
        """How to log in at `secured_port`; sessions end with their token, those of SCRAM after 3 s."""
        self.signing_key = ECKey.generate_key("P-256", {"kid": "kafka"})
        known = self.folder / "known-keys.json"
        known.write_text(json.dumps({"keys": [self.signing_key.as_dict(private=False)]}))
        self.properties = [f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={known.as_uri()}"]
        security = "org.apache.kafka.common.security"
        users = " ".join(f'user_{name}="{name}"' for name in ("admin", "guest", "alpha"))
        here, tokens = "listener.name.secured", "listener.name.secured.oauthbearer"
        return {
            f"{here}.sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-512,OAUTHBEARER",
            f"{here}.plain.sasl.jaas.config": f"{security}.plain.PlainLoginModule required {users};",
            f"{here}.scram-sha-512.sasl.jaas.config": f"{security}.scram.ScramLoginModule required;",
            f"{here}.scram-sha-512.connections.max.reauth.ms": "3000",
            f"{tokens}.sasl.jaas.config": f"{security}.oauthbearer.OAuthBearerLoginModule required;",
            f"{tokens}.sasl.server.callback.handler.class": (
                f"{security}.oauthbearer.OAuthBearerValidatorCallbackHandler"
            ),
            f"{tokens}.sasl.oauthbearer.jwks.endpoint.url": known.as_uri(),
            f"{tokens}.sasl.oauthbearer.expected.audience": "kafka",
        }

    def acls(self, *asked: str) -> str:
        """What `kafka-acls` says, as somebody who may do everything."""
        command = ["--bootstrap-server", self.bootstrap, *asked]
        tool = self._java("org.apache.kafka.tools.AclCommand", *command, heap="64m")
        return subprocess.run(tool, capture_output=True, text=True, check=True).stdout

    def up(self) -> "KafkaCluster":
        """Start all nodes and wait until they serve."""
        self._format()
        for node in self.nodes:
            self._launch(node)
        for node in self.nodes:
            self._wait(node)
        self.settle()
        return self

    def start(self, number: int) -> None:
        """Start a node again, and wait until it has caught up with the others."""
        node = self.nodes[number - 1]
        self._launch(node)
        self._wait(node)
        self.settle()

    def settle(self) -> None:
        """Wait until every copy of every partition is up to date: another node may die then."""
        with ThreadPoolExecutor(1) as thread:  # there may be a loop in this one
            thread.submit(asyncio.run, in_sync(self.bootstrap)).result()

    def kill(self, number: int) -> None:
        """SIGKILL."""
        self._end(self.nodes[number - 1], signal.SIGKILL)

    def stop(self, number: int) -> None:
        """SIGTERM, and SIGKILL after half a minute."""
        self._end(self.nodes[number - 1], signal.SIGTERM)

    def pause(self, number: int) -> None:
        """Let it hang."""
        self.nodes[number - 1].send(signal.SIGSTOP)

    def resume(self, number: int) -> None:
        """Let it go on."""
        self.nodes[number - 1].send(signal.SIGCONT)

    def down(self, *, hard: bool = False) -> None:
        """Stop every node; the data stay."""
        for node in self.nodes:
            node.send(signal.SIGCONT)
            node.send(signal.SIGKILL if hard else signal.SIGTERM)
        for node in self.nodes:
            self._end(node, signal.SIGKILL if hard else signal.SIGTERM)

    # Its own

    def _java(self, main: str, *args: str, heap: str) -> list[str]:
        options = [f"-Xmx{heap}", f"-Xms{heap}", "-XX:+UseSerialGC", "-Xshare:auto"]
        if self.is_brief:
            options.append("-XX:TieredStopAtLevel=1")
        config = f"-Dlog4j2.configurationFile={FILES / 'log4j2.xml'}"
        return [java(), *options, *self.properties, config, "-cp", f"{jars()}/*", main, *args]

    def _format(self) -> None:
        tools = []
        for node in self.nodes:
            node.home.mkdir(parents=True, exist_ok=True)
            config = node.home / "server.properties"
            config.write_text(
                "".join(f"{name}={value}\n" for name, value in self._config(node).items())
            )
            if not (node.home / "data" / "meta.properties").exists():
                task = ["format", "-t", CLUSTER_ID, "-c", str(config)]
                if self.secured_port:
                    task += ["--add-scram", "SCRAM-SHA-512=[name=admin,password=admin]"]
                tools.append(
                    subprocess.Popen(
                        self._java("kafka.tools.StorageTool", *task, heap="64m"),
                        stdout=subprocess.PIPE,
                        stderr=subprocess.STDOUT,
                        text=True,
                    )
                )
        for tool in tools:
            said, _ = tool.communicate()
            if tool.returncode:
                raise NoKafkaError(f"Kafka's storage could not be formatted: {said[-2000:]}")

    def _config(self, node: Node) -> dict[str, str]:
        copies = min(len(self.nodes), 3)
        voters = ",".join(f"{n.number}@127.0.0.1:{n.controller}" for n in self.nodes)
        return {
            "process.roles": "broker,controller",
            "node.id": str(node.number),
            "controller.quorum.voters": voters,
            "listeners": f"CLIENT://127.0.0.1:{node.port},CONTROLLER://127.0.0.1:{node.controller}",
            "advertised.listeners": f"CLIENT://127.0.0.1:{node.port}",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "CLIENT",
            "listener.security.protocol.map": "CLIENT:PLAINTEXT,CONTROLLER:PLAINTEXT",
            "log.dirs": str(node.home / "data"),
            "auto.create.topics.enable": "false",
            "default.replication.factor": str(copies),
            "min.insync.replicas": "2" if copies == 3 else "1",
            "offsets.topic.replication.factor": str(copies),
            "offsets.topic.num.partitions": "4",
            "transaction.state.log.replication.factor": str(copies),
            "transaction.state.log.min.isr": "2" if copies == 3 else "1",
            "transaction.state.log.num.partitions": "4",
            "group.initial.rebalance.delay.ms": "0",
            "broker.session.timeout.ms": "6000",
            "broker.heartbeat.interval.ms": "1000",
            "num.network.threads": "2",
            "num.io.threads": "4",
            "log.cleaner.dedupe.buffer.size": "8000000",
            "log.cleaner.backoff.ms": "500",
            "log.index.size.max.bytes": "1048576",
        } | self.settings

    def _launch(self, node: Node) -> None:
        if node.pid is not None:
            return
        node.log.write_bytes(b"")
        command = self._java("kafka.Kafka", str(node.home / "server.properties"), heap=self.heap)
        with node.log.open("ab") as log:
            node.process = _launcher.submit(
                subprocess.Popen,
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=None if self.lasting else _end_with_parent,
            ).result()
        (node.home / "pid").write_text(str(node.process.pid))

    def _wait(self, node: Node) -> None:
        with suppress(TimeoutError):
            eventually_here(lambda: node.pid is None or _has_started(node), START_WITHIN)
        if not _has_started(node):
            text = node.log.read_bytes()[-3000:].decode(errors="replace")
            raise NoKafkaError(f"Kafka node {node.number} did not start: {text}")

    def _end(self, node: Node, number: signal.Signals, limit: float = 30.0) -> None:
        node.send(number)
        try:
            eventually_here(lambda: node.pid is None, limit)
        except TimeoutError:
            node.send(signal.SIGKILL)
            eventually_here(lambda: node.pid is None)


async def in_sync(servers: str) -> None:
    """Wait until every copy of every partition is up to date."""
    from aiokafka.admin import AIOKafkaAdminClient
    from aiokafka.errors import KafkaError

    async def caught_up() -> bool:
        admin = AIOKafkaAdminClient(bootstrap_servers=servers, request_timeout_ms=5000)
        try:
            await admin.start()
            topics = await admin.describe_topics()
        except (KafkaError, OSError, TimeoutError):
            return False
        finally:
            await admin.close()
        return all(
            partition["leader"] >= 0 and set(partition["isr"]) == set(partition["replicas"])
            for topic in topics
            for partition in topic["partitions"]
        )

    await eventually(caught_up, within=START_WITHIN)


def _has_started(node: Node) -> bool:
    return STARTED in node.log.read_bytes()


# The death of the thread that started it ends a process too, so it is always this one.
_launcher = ThreadPoolExecutor(1, "kafka-launcher")


@functools.cache
def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None)


_libc()  # loaded before there is a child that must not load anything


def _end_with_parent() -> None:
    """In the child, on Linux: be killed when the test run dies, however it does."""
    if sys.platform == "linux":
        _libc().prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("do", choices=["up", "down", "stop", "start", "kill", "pause", "resume"])
    parser.add_argument("folder", type=Path)
    parser.add_argument("node", type=int, nargs="?")
    parser.add_argument("--nodes", type=int, default=1)
    asked = parser.parse_args()
    cluster = KafkaCluster.make(asked.folder.absolute(), asked.nodes, lasting=True)
    if asked.do == "up":
        print(cluster.up().bootstrap)
    elif asked.do == "down":
        cluster.down()
    else:
        getattr(cluster, asked.do)(asked.node)


if __name__ == "__main__":
    try:
        main()
    except NoKafkaError as error:
        sys.exit(str(error))
