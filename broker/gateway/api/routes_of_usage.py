"""The routes of what jobs and sessions take."""

from broker.errors import UnknownJobError
from broker.gateway.api import usage, workloads
from broker.gateway.api.places import Route
from broker.gateway.api.shapes_of_usage import InstanceUsage, Metrics, Usage
from broker.gateway.api.shapes_of_workloads import WorkloadPage, WorkloadsAsked

_INSTANCE = {usage.CRN: "The instance that is meant: a tenant has one, and may call it anything."}
USAGE = (
    Route(
        "GET",
        "/jobs/{job_id}/metrics",
        usage.metrics,
        "getMetrics",
        "What a job took, and where it waits",
        {200: Metrics},
        errors=(UnknownJobError,),
    ),
    Route(
        "GET",
        "/instances/usage",
        usage.of_instance,
        "getInstanceUsage",
        "Whether more may be submitted",
        {200: InstanceUsage},
        headers=_INSTANCE,
    ),
    Route(
        "GET",
        "/usage",
        usage.of_instances,
        "getUsage",
        "The same, for clients before 2025",
        {200: Usage},
    ),
    Route(
        "GET",
        "/workloads",
        workloads.listing,
        "listWorkloads",
        "List sessions, batches and the jobs of neither, the newest first",
        {200: WorkloadPage},
        query=WorkloadsAsked,
        headers=_INSTANCE,
    ),
)
