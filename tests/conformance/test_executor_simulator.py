"""What the simulator executor promises beyond the protocol: real processes, real circuits."""

import asyncio
import gc
import itertools
import os
import pty
import resource
import select
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
import pytest_asyncio
from structlog.testing import capture_logs

from executors.base import Executor, Stop
from executors.children.forkserver import NICE
from executors.children.launcher import ForkServer
from executors.children.output import CUT, PIECE, TOTAL
from executors.children.pool import AGAIN_AFTER, SPARES
from executors.simulator import Run, SimulatorExecutor
from schemas.limits import MIB
from schemas.reports import Died
from tests.support.awaiting import eventually, settled, stays
from tests.support.circuits import BELL_2, BELL_3, bell_encoded, large
from tests.support.executing import (
    bodies,
    gone,
    kind,
    kinds,
    last,
    log_of,
    started,
    task,
    until_begun,
    value,
)
from tests.support.limits import no_more_descriptors
from tests.support.programs import PROGRAMS

pytestmark = pytest.mark.asyncio(loop_scope="module")

SLOTS = 2


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def executor() -> AsyncIterator[SimulatorExecutor]:
    made = SimulatorExecutor(SLOTS, PROGRAMS)
    async with started(made):
        yield made


def total_variation(one: dict[str, int], other: dict[str, float]) -> float:
    shots = sum(one.values())
    keys = {*one, *other}
    return sum(abs(one.get(key, 0) / shots - other.get(key, 0.0)) for key in keys) / 2


# Programs and circuits


@pytest.mark.parametrize("form", ["OpenQASM 2", "OpenQASM 3", "QPY"])
async def test_a_bell_circuit_gives_equal_bits_in_any_form(
    executor: SimulatorExecutor, form: str
) -> None:
    circuit = {"OpenQASM 2": BELL_2, "OpenQASM 3": BELL_3, "QPY": bell_encoded()}[form]

    end = await last(executor, task("sampler", {"circuits": [circuit, circuit]}))

    assert kind(end) == "returned"
    for counts in value(end)["raw_counts"]:
        assert set(counts) == {"00", "11"}
        assert sum(counts.values()) == 1024
        assert total_variation(counts, {"00": 0.5, "11": 0.5}) < 0.15


async def test_a_seed_makes_the_counts_repeatable(executor: SimulatorExecutor) -> None:
    inputs = {"circuits": BELL_2, "run_config": {"shots": 500, "seed_simulator": 7}}

    ends = [await last(executor, task("sampler", inputs)) for _ in range(2)]

    assert value(ends[0]) == value(ends[1])
    assert sum(value(ends[0])["raw_counts"][0].values()) == 500


@pytest.mark.parametrize("backend", ["fake_line_5", "fake_heavy_hex_19", "fake_heavy_hex_57"])
async def test_a_device_model_is_noisy_but_not_much(
    executor: SimulatorExecutor, backend: str
) -> None:
    inputs = {"circuits": BELL_3, "run_config": {"shots": 20000, "seed_simulator": 1}}

    end = await last(executor, task("sampler", inputs, backend=backend))

    counts = value(end)["raw_counts"][0]
    assert counts.get("01", 0) + counts.get("10", 0) > 0
    assert total_variation(counts, {"00": 0.5, "11": 0.5}) < 0.1


async def test_mitigation_brings_the_distribution_closer_to_the_ideal(
    executor: SimulatorExecutor,
) -> None:
    inputs = {
        "circuits": BELL_3,
        "run_config": {"shots": 100_000, "seed_simulator": 1},
        "use_measurement_mitigation": True,
        "return_mitigation_overhead": True,
    }

    result = value(await last(executor, task("sampler", inputs, backend="fake_heavy_hex_19")))

    (raw,), (quasi,), (overhead,) = (
        result["raw_counts"],
        result["quasiprobabilities"],
        result["mitigation_overhead"],
    )
    wrong = (raw.get("01", 0) + raw.get("10", 0)) / 100_000
    assert abs(quasi.get("01", 0.0)) + abs(quasi.get("10", 0.0)) < wrong
    assert overhead >= 1


