"""HTTP itself: what clients, proxies and strangers do to a server, whatever they ask for."""

from structlog.testing import capture_logs

from tests.support.gateway import running


async def test_a_slash_behind_a_path_changes_nothing() -> None:
    async with running(brokered=True) as served:
        job_id = (await served.post("/v1/jobs/", {"program_id": "hello-world"}))["id"]
        assert (await served.get(f"/jobs/{job_id}/"))["id"] == job_id
        for path in ("/jobs", "/programs", "/backends", "/live", "/openapi.json"):
            assert await served.get(path + "/") == await served.get(path)


async def test_answers_do_not_tell_what_made_them() -> None:
    async with running() as served:
        for path in ("/live", "/jobs", "/nowhere", "/"):
            async with served.http.get(served.url + path) as response:
                assert response.headers["Server"] == "qjb"


async def test_probes_and_scrapes_are_no_news() -> None:
    async with running() as served:
        with capture_logs() as lines:
            for path in ("/live", "/ready", "/metrics", "/live/", "/programs"):
                await served.get(path)

    told = {line["route"]: line["log_level"] for line in lines if line["event"] == "http.request"}
    assert told == {"/live": "debug", "/ready": "debug", "/metrics": "debug", "/programs": "info"}
