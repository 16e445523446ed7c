import errno
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from filelock import FileLock

from nnunet_assets.core.files import digests
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.fold.commit import RESULT_FILES, commit_fold, read_committed
from nnunet_assets.core.fold.fold import fold_state
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.errors import DamagedFileError, FoldError
from nnunet_assets.nnunet.folds.fold import run_fold
from nnunet_assets.nnunet.folds.fold_attempt import changes_since_begun, not_begun_folder
from nnunet_assets.nnunet.folds.fold_child import needed_gpu_bytes
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.splits.trained_folds import running_folds
from nnunet_assets.processes import workers
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.fold_lock import fold_lease
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets_tests.builders import build_manifest
from nnunet_assets_tests.living_processes import living
from nnunet_assets_tests.prepared_builders import EXPERIMENT, SPLITS, inputs_of, write_prepared
from nnunet_assets_tests.recorded_progress import RecordedProgress


@pytest.fixture
def records(tmp_path: Path) -> Any:
    return write_prepared(tmp_path)


def request_for(records: Any, fold: str = "fold_0", **changes: Any) -> Any:
    request = FoldRequest(EXPERIMENT, fold, {}, "cpu", inputs_of(records, fold), dagster_run_id=None)
    return replace(request, **changes)


def commit(folder: Path, inputs: Any) -> Any:
    """Makes a finished fold of two small files."""
    for name in RESULT_FILES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("{}")
    files = {name: file_sha256(folder / name) for name in RESULT_FILES}
    commit_fold(folder, replace(build_manifest(folder, inputs), files=files))
    write_json_atomically(folder / ".nnunet_assets" / "request.json", {"inputs": vars(inputs), "attempt": "first"})
    append_record(journal_path(folder), "start", {"attempt": "first"})
    return folder


def environment_with_torch(folder: Path, code: str) -> dict[str, str]:
    """Returns an environment in which this code runs where the fold's process loads torch, its first long step."""
    (folder / "torch").mkdir(parents=True, exist_ok=True)
    (folder / "torch" / "__init__.py").write_text(code)
    return {**os.environ, "PYTHONPATH": str(folder)}


# --- states -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("files", "state"),
    [
        ([], "absent"),
        (["training_log_2026.txt"], "absent"),
        (["checkpoint_best.pth"], "foreign"),
        (["checkpoint_final.pth", "validation/summary.json"], "foreign"),
        ([".nnunet_assets/request.json"], "interrupted"),
        ([".nnunet_assets/request.json", "checkpoint_latest.pth"], "interrupted"),
        ([".nnunet_assets/request.json", "checkpoint_final.pth"], "trained"),
        ([".nnunet_assets/COMMIT", "checkpoint_final.pth"], "changed"),  # a commit that vouches for nothing
    ],
)
def test_the_state_of_a_fold_is_read_from_its_folder(tmp_path: Path, files: list[Any], state: str) -> None:
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("{}")
    assert fold_state(tmp_path) == state


def test_a_fold_is_committed_until_its_results_are_no_longer_those_of_its_commit(records: Any, tmp_path: Path) -> None:
    folder = commit(tmp_path / "fold_0", inputs_of(records))
    assert fold_state(folder) == "finished"
    (folder / "validation" / "summary.json").write_text('{"mean": 1}')
    assert fold_state(folder) == "changed"


def test_a_finished_fold_whose_checkpoint_was_trained_on_elsewhere_is_refused_and_left_alone(
    records: Any, tmp_path: Path
) -> None:
    roots, folder = records[0], EXPERIMENT.fold_folder(records[0], "fold_0")
    commit(folder, inputs_of(records))
    (folder / "checkpoint_final.pth").write_text("another")
    with pytest.raises(FoldError, match=r"was changed outside this project after it was finished"):
        run_fold(request_for(records), roots, environment={})
    assert (folder / "checkpoint_final.pth").read_text() == "another"