async def test_circuit_runner_takes_every_input_of_2021(executor: SimulatorExecutor) -> None:
    inputs = {
        "circuits": [BELL_2],
        "shots": 200,
        "initial_layout": {"0": 3, "1": 2},
        "layout_method": "noise_adaptive",
        "routing_method": "stochastic",
        "translation_method": "unroller",
        "seed_transpiler": 1,
        "optimization_level": 2,
        "init_qubits": True,
        "rep_delay": 0.0001,
        "transpiler_options": {"approximation_degree": 1.0},
        "measurement_error_mitigation": True,
    }

    found = await bodies(executor, task("circuit-runner", inputs, backend="fake_line_5"))

    result = value(found[-1])
    assert result["success"] is True
    assert sum(result["results"][0]["data"]["counts"].values()) == 200
    assert "quasiprobabilities" in result["results"][0]["header"]
    for name in ("noise_adaptive", "stochastic", "unroller"):
        assert f"'{name}' is gone from Qiskit" in log_of(found)


@pytest.mark.parametrize(
    ("program", "word"), [("hello-world", "Hello, World!"), ("sample-program", "All done!")]
)
async def test_the_sample_programs_publish_counts_and_say_their_word(
    executor: SimulatorExecutor, program: str, word: str
) -> None:
    found = await bodies(executor, task(program, {"iterations": 3}, backend="fake_line_5"))

    published = [value(body) for body in found if kind(body) == "published"]
    assert [one["iteration"] for one in published] == [0, 1, 2]
    assert all(sum(one["counts"].values()) == 1024 for one in published)
    assert value(found[-1]) == word


async def test_a_circuit_of_two_hundred_clifford_gates_runs_on_the_ideal_simulator(
    executor: SimulatorExecutor,
) -> None:
    chain = "".join(f"cx q[{number}],q[{number + 1}];" for number in range(199))
    text = f'OPENQASM 2.0; include "qelib1.inc"; qreg q[200]; creg c[200]; h q[0]; {chain} measure q->c;'

    end = await last(executor, task("sampler", {"circuits": text}))

    assert set(value(end)["raw_counts"][0]) == {"0" * 200, "1" * 200}


@pytest.mark.parametrize(
    ("circuits", "told"),
    [
        ([BELL_2, "OPENQASM 2.0; qreg q[1]; nope q[0];"], "circuits[1] is not valid OpenQASM 2"),
        ("OPENQASM 3.0; qubit[2 q;", "circuits is not valid OpenQASM 3"),
        ("hello", "circuits does not begin with OPENQASM"),
        ('OPENQASM 2.0; include "/etc/passwd";', "unable to find '/etc/passwd'"),
        (["OPENQASM 3.0; qubit q;"], "circuits[0] measures nothing"),
        ("OPENQASM 3.0; input float a; qubit q; bit c; U(a,0,0) q; c = measure q;", "value: a"),
        (
            [{"__type__": "QuantumCircuit", "__value__": "AAAA"}],
            "circuits[0] is not a valid QuantumCircuit",
        ),
        (
            [bell_encoded() | {"__value__": bell_encoded()["__value__"][:80]}],
            "circuits[0] is not a valid QuantumCircuit",
        ),
    ],
)
async def test_bad_circuits_are_named_plainly(
    executor: SimulatorExecutor, circuits: Any, told: str
) -> None:
    end = await last(executor, task("sampler", {"circuits": circuits}))

    assert (kind(end), end.reason) == ("raised", "invalid_inputs")
    assert told in end.message
    assert "Traceback" not in end.message


async def test_inputs_that_are_not_json_are_told(executor: SimulatorExecutor) -> None:
    end = await last(executor, task("returns", b'{"value": '))

    assert (kind(end), end.reason) == ("raised", "invalid_inputs")


async def test_whole_numbers_may_be_floats_and_nulls_are_defaults(
    executor: SimulatorExecutor,
) -> None:
    config = {"shots": None, "seed_simulator": 7.0, "precision": None}
    written = {"circuits": BELL_2, "run_config": config, "skip_transpilation": None}
    plain = {"circuits": BELL_2, "run_config": {"seed_simulator": 7}}

    ends = [await last(executor, task("sampler", inputs)) for inputs in (written, plain)]
    runner = {"circuits": BELL_2, "shots": 50.0, "optimization_level": 0.0, "memory": None}
    other = await last(executor, task("circuit-runner", runner))

    assert value(ends[0]) == value(ends[1])
    assert value(other)["results"][0]["shots"] == 50


