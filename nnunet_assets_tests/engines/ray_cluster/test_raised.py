"""What Ray raises, by its own texts: of connections that are not taken, and of tasks."""

import pytest

from nnunet_assets.engines.ray_cluster.driver_files import RayTold
from nnunet_assets.engines.ray_cluster.raised import Refused, clearer, told_by_error, told_by_task


def raised(*texts: str) -> Exception:
    """Returns an error of Ray's, each text the cause of the one after it, as it wraps them."""
    error: Exception | None = None
    for text in texts:
        outer = ConnectionError(text)
        outer.__cause__ = error
        error = outer
    assert error
    return error


OUTER = "Failed to connect to Ray cluster at 10.0.0.1:6379"
TOKEN = (
    "Failed to connect to GCS. Last connection error: Traceback (most recent call last):\n"
    "ray.exceptions.AuthenticationError: RPC error: InvalidAuthToken: Authentication token is missing or incorrect."
)
NO_NODE = "No node info found matching attributes: '' when trying to resolve node to connect to."
VERSIONS = "Version mismatch: The cluster was started with:\n    Ray: 2.9.0"


@pytest.mark.parametrize(
    ("texts", "kind", "said"),
    [
        ((TOKEN, OUTER), ConnectionError, "The cluster asks for a token, and has another one than"),
        ((NO_NODE, OUTER), ConnectionError, "This machine is no node of the cluster at 10.0.0.1:6379, and Ray takes"),
        ((VERSIONS, OUTER), Refused, "Version mismatch: The cluster was started with: Ray: 2.9.0"),
        (("Deadline exceeded", OUTER), ConnectionError, OUTER),
    ],
)
def test_why_a_connection_is_not_taken_is_said_by_its_cause(
    texts: tuple[str, ...], kind: type[Exception], said: str
) -> None:
    found = clearer(raised(*texts), "10.0.0.1:6379")
    assert type(found) is kind
    assert str(found).startswith(said)


def test_an_address_that_ray_does_not_understand_is_refused() -> None:
    found = clearer(ValueError("Malformed\n address: x"), "x")
    assert (type(found), str(found)) == (Refused, "Malformed address: x")


def test_rays_errors_are_read_by_their_names_those_of_their_kinds_too() -> None:
    class OutOfMemoryError(Exception):
        pass

    class RayTaskError(Exception):
        pass

    class TaskCancelledError(RayTaskError):
        pass

    class NewerError(OutOfMemoryError):
        pass

    assert told_by_error(NewerError("\nTask was killed.\nmore")) == RayTold("OUT_OF_MEMORY", reason="Task was killed")
    trace = "\x1b[36mray::nnunet_assets-abc()\x1b[39m (pid=7)\n  File x, line 3\nOSError: [Errno 28] No space left"
    assert told_by_error(RayTaskError(trace)) == RayTold("FAILED", reason="OSError: [Errno 28] No space left")
    assert told_by_error(TaskCancelledError(trace)) == RayTold("CANCELLED")
    assert told_by_error(RayTaskError("")) == RayTold("FAILED", reason="RayTaskError")


def test_a_task_says_what_it_could_not_start_and_how_the_process_ended() -> None:
    lack = told_by_task({"node": "gpu1", "problem": "/data/job.sh is not there"})
    assert (lack.state, lack.exit_code, lack.reason) == ("FAILED", 64, "/data/job.sh is not there")
    assert told_by_task({"node": "gpu1", "exit_code": 0}).state == "COMPLETED"
    assert told_by_task({"node": "gpu1", "exit_code": 78}).state == "FAILED"
