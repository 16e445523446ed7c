"""Which failures a second start is tried for, and how often."""

import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.processes.child import ChildResult
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.supervisor import run_with_restarts
from nnunet_assets_tests.recorded_progress import RecordedProgress


def supervise(folder: Any, codes: Any, *, done_after: Any = None) -> Any:
    """Runs a process that ends with these codes in turn; returns its last code, its halvings, and what was said."""
    halvings: list[int] = []
    said: list[str] = []

    def start(n_halvings: Any) -> Any:
        code = codes[len(halvings)]
        halvings.append(n_halvings)
        return ChildResult(code, f"It ended with {code}." if code else None, "")

    progress = RecordedProgress(said.append)
    result = run_with_restarts(start, own_folder=folder, is_done=lambda: len(halvings) == done_after, progress=progress)
    return result.code, halvings, said


@pytest.mark.parametrize(
    ("codes", "halvings"),
    [
        ([0], [0]),
        ([-9, 0], [0, 1]),
        ([80, -9, -7], [0, 1, 2]),  # a lack of memory in three guises: two restarts in all
        ([79, 0], [0, 0]),
        ([79, 79], [0, 0]),
        ([-9, 79, -9, 0], [0, 1, 1, 2]),
    ],
)
def test_a_lack_of_memory_has_two_restarts_with_fewer_workers_and_a_lost_gpu_one(
    tmp_path: Path, codes: list[int], halvings: list[int]
) -> None:
    assert supervise(tmp_path, codes)[:2] == (codes[-1], halvings)


@pytest.mark.parametrize(
    "code",
    [
        ExitCode.BAD_INPUT,
        ExitCode.CHANGED_INPUT,
        ExitCode.BUG,
        ExitCode.NO_SPACE,
        ExitCode.STOPPED,
        ExitCode.OWNED,
        ExitCode.DIVERGED,
        ExitCode.OUT_OF_GPU_MEMORY,
        -11,
        1,
    ],
)
def test_nothing_else_is_tried_again(tmp_path: Path, code: Any) -> None:
    assert supervise(tmp_path, [code]) == (code, [0], [])
    assert list(tmp_path.iterdir()) == []


def test_a_result_that_is_there_is_enough(tmp_path: Path) -> None:
    assert supervise(tmp_path, [-9], done_after=1)[1] == [0]


def test_each_restart_is_said_and_kept(tmp_path: Path) -> None:
    _, _, said = supervise(tmp_path, [79, 64])
    assert said == ["It ended with 79. It is started again as it was and goes on from what is there (restart 1 of 1)."]
    (line,) = (tmp_path / "restarts.jsonl").read_text().splitlines()
    kept = json.loads(line)
    assert kept.pop("time").startswith("20")
    assert kept == {
        "failure": "gpu_lost",
        "exit_code": 79,
        "reason": "It ended with 79.",
        "started_again": "as it was",
    }