async def test_large_inputs_are_checked_by_the_worker(executor: SimulatorExecutor) -> None:
    inputs = {"circuits": "x" * (9 * 1024 * 1024), "skip_transpilation": "yes"}

    end = await last(executor, task("sampler", inputs))

    assert (kind(end), end.reason) == ("raised", "invalid_inputs")
    assert [violation.path for violation in end.violations] == ["/params/skip_transpilation"]


async def test_a_circuit_too_wide_for_the_device_is_an_error_of_the_job(
    executor: SimulatorExecutor,
) -> None:
    text = 'OPENQASM 2.0; include "qelib1.inc"; qreg q[9]; creg c[9]; h q; measure q->c;'

    end = await last(executor, task("sampler", {"circuits": text}, backend="fake_line_5"))

    assert (kind(end), end.reason) == ("raised", "invalid_inputs")
    assert "9 qubits" in end.message


async def test_an_unknown_backend_or_program_is_told(executor: SimulatorExecutor) -> None:
    where = await last(executor, task("returns", backend="nowhere"))
    what = await last(executor, task("nothing"))

    assert "no backend 'nowhere'" in where.message
    assert "no program 'nothing'" in what.message


async def test_a_result_that_json_has_no_form_for_is_an_invalid_result(
    executor: SimulatorExecutor,
) -> None:
    end = await last(executor, task("returns-a-thing"))

    assert (kind(end), end.reason) == ("raised", "invalid_result")


async def test_results_that_break_the_schema_are_not_told_as_results() -> None:
    programs = {
        "hello-world": "tests.support.programs:publishes",  # interim results without counts
        "sample-program": "tests.support.programs:returns",  # another word than it promises
    }
    async with started(SimulatorExecutor(1, programs)) as executor:
        *interim, end = await bodies(executor, task("hello-world", {"count": 2}))
        final = await bodies(executor, task("sample-program", {"value": "no"}))

    assert kinds(interim) == ["began", "withheld", "withheld"]
    (wrong,) = interim[1].violations
    assert (wrong.path, wrong.rule, wrong.value) == ("", 'required: "counts"', '{"iteration":0}')
    for raised, returned in ((end, "done"), (final[-1], "no")):
        assert (kind(raised), raised.reason) == ("raised", "invalid_result")
        assert [one.value for one in raised.violations] == [f'"{returned}"']
        assert value(raised) == returned  # kept for its author


async def test_what_json_has_no_form_for_is_withheld_and_the_program_runs_on() -> None:
    programs = {"things": "tests.support.programs:publishes_a_thing"}
    async with started(SimulatorExecutor(1, programs)) as executor:
        found = await bodies(executor, task("things"))

    assert kinds(found) == ["began", "withheld", "published", "returned"]
    assert "bytes" in found[1].message
    assert [one.rule for one in found[1].violations] == ["json"]


# What the program writes


@pytest.mark.parametrize("end", ["returns", "raises", "dies"])
async def test_all_that_is_written_by_whatever_means_is_told_before_the_end(
    executor: SimulatorExecutor, end: str
) -> None:
    found = await bodies(executor, task("writes", {"end": end}))

    text = log_of(found)
    assert kind(found[-1]) == {"returns": "returned", "raises": "raised", "dies": "died"}[end]
    assert "to stderr\n" in text
    assert "by the system call\n" in text
    assert "without a newline" in text
    if end != "dies":  # libc's own buffer dies with the process
        assert "by libc\n" in text


async def test_a_flood_of_output_is_cut_and_says_so(executor: SimulatorExecutor) -> None:
    found = await bodies(executor, task("floods-the-log"))

    pieces = [body.text for body in found if kind(body) == "logged"]
    assert sum(len(piece) for piece in pieces) == TOTAL + len(CUT)
    assert max(len(piece) for piece in pieces) <= PIECE
    assert pieces[-1] == CUT
    assert kind(found[-1]) == "returned"