def test_a_fold_that_is_not_there_is_absent(tmp_path: Path) -> None:
    assert fold_state(tmp_path / "fold_9") == "absent"


# --- bringing a fold to its commit --------------------------------------------------------------------------------


def test_a_retry_does_not_train_anew_what_its_first_try_has_finished(records: Any) -> None:
    folder = EXPERIMENT.fold_folder(records[0], "fold_0")
    commit(folder, inputs_of(records))
    (folder / ".nnunet_assets" / "request.json").write_text(json.dumps({"asked_by": "first try"}))
    request = replace(
        FoldRequest(EXPERIMENT, "fold_0", {}, "cpu", inputs_of(records), dagster_run_id=None), asked_by="first try"
    )
    assert not run_fold(request, records[0], environment={}, retrain=True).is_new


def test_a_finished_fold_is_adopted_without_a_child(records: Any) -> None:
    commit(EXPERIMENT.fold_folder(records[0], "fold_0"), inputs_of(records))
    outcome = run_fold(request_for(records), records[0], environment={})
    assert not outcome.is_new
    assert outcome.manifest.inputs == inputs_of(records)


def test_a_finished_fold_needs_no_right_to_write_beside_the_split(
    records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(records)
    commit(EXPERIMENT.fold_folder(records[0], "fold_0"), request.inputs)

    def refused(*_given: Any) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("nnunet_assets.nnunet.folds.fold.split_held", refused)
    assert not run_fold(request, records[0], environment={}).is_new
    with pytest.raises(OSError, match="Read-only"):
        run_fold(request_for(records, "fold_1"), records[0], environment={})


def test_a_training_made_elsewhere_is_never_trained_over(records: Any) -> None:
    folder = EXPERIMENT.fold_folder(records[0], "fold_0")
    folder.mkdir(parents=True)
    (folder / "checkpoint_final.pth").write_bytes(b"precious")
    with pytest.raises(FoldError, match=r"holds a training that this project did not make\. It is never trained again"):
        run_fold(request_for(records), records[0], environment={})
    assert (folder / "checkpoint_final.pth").read_bytes() == b"precious"


def test_data_that_changes_between_the_request_and_the_start_is_an_error(records: Any) -> None:
    request = request_for(records)
    write_splits(records[1].folder, list(reversed(SPLITS)))
    with pytest.raises(FoldFailed, match="fold_0: splits changed after the fold was asked for") as caught:
        run_fold(request, records[0], environment={})
    assert caught.value.code == ExitCode.CHANGED_INPUT
    assert caught.value.is_permanent


@pytest.mark.parametrize("why", ["retrain", "other inputs"])
def test_a_finished_fold_is_put_back_where_the_new_attempt_does_not_begin(
    records: Any, tmp_path: Path, why: str
) -> None:
    folder = EXPERIMENT.fold_folder(records[0], "fold_0")
    inputs = inputs_of(records)
    commit(folder, inputs if why == "retrain" else replace(inputs, training_hash="older settings"))
    before = read_committed(folder)
    environment = environment_with_torch(tmp_path / "no_torch", "raise ImportError('a broken installation')")
    with pytest.raises(FoldFailed, match=r"fold_0: .* ImportError: a broken installation") as caught:
        run_fold(request_for(records), records[0], environment=environment, retrain=why == "retrain")
    assert caught.value.code == ExitCode.BUG
    assert "Traceback" in caught.value.log_tail
    assert read_committed(folder) == before
    (failed,) = (EXPERIMENT.summary_folder(records[0]) / "superseded").iterdir()
    assert re.fullmatch(r"fold_0_\d{8}T\d{6}\.\d{6}Z_not_begun", failed.name)


def test_an_interrupted_fold_keeps_its_attempt_and_its_checkpoints(records: Any, tmp_path: Path) -> None:
    folder = EXPERIMENT.fold_folder(records[0], "fold_0")
    environment = environment_with_torch(tmp_path / "no_torch", "raise ImportError('a broken installation')")
    request_file = folder / ".nnunet_assets" / "request.json"
    write_json_atomically(request_file, {"inputs": vars(request_for(records).inputs), "attempt": "first"})
    (folder / "checkpoint_best.pth").write_bytes(b"epoch 3")
    with pytest.raises(FoldFailed):
        run_fold(request_for(records), records[0], environment=environment)
    assert json.loads(request_file.read_text())["attempt"] == "first"
    assert (folder / "checkpoint_best.pth").read_bytes() == b"epoch 3"


def test_an_interrupted_fold_that_other_inputs_put_aside_is_said_with_what_it_has(records: Any, tmp_path: Path) -> None:
    folder = EXPERIMENT.fold_folder(records[0], "fold_0")
    older = vars(replace(inputs_of(records), splits_hash="an older split"))
    write_json_atomically(folder / ".nnunet_assets" / "request.json", {"inputs": older, "attempt": "first"})
    for epoch in range(3):
        append_record(journal_path(folder), "epoch", {}, epoch)
    (folder / ".nnunet_assets" / "saved_epochs").write_text("2")
    environment = environment_with_torch(tmp_path / "no_torch", "raise ImportError('a broken installation')")
    said: list[str] = []
    with pytest.raises(FoldFailed):
        run_fold(request_for(records), records[0], environment=environment, progress=RecordedProgress(said.append))
    (sentence,) = said
    superseded = EXPERIMENT.summary_folder(records[0]) / "superseded"
    assert re.search(rf"fold_0: splits changed .* The 2 epochs that it has are kept in {superseded}/fold_0_", sentence)


def test_a_disk_of_the_data_that_is_full_is_a_full_disk_and_nothing_is_left_on_it(
    records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_source: Any, target: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", str(target))

    monkeypatch.setattr(shutil, "copyfile", refuse)
    message = r"fold_0: No space is left on the disk for .*nnUNetPlans\.json\. Make room"
    with pytest.raises(FoldFailed, match=message) as caught:
        run_fold(request_for(records), records[0], environment={})
    assert caught.value.code == ExitCode.NO_SPACE
    assert not caught.value.is_permanent
    assert list((records[1].own / "bound").iterdir()) == []


def test_a_split_that_is_deleted_while_the_fold_waits_to_be_noted_on_it_is_refused(
    records: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def deleted_meanwhile(prepared: Any, _progress: Any) -> Iterator[None]:
        (prepared.folder / "splits_final.json").unlink()
        yield

    monkeypatch.setattr("nnunet_assets.nnunet.folds.fold.split_held", deleted_meanwhile)
    with pytest.raises(FoldError, match=r"splits_final\.json is missing"):
        run_fold(request_for(records), records[0], environment={})


@pytest.mark.parametrize("safety_seconds", [0.0, 1000.0])
def test_a_split_that_is_changed_while_the_fold_waits_to_be_noted_on_it_is_refused(
    records: Any, monkeypatch: pytest.MonkeyPatch, safety_seconds: float
) -> None:
    @contextmanager
    def changed_meanwhile(prepared: Any, _progress: Any) -> Iterator[None]:
        write_splits(prepared.folder, list(reversed(SPLITS)))
        yield

    monkeypatch.setattr(digests, "SAFETY_SECONDS", safety_seconds)  # believed to show in its times, or read again
    monkeypatch.setattr("nnunet_assets.nnunet.folds.fold.split_held", changed_meanwhile)
    with pytest.raises(FoldFailed, match="fold_0: splits changed after the fold was asked for"):
        run_fold(request_for(records), records[0], environment={})
    assert not (records[1].own / "bound").exists()


# --- the lease ----------------------------------------------------------------------------------------------------

OWNER = """
import os, sys
from pathlib import Path
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.nnunet.folds.fold import run_fold
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets_tests.prepared_builders import EXPERIMENT, dataset_of
from nnunet_assets_tests.recorded_progress import RecordedProgress
roots = Roots(*(Path(sys.argv[1], name) for name in ("raw", "preprocessed", "results")))
inputs = fold_inputs(dataset_of(roots), EXPERIMENT, "fold_0", "settings")
request = FoldRequest(EXPERIMENT, "fold_0", {}, "cpu", inputs, None)
progress = RecordedProgress(on_poll=lambda: print("it trains", flush=True))
run_fold(request, roots, environment=dict(os.environ), progress=progress)
"""


@contextmanager
def trained_by_another_process(folder: Path) -> Iterator[Any]:
    """Another process trains fold_0; its child sleeps where it would load torch."""
    environment = environment_with_torch(folder / "slow_torch", "import time; time.sleep(600)")
    environment["PYTHONPATH"] += f":{Path(__file__).parents[3]}"
    arguments = [sys.executable, "-c", OWNER, str(folder)]
    with subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE) as owner:
        assert owner.stdout.readline() == b"it trains\n"
        try:
            yield owner
        finally:
            owner.kill()


def test_a_fold_that_another_process_trains_is_refused_with_its_name_and_free_when_it_is_killed(
    records: Any, tmp_path: Path
) -> None:
    with trained_by_another_process(tmp_path) as owner:
        today = time.strftime("%Y-%m-%d", time.gmtime())
        named = rf"trained by another process: {socket.gethostname()}, process {owner.pid}, since {today}T.*\. Wait for"
        with pytest.raises(FoldFailed, match=named) as caught:
            run_fold(request_for(records), records[0], environment={})
        assert caught.value.code == ExitCode.OWNED
        # Another fold of the same model is free.
        broken = environment_with_torch(tmp_path / "no_torch", "raise ImportError('it got as far as torch')")
        with pytest.raises(FoldFailed, match="it got as far as torch"):
            run_fold(request_for(records, "fold_1"), records[0], environment=broken)
        # While it reads the cases, nobody removes them.
        case_set = PreparedDataset.read(records[1], "nnUNetPlans").case_set("3d_fullres")
        case_set.remove_unless_read()
        assert case_set.damaged() == []

        # One that is paused owns it still, and its process does not end.
        owner.send_signal(signal.SIGSTOP)
        time.sleep(1.5)
        with pytest.raises(FoldFailed, match=named):
            run_fold(request_for(records), records[0], environment={})
        owner.send_signal(signal.SIGCONT)
        (child,) = psutil.Process(owner.pid).children()
        assert living([child.pid], within_seconds=0) == [child.pid]

        owner.kill()
        owner.wait()
        assert living([child.pid]) == []
        with pytest.raises(FoldFailed, match="it got as far as torch"):
            run_fold(request_for(records), records[0], environment=broken)


def test_a_lock_that_somebody_only_looks_at_keeps_no_fold_from_its_start(records: Any) -> None:
    roots, folder = records[0], EXPERIMENT.summary_folder(records[0])
    folder.mkdir(parents=True)
    with FileLock(folder / "fold_0.lock", thread_local=False, fallback_to_soft=False) as looked_at:
        threading.Timer(0.2, looked_at.release).start()
        with fold_lease(EXPERIMENT.place_of(roots, "fold_0")):
            assert running_folds(roots, EXPERIMENT.dataset) == [f"{EXPERIMENT.name}, fold_0"]
    assert running_folds(roots, EXPERIMENT.dataset) == []


def test_a_lock_of_another_user_is_a_clear_error(records: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    roots = records[0]
    with fold_lease(EXPERIMENT.place_of(roots, "fold_0")):
        pass

    def denied(lock: Any) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), lock.lock_file)

    monkeypatch.setattr(FileLock, "acquire", denied)
    looks: tuple[Callable[[], object], ...] = (
        lambda: running_folds(roots, EXPERIMENT.dataset),
        fold_lease(EXPERIMENT.place_of(roots, "fold_0")).__enter__,
    )
    for look in looks:
        with pytest.raises(
            FoldError, match=r"fold_0\.lock cannot be written: it or its folder belongs to another user"
        ):
            look()


# --- how it ended -------------------------------------------------------------------------------------------------


def test_a_fold_whose_checkpoints_cannot_fit_does_not_begin(records: Any) -> None:
    folder = EXPERIMENT.fold_folder(records[0], "fold_1")
    folder.mkdir(parents=True)
    with (folder / "checkpoint_best.pth").open("wb") as checkpoint:
        checkpoint.truncate(1 << 42)  # takes no space
    with pytest.raises(FoldFailed, match=r"fold_0: its checkpoints need at least 13194\.14 GB .* Make room") as failed:
        run_fold(request_for(records), records[0], environment={})
    assert failed.value.code == ExitCode.NO_SPACE


def test_a_gpu_that_is_too_small_is_named_with_what_the_plans_ask_for(records: Any, tmp_path: Path) -> None:
    environment = environment_with_torch(tmp_path / "torch", "raise RuntimeError('CUDA out of memory. Tried 2 GiB')")
    with pytest.raises(FoldFailed) as caught:
        run_fold(request_for(records), records[0], environment=environment)
    assert str(caught.value).startswith(
        f"{EXPERIMENT.title}, fold_0: The GPU ran out of memory: CUDA out of memory. Tried 2 GiB. nnUNetPlans, "
        "3d_fullres, has batch size 2 and patch size 8 x 16 x 16. End what else uses the GPU, "
    )
    assert caught.value.failure == "out_of_gpu_memory"
    assert caught.value.is_permanent


KILLED = """
import os, signal
print("workers", os.environ["nnUNet_n_proc_DA"], os.environ["nnUNet_def_n_proc"], flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_fold_that_is_killed_starts_again_with_half_the_workers_twice_and_says_so(
    records: Any, tmp_path: Path
) -> None:
    environment = environment_with_torch(tmp_path / "torch", KILLED)
    environment |= {"nnUNet_n_proc_DA": "6", "nnUNet_def_n_proc": "2"}
    said: list[str] = []
    with pytest.raises(FoldFailed, match="fold_0: The process was killed") as caught:
        run_fold(request_for(records), records[0], environment=environment, progress=RecordedProgress(said.append))
    own = not_begun_folder(EXPERIMENT.place_of(records[0], "fold_0")) / ".nnunet_assets"
    assert (own / "output.log").read_text().splitlines() == ["workers 6 2", "workers 3 1", "workers 1 1"]
    assert [sentence.partition("It is started again ")[2] for sentence in said] == [
        "with half the worker processes and goes on from what is there (restart 1 of 2).",
        "with half the worker processes and goes on from what is there (restart 2 of 2).",
    ]
    restarts = [json.loads(line) for line in (own / "restarts.jsonl").read_text().splitlines()]
    assert [(restart["failure"], restart["exit_code"]) for restart in restarts] == [("killed", -9)] * 2
    assert "Train fewer folds at once" in str(caught.value)


# --- the GPU ------------------------------------------------------------------------------------------------------


class GaveUp(Exception):  # noqa: N818
    """Ends a wait that would last for ever."""


def give_up() -> None:
    raise GaveUp


def test_a_fold_waits_for_the_memory_that_another_fold_took_and_is_told_its_gpu(
    records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    other = EXPERIMENT.fold_folder(records[0], "fold_1")
    commit(other, inputs_of(records, "fold_1"))
    commit_fold(other, replace(read_committed(other), peak_memory_bytes={"gpu": 9 * 1024**3}))
    environment = environment_with_torch(
        tmp_path / "torch", "import os; raise ImportError(os.environ['CUDA_VISIBLE_DEVICES'])"
    )
    environment["PATH"] = f"{tmp_path / 'bin'}:{environment['PATH']}"
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    said: list[str] = []
    for free_mib, error, match in [(8000, GaveUp, None), (12000, FoldFailed, "ImportError: GPU-bbbb")]:
        program.write_text(f"#!/bin/sh\necho 0, GPU-bbbb, {free_mib}, 81920\n")
        program.chmod(0o755)
        with pytest.raises(error, match=match):
            run_fold(
                request_for(records, device="auto"),
                records[0],
                environment=environment,
                progress=RecordedProgress(said.append, on_poll=give_up if error is GaveUp else lambda: None),
            )
    (sentence,) = said
    assert sentence.startswith("The fold waits for a GPU with 10.0 GiB free, which an earlier fold used.")


# --- several GPUs -------------------------------------------------------------------------------------------------


def test_more_gpus_than_patches_in_a_batch_are_refused_before_anything_starts(records: Any) -> None:
    request = request_for(records, device="cuda", options=TrainingOptions(num_gpus=3))
    with pytest.raises(FoldFailed, match=r"num_gpus is 3, and the batch of 3d_fullres in nnUNetPlans has 2") as caught:
        run_fold(request, records[0], environment={})
    assert caught.value.code == ExitCode.BAD_INPUT
    assert not EXPERIMENT.fold_folder(records[0], "fold_0").exists()


def test_the_processes_that_train_a_fold_together_share_its_part_of_the_processors(
    records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers, "usable_cpus", lambda: 24)
    # One write each: of two processes that print, one may come between the words and the end of the other's line.
    code = "import os; os.write(1, b'workers ' + os.environb[b'nnUNet_n_proc_DA'] + b'\\n'); os._exit(0)"
    environment = {**environment_with_torch(tmp_path / "torch", code), "NNUNET_ASSETS_FOLDS_AT_ONCE": "3"}
    for num_gpus, said in {1: ["workers 7"], 2: ["workers 3", "workers 3"]}.items():
        with pytest.raises(FoldFailed, match="COMMIT does not verify") as caught:
            run_fold(
                request_for(records, options=TrainingOptions(num_gpus=num_gpus)), records[0], environment=environment
            )
        assert caught.value.log_tail.split("\n")[: len(said)] == said


def test_where_the_processes_of_a_fold_meet_nothing_is_left_however_they_end(
    records: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(temporary))
    code = "import os, signal, time; os.kill(os.getppid(), signal.SIGTERM); time.sleep(60)"
    environment = {**environment_with_torch(tmp_path / "torch", code), "TMPDIR": str(temporary)}
    with pytest.raises(FoldFailed, match="stopped on request"):
        run_fold(request_for(records, options=TrainingOptions(num_gpus=2)), records[0], environment=environment)
    assert [path.name for path in temporary.iterdir()] == [f"nnunet_assets-{os.getuid()}"]  # the locks of the GPUs


def test_the_gpu_memory_of_a_fold_is_what_one_on_as_many_gpus_took(tmp_path: Path) -> None:
    gib = 1024**3
    for fold, num_gpus, peak in (("fold_1", 1, 9), ("fold_2", 2, 5), ("fold_3", 2, 6)):
        manifest = build_manifest(tmp_path / fold)
        details = {"options": {"num_gpus": num_gpus}}
        commit_fold(tmp_path / fold, replace(manifest, peak_memory_bytes={"gpu": peak * gib}, details=details))
    # And one more for what torch does not count.
    assert needed_gpu_bytes(tmp_path / "fold_0", 1) == 10 * gib
    assert needed_gpu_bytes(tmp_path / "fold_0", 2) == 7 * gib
    assert needed_gpu_bytes(tmp_path / "fold_3", 2) == 6 * gib
    assert needed_gpu_bytes(tmp_path / "fold_0", 4) is None


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"inputs": 1}', '{"inputs": {"raw_hash": "raw"}}'])
def test_a_request_of_an_earlier_attempt_that_is_damaged_is_named(records: Any, content: str) -> None:
    request = request_for(records)
    place = EXPERIMENT.place_of(records[0], "fold_0")
    place.own.mkdir(parents=True)
    (place.own / "request.json").write_text(content)
    with pytest.raises(DamagedFileError, match=r"request\.json "):
        changes_since_begun(place, request)
