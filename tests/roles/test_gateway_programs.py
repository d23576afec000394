"""Programs over HTTP: what can be imported, and what somebody brings."""

from broker.gateway.fleet import Fleet
from schemas.workers import EnvironmentAnnounced, Heartbeat, Package
from tests.support.gateway import Running, eventually, running

PACKAGES = (Package("PyYAML", "6.0.4", ("_yaml", "yaml")),)


async def has_workers(served: Running, *names: str, packages: tuple[Package, ...]) -> None:
    """Workers of these *names* live, and have *packages*."""
    for name in names:
        await served.ledger.status(
            EnvironmentAnnounced(name, "3.11.7", packages),
            Heartbeat(worker=name, instance="i", slots=1, backends=()),
        )
    fleet: Fleet = served.gateway._parts.fleet
    await eventually(lambda: len(fleet.environments) >= len(names))


async def test_what_programs_can_import_is_listed_once_for_workers_that_have_the_same() -> None:
    async with running() as served:
        before = await served.get("/programs/environment")
        await has_workers(served, "w2", "w1", packages=PACKAGES)
        found = await served.get("/programs/environment")

    assert before == {"environments": []}
    assert found["environments"] == [
        {
            "workers": ["w1", "w2"],
            "python": "3.11.7",
            "packages": [{"name": "PyYAML", "version": "6.0.4", "modules": ["_yaml", "yaml"]}],
        }
    ]