async def test_output_comes_while_the_program_runs(executor: SimulatorExecutor) -> None:
    stop = Stop()
    run = executor.run(task("writes-then-hangs"), stop)

    found = [await anext(run), await anext(run)]

    assert kinds(found) == ["began", "logged"]
    await run.aclose()


async def test_output_of_one_attempt_is_not_told_by_the_next(executor: SimulatorExecutor) -> None:
    await bodies(executor, task("writes"))

    assert kinds(await bodies(executor, task("returns"))) == ["began", "returned"]


# Processes


async def test_a_run_in_the_middle_of_cpp_is_stopped(executor: SimulatorExecutor) -> None:
    stop = Stop()
    run = executor.run(task("sampler", {"circuits": large()}), stop)
    await anext(run)
    following = asyncio.ensure_future(anext(run))
    await asyncio.sleep(0.5)  # long enough to be inside Aer

    stop.ask("user_request")
    end = await asyncio.wait_for(following, 20)  # the circuit takes a minute and more

    assert kind(end) == "stopped"


def lowest_free(pid: int) -> int:
    """The descriptor that process *pid* would get next."""
    used = {int(fd.name) for fd in Path(f"/proc/{pid}/fd").iterdir()}
    return next(fd for fd in itertools.count() if fd not in used)


async def test_an_attempt_for_which_there_are_no_descriptors_waits_and_that_is_told_once(
    executor: SimulatorExecutor,
) -> None:
    with capture_logs() as told:
        with no_more_descriptors():
            for _ in range(SLOTS + SPARES):  # those that are there
                assert kind(await last(executor, task("dies"))) == "died"
            waiting = [asyncio.ensure_future(last(executor, task("returns"))) for _ in range(4)]
            stop = Stop()
            stopped = asyncio.ensure_future(last(executor, task("returns"), stop))
            await stays(lambda: not any(a.done() for a in waiting), 3 * AGAIN_AFTER)
            stop.ask("user_request")
            assert kind(await stopped) == "stopped"
            assert not any(attempt.done() for attempt in waiting)
        assert [kind(end) for end in await asyncio.gather(*waiting)] == ["returned"] * 4

    assert [line["event"] for line in told] == ["child.not_made", "child.made_again"]


async def until_serving(executor: Executor) -> None:
    """The first children may take longer than an attempt waits for one."""
    while kind(await last(executor, task("returns"))) != "returned":
        pass


async def test_an_attempt_for_which_there_are_no_descriptors_for_long_is_given_back() -> None:
    async with started(SimulatorExecutor(1, PROGRAMS, child_within=0.3)) as executor:
        await until_serving(executor)
        with no_more_descriptors():
            while (await last(executor, task("dies"))).reason != "worker_busy":
                pass  # by a child that is there
            for _ in range(2):
                end = await last(executor, task("returns"))
                assert (kind(end), end.reason) == ("died", "worker_busy")
                assert "Too many open files" in end.message

        await until_serving(executor)


async def test_a_program_that_raises_what_is_no_text_is_told_as_any_other(
    executor: SimulatorExecutor,
) -> None:
    end = await last(executor, task("raises-what-is-no-text"))

    assert (kind(end), end.reason) == ("raised", "program_error")
    assert "a file named" in end.message


async def test_what_a_program_raised_stands_before_its_traceback(
    executor: SimulatorExecutor,
) -> None:
    end = await last(executor, task("raises"))

    first, empty, traceback, *_ = end.message.splitlines()
    assert (first, empty) == ("ValueError: as asked", "")
    assert traceback == "Traceback (most recent call last):"


async def test_a_program_that_closes_its_output_ends_as_any_other_and_its_child_is_replaced(
    executor: SimulatorExecutor,
) -> None:
    found = await bodies(executor, task("closes-its-output"))
    other = await bodies(executor, task("writes"))

    assert kinds(found) == ["began", "logged", "returned"]
    assert kinds(other) == ["began", "logged", "returned"]
    assert value(found[-1]) != value((await bodies(executor, task("names-its-process")))[-1])[0]


