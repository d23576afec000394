"""Exit statuses: part of what scripts rely on."""

from enum import IntEnum

from broker.errors import QjbError


class Exit(IntEnum):
    """What an exit status means."""

    DONE = 0
    ERROR = 1
    USAGE = 2
    FAILED = 3
    CANCELLED = 4
    REJECTED = 5
    NOT_FOUND = 6
    NO_GATEWAY = 7
    NOT_NOW = 8
    INTERRUPTED = 130


OF_EVENTS = {
    "completed": Exit.DONE,
    "failed": Exit.FAILED,
    "cancelled": Exit.CANCELLED,
    "rejected": Exit.REJECTED,
}

TEXT = """\b
Exit status:
  0    done; the job completed
  1    an error that is none of the others
  2    the command can not be understood
  3    the job failed
  4    the job was cancelled, by a user or because it ran too long
  5    the request was rejected; what is wrong with it is listed
  6    there is no such job, program or backend
  7    no gateway answers there, or the service can not be used now
  8    not now: the job has no result yet, or has ended already
  130  interrupted (Ctrl-C); the job goes on
"""


def of_error(error: QjbError) -> Exit:
    """The exit status that *error* becomes."""
    by_code = {"invalid_setting": Exit.USAGE, "job_ended": Exit.NOT_NOW}
    by_status = {
        204: Exit.NOT_NOW,
        400: Exit.REJECTED,
        401: Exit.REJECTED,
        403: Exit.REJECTED,  # such as a program of somebody else
        404: Exit.NOT_FOUND,
        409: Exit.REJECTED,  # such as a job's id that is another job's already
        413: Exit.REJECTED,
        421: Exit.NO_GATEWAY,
        429: Exit.NO_GATEWAY,
        503: Exit.NO_GATEWAY,
        507: Exit.NO_GATEWAY,
    }
    return by_code.get(error.code.lower()) or by_status.get(error.status, Exit.ERROR)
