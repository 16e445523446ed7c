"""Several processes that do one thing together: what they say, how they fail, and that none outlives another."""

import json
import os
import signal
import time
from pathlib import Path
from textwrap import indent
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.nnunet.training.ranks import Rank, settings_of_whole_batch
from nnunet_assets.processes.child import ChildFailure, run_child
from nnunet_assets.processes.exit_codes import ExitCode, FailureClass, failure_class
from nnunet_assets_tests.living_processes import living
from nnunet_assets_tests.tiny_request import TinyRequest, with_modules_of

# The fold's process; `rank` is the body of what each of three ranks does, after it has written its process id.
PARENT = """
import sys
from pathlib import Path
from nnunet_assets.processes.child import child_main
from nnunet_assets.nnunet.training.ranks import run_ranks
from nnunet_assets.processes.reporter import Told
from nnunet_assets_tests.tiny_request import TinyRequest

def work(request):
    folder = Path(sys.argv[1])
    progress = Told(lambda sentence: print("heard:", sentence))
    run_ranks("tiny_rank", 3, folder, folder / "checkpoint", progress, meeting_folder=folder)

if __name__ == "__main__":
    child_main(TinyRequest, work)
"""
RANK = """
import multiprocessing, os, signal, sys, time
from pathlib import Path
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.training import ranks
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets_tests.tiny_request import TinyRequest
ranks.ECHO_SECONDS = 0.5

def work(request, checkpoint, rank, progress):
    place = Path(sys.argv[1]) / f"pid_{rank.number}"
    place.with_suffix(".part").write_text(str(os.getpid()))
    place.with_suffix(".part").rename(place)
{body}

if __name__ == "__main__":
    ranks.rank_main(TinyRequest, work)
"""


@pytest.fixture
def run(tmp_path: Path) -> Any:
    """Runs three ranks with this body below a child, to an end."""

    def run_body(body: str, **options: Any) -> Any:
        (tmp_path / "tiny_fold.py").write_text(PARENT)
        (tmp_path / "tiny_rank.py").write_text(RANK.replace("{body}", indent(body, "    ")))
        (tmp_path / "own").mkdir()
        environment = with_modules_of(tmp_path)
        return run_child(
            "tiny_fold", TinyRequest("fold_3"), folder=tmp_path / "own", environment=environment, **options
        )

    return run_body


def pids_of(folder: Any) -> Any:
    return {path.name: int(path.read_text()) for path in (folder / "own").glob("pid_?")}


def test_each_rank_has_request_and_checkpoint_and_what_the_first_says_is_heard(run: Any) -> None:
    result = run("progress.say(f'{rank.number} of {rank.n_ranks}: {request.fold}, {checkpoint.name}')")
    assert (result.code, result.problem) == (0, None)
    assert result.log_tail.count("heard:") == 1
    assert "heard: 0 of 3: fold_3, checkpoint" in result.log_tail


@pytest.mark.parametrize(
    ("body", "code", "problem"),
    [
        ("raise ChildFailure(ExitCode.DIVERGED, 'It diverged.')", ExitCode.DIVERGED, "It diverged."),
        ("raise DatasetError('Wrong data.')", ExitCode.BAD_INPUT, "Wrong data."),
        ("raise ValueError('oh')", ExitCode.BUG, "The process failed unexpectedly: ValueError: oh"),
        ("raise RuntimeError('CUDA out of memory')", ExitCode.OUT_OF_GPU_MEMORY, "The GPU ran out of memory: CUDA"),
        ("os._exit(3)", ExitCode.BUG, "Rank 1 of 3 ended with exit code 3, without a word."),
    ],
)
def test_a_rank_that_fails_ends_all_of_them_with_its_code_and_its_sentence(
    run: Any, tmp_path: Path, body: str, code: Any, problem: str
) -> None:
    result = run(f"if rank.number != 1:\n    time.sleep(600)\n{body}")
    assert result.code == code
    assert problem in result.problem
    assert living(pids_of(tmp_path).values()) == []


