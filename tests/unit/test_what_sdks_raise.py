"""What SDKs raise, as one of our errors: they wrap what their HTTP clients raise."""

import socket
from collections.abc import Callable

import pytest
import requests
from qiskit_ibm_runtime.api.exceptions import RequestsApiError

from executors.hardware.said import AwayError, LostError, RefusedError, VendorError
from executors.hardware.vendors.telling import told
from tests.support.processes import free_port


class SdkError(Exception):
    """Without a cause, as IBM's client raises it."""


def answered(status: int) -> None:
    response = requests.Response()
    response.status_code = status
    response.raise_for_status()


def not_listening() -> None:
    requests.get(f"http://127.0.0.1:{free_port()}/", timeout=5)


def hangs_up() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        other, _ = server.accept()
        other.close()
        with client:
            if not client.recv(1):
                raise requests.ConnectionError("Connection aborted")


def not_offered() -> None:
    raise RequestsApiError("there is no backend 'far'. Error code: unknown_backend.", 404)


def as_it_is(raises: Callable[[], None]) -> None:
    raises()


def as_an_sdk(raises: Callable[[], None]) -> None:
    try:
        raises()
    except (requests.RequestException, KeyError) as error:
        raise SdkError(f"failed: {error}") from None


@pytest.mark.parametrize(
    ("raises", "kind"),
    [
        (not_listening, AwayError),
        (lambda: answered(503), AwayError),
        (lambda: answered(429), AwayError),
        (lambda: answered(502), LostError),
        (hangs_up, LostError),
        (not_offered, AwayError),
        (lambda: answered(400), RefusedError),
        (lambda: answered(404), RefusedError),
        (lambda: {}["x"], RefusedError),
    ],
)
@pytest.mark.parametrize("wrapped", [False, True])
def test_whether_anything_has_begun_is_told_by_the_cause(
    raises: Callable[[], None], kind: type[VendorError], wrapped: bool
) -> None:
    with pytest.raises(kind), told():
        (as_an_sdk if wrapped else as_it_is)(raises)


def test_what_is_ours_already_stays_as_it_is() -> None:
    for error in (AwayError("busy"), NotImplementedError()):
        with pytest.raises(type(error)), told():
            raise error
