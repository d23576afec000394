"""The rights on Kafka that the docs name are enough, for roles that log in with tokens that expire."""

import asyncio
import re
import uuid
from pathlib import Path

import pytest

from tests.support.kafka import KafkaCluster
from tests.support.load import run_jobs
from tests.support.processes import free_port, role
from tests.support.streams import history_is_sound
from tests.support.systems import System
from tests.support.token_issuer import TokenIssuer, giving_tokens

OPERATIONS = (Path(__file__).resolve().parents[2] / "docs" / "operations.md").read_text()
RIGHTS = OPERATIONS.partition("Who may do what, where Kafka's ACLs are on:")[2]
PRINCIPALS = {"broker": "broker", "worker": "workers", "gateway": "gateways"}
SECONDS = 20
TROUBLE = ("log.retry", "log.unavailable", "log.append_failed", "not_logged_in", "token.unavail")
pytestmark = [pytest.mark.slow, pytest.mark.kafka, pytest.mark.timeout(240)]


def granted(principal: str) -> tuple[list[str], list[str]]:
    """The topics that *principal* writes and reads, as the docs say."""
    row = re.search(rf"^\| {principal} \| (.+) \| (.+) \|$", RIGHTS, re.MULTILINE)
    assert row is not None
    write, read = (
        [f"qjb.{name.replace(' ', '-')}.v1" for name in cell.split(", ")] for cell in row.groups()
    )
    return write, read


async def grant(cluster: KafkaCluster, prefix: str) -> None:
    """What the docs say, on topics with *prefix*."""
    users = [f"--allow-principal=User:{name}" for name in PRINCIPALS]
    whole = ["--topic", prefix, "--resource-pattern-type", "prefixed"]
    seen = [f"--operation={name}" for name in ("Describe", "DescribeConfigs", "Create")]
    commands = [[*users, *whole, *seen]]
    for name, principal in PRINCIPALS.items():
        for operation, topics in zip(("Write", "Read"), granted(principal), strict=True):
            where = [f"--topic={prefix}{topic}" for topic in topics]
            commands.append([f"--allow-principal=User:{name}", f"--operation={operation}", *where])
    await asyncio.gather(*(asyncio.to_thread(cluster.acls, "--add", *c) for c in commands))


def system_of(cluster: KafkaCluster, issuer: TokenIssuer, folder: Path, prefix: str) -> System:
    """A broker, a worker and a gateway, each a client of *issuer* with its secret in a file."""
    port = free_port()
    own = {"worker": {"slots": "1", "executor": "scripted"}, "gateway": {"port": str(port)}}
    processes = {}
    for name in PRINCIPALS:
        secret = folder / f"{name}.secret"
        secret.write_text(f"{name}\n")
        log = (
            f"kafkas://{name}@127.0.0.1:{cluster.secured_port}?mechanism=OAUTHBEARER"
            f"&token_url={issuer.url}&password_file={secret}&ca_file={cluster.certificate}"
        )
        shared = {"blobs": f"{folder}/blobs", "topic_prefix": prefix, "log_level": "debug"}
        processes[name] = role(name, log, folder / name, **shared, **own.get(name, {}))
    return System([f"http://127.0.0.1:{port}"], processes)


async def test_a_job_outlives_the_tokens_that_its_roles_logged_in_with(
    secured: KafkaCluster, tmp_path: Path
) -> None:
    prefix = f"t{uuid.uuid4().hex[:8]}."
    assert secured.signing_key is not None
    issuer = TokenIssuer(secured.signing_key, *PRINCIPALS)
    issuer.lasts = 6
    await grant(secured, prefix)
    async with giving_tokens(issuer):
        system = system_of(secured, issuer, tmp_path, prefix)
        try:
            await system.start()
            before = len(issuer.given)
            job = {"job_id": "long", "program_id": "hello-world", "params": {"iterations": SECONDS}}
            (history,) = await run_jobs(system.urls, [job], asyncio.Semaphore(0))
        finally:
            system.stop()

    history_is_sound(history)
    kinds = [event["kind"] for event in history]
    assert kinds == ["queued", "dispatched", "started", *["interim"] * SECONDS, "completed"]
    assert len(issuer.given) >= before + 3 * len(PRINCIPALS)
    for process in system.processes.values():
        told = process.output()
        assert not [trouble for trouble in TROUBLE if trouble in told], told
        assert "eyJ" not in told  # how tokens begin