def test_the_one_that_failed_is_named_and_not_those_that_noticed(run: Any) -> None:
    # As where the connection to a rank that ends breaks, before the fold's process has looked at it.
    echo = """
if rank.number != 1:
    while not (Path(sys.argv[1]) / "pid_1").exists():  # which may start later
        time.sleep(0.02)
    raise ValueError('an echo')
"""
    result = run(f"{echo}time.sleep(0.3)\nraise ChildFailure(ExitCode.NO_SPACE, 'The cause.')")
    assert (result.code, result.problem) == (ExitCode.NO_SPACE, "The cause.")


@pytest.mark.parametrize(
    ("number", "failure"),
    [
        (signal.SIGKILL, FailureClass.KILLED),
        (signal.SIGBUS, FailureClass.OUT_OF_MEMORY),
        (signal.SIGTERM, FailureClass.INTERRUPTED),
        (signal.SIGABRT, FailureClass.CRASHED),
    ],
)
def test_a_rank_that_a_signal_ends_is_the_folds_process_ended_by_it(
    run: Any, tmp_path: Path, number: Any, failure: Any
) -> None:
    ended: list[float] = []

    def end_one() -> None:
        if len(pids_of(tmp_path)) == 3 and not ended:
            ended.append(time.monotonic())
            os.kill(pids_of(tmp_path)["pid_2"], number)

    result = run("time.sleep(600)", on_poll=end_one, poll_seconds=0.1)
    assert failure_class(result.code) == failure
    assert f"Rank 2 of 3 was {'killed' if number == signal.SIGKILL else 'ended'}" in result.log_tail
    assert living(pids_of(tmp_path).values()) == []
    assert time.monotonic() - ended[0] < 5


def test_a_worker_of_a_rank_that_is_killed_ends_all_of_them(run: Any, tmp_path: Path) -> None:
    body = """
if rank.number == 1:
    worker = multiprocessing.get_context("fork").Process(target=time.sleep, args=(600,))
    worker.start()
    time.sleep(1)
    worker.kill()
time.sleep(600)
"""
    result = run(body)
    assert result.code == ExitCode.OUT_OF_MEMORY
    assert "was killed by signal 9" in result.problem
    assert living(pids_of(tmp_path).values()) == []


def test_a_request_to_stop_ends_all_of_them(run: Any, tmp_path: Path) -> None:
    def stop() -> None:
        if len(pids_of(tmp_path)) == 3:
            raise KeyboardInterrupt

    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        run("time.sleep(600)", on_poll=stop, poll_seconds=0.1)
    assert living(pids_of(tmp_path).values()) == []
    assert time.monotonic() - started < 20
    message = json.loads((tmp_path / "own" / "failure.json").read_text())["message"]
    assert "stopped on request" in message


# --- alone ---------------------------------------------------------------------------------------------------------


def test_a_process_alone_is_the_first_and_waits_for_nobody() -> None:
    alone = Rank()
    alone.join("any", None)
    alone.wait_for_all()
    alone.leave()
    assert alone.is_first
    assert [alone.agree(reason) for reason in ("stop", None)] == ["stop", None]
    assert (alone.count_of("cpu"), Rank(1, 2).count_of("cpu")) == ("cpu", "2 x cpu")


def test_what_nnunet_divides_among_ranks_is_known_from_before() -> None:
    plan = SimpleNamespace(batch_size=5)
    trainer = SimpleNamespace(is_ddp=True, oversample_foreground_percent=0.33, configuration_manager=plan)
    assert settings_of_whole_batch(trainer) == {
        "trainer": {"oversample_foreground_percent": 0.33},
        "data": {"batch_size": 5},
    }
    trainer.is_ddp = False
    assert settings_of_whole_batch(trainer) == {}


def test_more_gpus_than_there_are_is_an_error() -> None:
    torch = pytest.importorskip("torch")
    with pytest.raises(ChildFailure, match=r"num_gpus is 1000, and torch sees \d+ of them\. Set num_gpus to at most"):
        Rank(1, 1000).join("nnUNetTrainer", torch.device("cuda"))
