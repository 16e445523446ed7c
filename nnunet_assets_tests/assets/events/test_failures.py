"""What Dagster shows of an error of this package."""

import errno

import dagster as dg
import pytest
from dagster._utils.error import serializable_error_info_from_exc_info

from nnunet_assets.assets.events.failures import shown_as_failure
from nnunet_assets.errors import DatasetError
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.supervisor import FoldFailed

TAIL = "Epoch 3\nOSError: [Errno 28]\nNo space is left on the disk.\n"


def shown(error: Exception) -> dg.Failure:
    with pytest.raises(dg.Failure) as caught, shown_as_failure():
        raise error
    return caught.value


def test_a_fold_that_failed_shows_its_class_its_code_and_the_end_of_its_output() -> None:
    failure = shown(FoldFailed("fold_0: No space is left on the disk.", ExitCode.NO_SPACE, TAIL))
    assert failure.description == "fold_0: No space is left on the disk."
    assert {name: value.value for name, value in failure.metadata.items()} == {
        "failure": "disk_full",
        "exit_code": 73,
        "end_of_output": "Epoch 3\nOSError: [Errno 28]",
    }
    assert {type(value.value) for value in failure.metadata.values()} == {str, int}  # what an event can hold
    assert failure.allow_retries


def test_the_sentence_is_there_once() -> None:
    failure = shown(FoldFailed("fold_0: There is no such device.", ExitCode.BAD_INPUT, "There is no such device.\n"))
    info = str(serializable_error_info_from_exc_info((type(failure), failure, failure.__traceback__)))
    assert info.count("There is no such device.") == 1
    assert "end_of_output" not in failure.metadata


@pytest.mark.parametrize(
    "code", [ExitCode.BAD_INPUT, ExitCode.OUT_OF_GPU_MEMORY, ExitCode.OWNED, ExitCode.GPU_LOST, -9]
)
def test_dagster_does_not_retry_what_must_fail_again_or_was_tried_again(code: int) -> None:
    assert not shown(FoldFailed("fold_0 failed.", code, "")).allow_retries


def test_what_is_wrong_with_the_data_is_not_retried() -> None:
    assert not shown(DatasetError("case_1 is torn.")).allow_retries


def test_a_full_disk_is_a_sentence_and_may_be_tried_again() -> None:
    failure = shown(OSError(errno.ENOSPC, "No space left on device", "/raw.json"))
    assert failure.description == (
        "/raw.json cannot be read or written: No space left on device (file system of /). Make room there; inodes may "
        "have run out too (`df -i`)."
    )
    assert failure.allow_retries