async def test_a_child_that_exits_says_with_which_status(executor: SimulatorExecutor) -> None:
    end = await last(executor, task("exits"))

    assert kind(end) == "died"
    assert "exited with status 3" in end.message


async def test_a_child_has_a_process_group_of_its_own_and_no_descriptors_of_others(
    executor: SimulatorExecutor,
) -> None:
    pid, group, descriptors = value(await last(executor, task("names-its-process")))

    assert group == pid
    assert descriptors == 5  # input, output, errors, the connection, and the listing itself


async def test_a_child_yields_the_processors_to_the_service(executor: SimulatorExecutor) -> None:
    """Linux shares them between sessions first (autogroups), and by priority within one only."""
    run = executor.run(task("names-its-process", {"seconds": 0.5}), Stop())
    await anext(run)
    pid = value(await anext(run))["pid"]

    assert os.getsid(pid) == os.getsid(0)
    assert psutil.Process(pid).nice() == psutil.Process().nice() + NICE
    await run.aclose()


@pytest.mark.skipif(
    not Path("/sys/kernel/mm/transparent_hugepage/enabled").exists()
    or "[never]" in Path("/sys/kernel/mm/transparent_hugepage/enabled").read_text(),
    reason="no huge pages here",
)
async def test_a_large_state_is_held_in_huge_pages(executor: SimulatorExecutor) -> None:
    stop = Stop()
    run = executor.run(task("sampler", {"circuits": large(22)}), stop)
    await anext(run)
    children = psutil.Process(executor.fork_server_pid).children()

    await eventually(lambda: max(map(huge, children)) >= 16 * MIB * 4)  # 2**22 of complex128

    stop.ask("user_request")
    await anext(run)


def huge(process: psutil.Process) -> int:
    """The bytes of memory that a process holds in huge pages; none if it is gone."""
    try:
        told = Path(f"/proc/{process.pid}/smaps_rollup").read_text()
    except OSError:
        return 0
    return 1024 * int(told.partition("AnonHugePages:")[2].split()[0])


async def test_signals_by_which_a_service_ends_are_left_to_the_parent(
    executor: SimulatorExecutor,
) -> None:
    run = executor.run(task("names-its-process", {"seconds": 0.5}), Stop())
    await anext(run)
    pid = value(await anext(run))["pid"]

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        for process in (executor.fork_server_pid, pid):
            os.kill(process, number)

    assert kind(await anext(run)) == "returned"
    assert psutil.pid_exists(executor.fork_server_pid)


async def test_what_a_program_starts_ends_at_these_signals_as_it_would_elsewhere(
    executor: SimulatorExecutor,
) -> None:
    stop = Stop()
    run = executor.run(task("starts-a-process"), stop)
    await anext(run)
    pid = value(await anext(run))["pid"]

    os.kill(pid, signal.SIGTERM)

    await gone(pid)
    await run.aclose()


async def test_where_memory_runs_out_children_go_before_the_service(
    executor: SimulatorExecutor,
) -> None:
    pid = value(await last(executor, task("names-its-process")))[0]
    own = adjustment(os.getpid())

    assert adjustment(executor.fork_server_pid) == own
    assert adjustment(pid) == min(own + 500, 1000)


