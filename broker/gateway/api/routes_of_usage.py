"""The routes of what jobs and sessions take."""

from broker.errors import InvalidRequestError, UnavailableError
from broker.gateway.api import usage, workloads
from broker.gateway.api.describing import (
    NUMBER,
    SECONDS,
    WHOLE,
    YES_OR_NO,
    Schema,
    a_list,
    an_error,
    an_object,
    as_json,
    or_null,
    text,
)
from broker.gateway.api.places import Route
from broker.gateway.api.shapes_of_workloads import WorkloadPage, WorkloadsAsked

_MOMENT = text(format="date-time")
_USED: Schema = WHOLE | {
    "description": "How many seconds jobs ran that ended today or in the 27 days before, in UTC; left"
    " out while a gateway reads the history."
}
_METRICS: Schema = an_object(
    "timestamps usage",
    timestamps=an_object(
        "created running finished",
        created=_MOMENT,
        running=or_null(_MOMENT),
        finished=or_null(_MOMENT),
    ),
    usage=an_object(
        "status seconds quantum_seconds qpu_charge_time_seconds",
        status=text("`pending` until the job has ended.", enum=["pending", "finalized"]),
        seconds=SECONDS | {"description": "How long the newest attempt has run."},
        quantum_seconds=SECONDS,
        qpu_charge_time_seconds=SECONDS,
    ),
    bss=an_object("seconds", seconds=SECONDS),
    estimated_running_time_seconds=or_null(
        NUMBER | {"description": "What jobs on this backend took lately."}
    ),
    qiskit_version=or_null(text()),
    program_version=or_null(text()),
    attempt=WHOLE,
    position_in_queue=WHOLE | {"description": "While it waits, if that is known: 1 is next."},
    estimated_start_time=_MOMENT,
    estimated_completion_time=_MOMENT,
)
USAGE = (
    Route(
        "GET",
        "/jobs/{job_id}/metrics",
        usage.metrics,
        "getMetrics",
        "What a job took, and where it waits",
        {200: as_json("Times, use, place in the queue.", _METRICS), 404: an_error("No such job.")},
    ),
    Route(
        "GET",
        "/instances/usage",
        usage.of_instance,
        "getInstanceUsage",
        "Whether more may be submitted",
        {
            200: as_json(
                "Nothing is charged for here, so that no limit is ever reached.",
                an_object(
                    "instance_id plan_id usage_limit_reached",
                    instance_id=text(),
                    plan_id=text(),
                    usage_limit_reached=YES_OR_NO,
                    usage_consumed_seconds=_USED,
                    usage_period=an_object(
                        "start_time end_time", start_time=_MOMENT, end_time=_MOMENT
                    ),
                ),
            )
        },
    ),
    Route(
        "GET",
        "/usage",
        usage.of_instances,
        "getUsage",
        "The same, for clients before 2025",
        {
            200: as_json(
                "The one instance that a tenant has.",
                an_object(
                    "byInstance",
                    byInstance=a_list(
                        an_object(
                            "instance pendingJobs",
                            instance=text(),
                            pendingJobs=WHOLE,
                            usage=_USED,
                            maxPendingJobs=WHOLE
                            | {"description": "How many may wait, if that has a limit."},
                        )
                    ),
                ),
            )
        },
    ),
    Route(
        "GET",
        "/workloads",
        workloads.listing,
        "listWorkloads",
        "List sessions, batches and the jobs of neither, the newest first",
        {200: WorkloadPage},
        query=WorkloadsAsked,
        errors=(InvalidRequestError, UnavailableError),
    ),
)