def adjustment(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


async def test_children_that_are_started_are_counted() -> None:
    started_so_far: list[None] = []
    made = SimulatorExecutor(1, PROGRAMS, on_child=lambda: started_so_far.append(None))
    async with started(made):
        assert len(started_so_far) == 1 + SPARES
        await last(made, task("dies"))
        assert len(started_so_far) == 2 + SPARES


async def test_an_attempt_above_the_slots_waits_for_one(executor: SimulatorExecutor) -> None:
    stops = [Stop() for _ in range(SLOTS)]
    runs = [await until_begun(executor, task("hangs"), stop) for stop in stops]
    third = asyncio.create_task(bodies(executor, task("returns")))
    refused = Stop()
    fourth = asyncio.create_task(bodies(executor, task("returns"), refused))
    await stays(lambda: not third.done(), 0.05)

    refused.ask("user_request")
    assert kinds(await fourth) == ["stopped"]
    stops[0].ask("user_request")
    await runs[0][1]

    assert kinds(await third) == ["began", "returned"]
    stops[1].ask("user_request")
    await runs[1][1]


async def test_a_child_can_run_ahead_by_a_bounded_amount_only(
    executor: SimulatorExecutor, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"
    run = executor.run(task("floods-the-stream", {"path": str(mark)}), Stop())
    await anext(run)
    await eventually(lambda: mark.exists())
    came = int(await settled(mark.read_text))

    found = [body async for body in run]

    assert came < 100
    assert kinds(found) == ["published"] * 1000 + ["returned"]


async def test_large_inputs_and_results_pass_whole(executor: SimulatorExecutor) -> None:
    text = "x" * (20 * 1024 * 1024)

    end = await last(executor, task("returns", {"value": text}))

    assert value(end) == text


async def test_a_result_that_is_too_large_is_told_with_its_size(
    executor: SimulatorExecutor,
) -> None:
    end = await last(executor, task("returns-much", {"mib": 130}))

    assert (kind(end), end.reason) == ("raised", "invalid_result")
    assert end.message == "the final result has 130 MiB, and 128 MiB is the most"


async def test_children_draw_different_random_numbers(executor: SimulatorExecutor) -> None:
    drawn = []
    for _ in range(2):
        drawn.append(value(await last(executor, task("draws"))))
        await bodies(executor, task("dies"))

    assert drawn[0][0] != drawn[1][0]
    assert drawn[0][1] != drawn[1][1]


async def test_settings_do_not_reach_children(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("QJB_SECRET", "hush")
    async with started(SimulatorExecutor(1, PROGRAMS)) as executor:
        end = await last(executor, task("returns-a-secret-of-the-environment"))

    assert value(end) == []


async def test_a_lost_fork_server_costs_the_attempts_and_is_replaced() -> None:
    async with started(SimulatorExecutor(1, PROGRAMS)) as executor:
        assert isinstance(executor, SimulatorExecutor)
        lost = executor.fork_server_pid
        run, following = await until_begun(executor, task("names-its-process"), Stop())
        children = psutil.Process(lost).children()
        await following
        await run.aclose()
        _, following = await until_begun(executor, task("hangs"), Stop())

        os.kill(lost, signal.SIGKILL)

        assert kind(await following) == "died"
        assert kind(await last(executor, task("returns"))) == "returned"
        assert executor.fork_server_pid != lost
        for child in children:
            await gone(child.pid)


async def test_where_the_fork_server_is_lost_again_and_again_attempts_are_handed_back() -> None:
    broken = SimulatorExecutor(1, {"broken": "no_such_module:main"}, child_within=3.0)
    with capture_logs() as logs:
        async with started(broken) as executor:
            body = await last(executor, task("hello-world"))

    assert isinstance(body, Died)
    assert body.reason == "worker_busy"
    lost = [entry for entry in logs if entry["event"] == "forkserver.lost"]
    assert 1 <= len(lost) <= 6  # less and less often: 0.1, 0.2, 0.4, 0.8, 1.6 s


async def test_a_fork_server_that_can_not_be_started_is_tried_again() -> None:
    async with started(SimulatorExecutor(1, PROGRAMS)) as executor:
        assert isinstance(executor, SimulatorExecutor)
        first = executor.fork_server_pid
        with capture_logs() as logs:
            with no_more_descriptors():
                os.kill(first, signal.SIGKILL)
                await eventually(lambda: errors(logs))
            await eventually(lambda: executor.fork_server_pid not in (0, first))
            os.kill(executor.fork_server_pid, signal.SIGKILL)  # while it starts

            assert kind(await last(executor, task("returns"))) in ("died", "returned")
            assert kind(await last(executor, task("returns"))) == "returned"
    shortage, *_, killed = errors(logs)
    assert "Too many open files" in shortage
    assert "ForkServerError" in killed


def errors(logs: Sequence[Mapping[str, Any]]) -> list[str]:
    return [str(line["error"]) for line in logs if line["event"] == "forkserver.start_failed"]


async def test_a_fork_server_that_is_ready_just_as_nobody_waits_any_more_is_no_error() -> None:
    loop, errors = asyncio.get_running_loop(), list[object]()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, context: errors.append(context))
    server = ForkServer({}, 64 * MIB, on_lost=lambda: None)
    starting = asyncio.create_task(server.start())
    await eventually(lambda: server.pid)
    assert server._wire is not None
    select.select([server._wire._socket], [], [])  # the loop will find it after the next step

    await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    await server.close()

    loop.set_exception_handler(before)
    assert not errors


async def test_a_fork_that_fails_is_tried_again_and_costs_nobody_an_attempt() -> None:
    async with started(SimulatorExecutor(1, {"returns": "tests.support.scarce:returns"})) as found:
        assert isinstance(found, SimulatorExecutor)
        server = found.fork_server_pid

        assert kind(await last(found, task("returns"))) == "returned"
        assert found.fork_server_pid == server


async def test_an_attempt_for_which_nothing_can_be_forked_is_given_back_and_asks_for_no_more() -> (
    None
):
    programs = {"returns": "tests.support.scarce:returns", "never": "tests.support.barren:never"}
    async with started(SimulatorExecutor(1, programs, child_within=0.3)) as found:
        open_files = psutil.Process().num_fds()
        for _ in range(3):
            end = await last(found, task("returns"))
            assert (kind(end), end.reason) == ("died", "worker_busy")

        assert psutil.Process().num_fds() == open_files


async def test_a_fork_server_without_descriptors_for_a_child_says_so_and_serves_on() -> None:
    async with started(SimulatorExecutor(1, PROGRAMS, child_within=0.5)) as found:
        assert isinstance(found, SimulatorExecutor)
        server = found.fork_server_pid
        await until_serving(found)
        limits = resource.prlimit(server, resource.RLIMIT_NOFILE)
        few = 3  # not one of the two that a child needs
        for _ in range(2):
            resource.prlimit(server, resource.RLIMIT_NOFILE, (few, limits[1]))
            while (await last(found, task("dies"))).reason != "worker_busy":
                pass  # by a child that is there
            few = lowest_free(server) + 1  # the next time: one of the two
            resource.prlimit(server, resource.RLIMIT_NOFILE, limits)
            assert kind(await last(found, task("returns"))) == "returned"

        assert found.fork_server_pid == server


PARENT = """
import asyncio, fcntl, sys, termios
from executors.base import Stop
from executors.simulator import SimulatorExecutor
from tests.support.executing import task
from tests.support.programs import PROGRAMS

async def main():
    if sys.stdin.isatty():
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    executor = SimulatorExecutor(1, PROGRAMS)
    await executor.start()
    run = executor.run(task("starts-a-process"), Stop())
    await anext(run)
    body = await anext(run)
    print(bytes(body.value).decode(), flush=True)
    await asyncio.sleep(600)

asyncio.run(main())
"""


async def family(**options: Any) -> tuple[asyncio.subprocess.Process, list[psutil.Process]]:
    """A process with an executor, and the fork server, the child, what it started, the spare."""
    parent = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", PARENT),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        **options,
    )
    assert parent.stdout is not None
    while b'"pid"' not in await parent.stdout.readline():
        continue  # log lines
    known = psutil.Process(parent.pid)
    await eventually(lambda: len(known.children(recursive=True)) >= 4)
    return parent, known.children(recursive=True)


async def test_a_killed_parent_takes_its_children_along() -> None:
    parent, below = await family()

    parent.kill()
    await parent.wait()

    for process in below:
        await gone(process.pid)


async def test_programs_have_no_terminal_where_the_service_has_one() -> None:
    ours, theirs = pty.openpty()
    parent, below = await family(stdin=theirs, start_new_session=True)

    assert psutil.Process(parent.pid).terminal() == os.ttyname(theirs)
    assert [process.terminal() for process in below] == [None] * len(below)

    parent.kill()
    await parent.wait()
    os.close(theirs)
    os.close(ours)


async def test_an_attempt_that_has_ended_leaves_nothing_to_the_garbage_collector(
    executor: SimulatorExecutor,
) -> None:
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            assert kind(await last(executor, task("hello-world", {"iterations": 1}))) == "returned"
        left = [each for each in gc.get_objects() if isinstance(each, Run)]
    finally:
        gc.enable()

    assert left == []
