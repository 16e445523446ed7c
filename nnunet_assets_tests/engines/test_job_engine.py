"""A fold whose process runs in jobs: what the queue is asked and a person is told, whatever happens to them."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.fold import Fold
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines import left_job
from nnunet_assets.engines.job_end import JobEnd
from nnunet_assets.engines.job_engine import JobEngine
from nnunet_assets.engines.job_files import Ended, JobRecord, is_used_by_job, open_record, read_record, write_record
from nnunet_assets.engines.job_queue import JobLook, JobOrder, QueueRefusedError
from nnunet_assets.engines.local import LOCAL
from nnunet_assets.engines.patience import Patience
from nnunet_assets.errors import ConfigError, DamagedFileError
from nnunet_assets.nnunet.folds.fold import FoldOutcome, run_fold
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets_tests.fakes.job_queue import FakeQueue, Job, stays, trains
from nnunet_assets_tests.prepared_builders import DATASET, dataset_of, write_prepared
from nnunet_assets_tests.recorded_progress import RecordedProgress

QUICK = Patience(poll=0.001, first_look=0.001, look=0.002, running_look=0.002, last_words=0.01, end=0.05, lock=0.05)
EXPERIMENT = Experiment(DATASET, "3d_fullres", variant="short")
RESOURCES = Resources(gpus=1, cpus=4, partition="gpu")
CUT = Ended(75, "The job was ended (SIGTERM).")


class Lab:
    """A prepared dataset and a queue, on which a fold of four epochs is asked for."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.roots, _ = write_prepared(folder)
        self.queue = FakeQueue(self.roots.preprocessed)
        self.place = EXPERIMENT.place_of(self.roots, "fold_0")
        self.progress = RecordedProgress()
        patch.setattr(left_job, "queue_named", lambda *_: self.queue)
        patch.setattr(left_job, "SILENT_SECONDS", 0.001)
        patch.setattr(left_job, "ENDING_SECONDS", 0.0)

    def request(self, **changes: Any) -> FoldRequest:
        inputs = fold_inputs(dataset_of(self.roots, EXPERIMENT), EXPERIMENT, "fold_0", "settings")
        asked = FoldRequest(EXPERIMENT, "fold_0", {"num_epochs": 4}, "cpu", inputs, None)
        return replace(asked, **changes)

    def run(self, *script: Job, on_poll: Callable[[], None] = lambda: None, **options: Any) -> FoldOutcome:
        self.queue.script = [*[trains()] * len(self.queue.names), *script]
        changes = {name: options.pop(name) for name in ("overrides", "asked_by") if name in options}
        self.progress = RecordedProgress(on_poll=on_poll)
        settings = {"engine": JobEngine(self.queue, RESOURCES, QUICK), **options}
        return run_fold(
            self.request(**changes), self.roots, environment=dict(os.environ), progress=self.progress, **settings
        )

    @property
    def epochs(self) -> list[int | None]:
        return [one.epoch for one in read_records(journal_path(self.place.folder)) if one.kind == "epoch"]

    @property
    def asked(self) -> list[str]:
        """What the queue was asked, but for looks."""
        return [call for call in self.queue.calls if not call.startswith(("look", "find"))]

    def record(self) -> JobRecord:
        found = read_record(self.place.folder)
        assert found
        return found

    def check_finished(self) -> None:
        assert self.epochs == [0, 1, 2, 3]
        assert Fold.read(self.place, check_files=True).state == "finished"
        assert self.queue.living == []
        assert open_record(self.place.folder) is None
        assert not list(self.place.folder.rglob("environment.sh"))
        bound = self.roots.preprocessed / DATASET / ".nnunet_assets" / "bound"
        assert not [one for one in bound.glob("*") if is_used_by_job(one)]


@pytest.fixture
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    return Lab(tmp_path, monkeypatch)


def test_a_fold_is_trained_in_one_job_that_its_manifest_names(lab: Lab) -> None:
    outcome = lab.run()
    assert outcome.is_new
    assert outcome.manifest.details["job"] == {
        "engine": "slurm",
        "id": "1",
        "node": "n1",
        "requested": {"gpus": 1, "cpus": 4, "partition": "gpu"},
    }
    assert lab.asked == ["submit 1", "release 1"]
    assert (lab.place.own / "output.log").read_text() == "printed by job 1\n"
    assert lab.progress.said[0].startswith("Slurm has the job 1 (its files: ")
    assert "The job 1 runs on n1" in lab.progress.said[1]
    (folder,) = (lab.place.own / "jobs").iterdir()
    assert [oct(one.stat().st_mode & 0o777) for one in (folder, folder.parent)] == ["0o700", "0o700"]
    lab.check_finished()
    assert not lab.run().is_new
    assert lab.asked == ["submit 1", "release 1"]


@pytest.mark.parametrize("when", ["before it has its id", "while it runs"])
def test_a_submission_that_the_queue_takes_late_is_ended(lab: Lab, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    def take_late(queue: FakeQueue, order: JobOrder) -> None:
        late = str(len(queue.names) + 1)
        queue.names[late], queue.held[late] = order.name, order
        queue.states[late] = JobLook("PENDING", "JobHeldUser")

    def goes_on(queue: FakeQueue, job_id: str, order: JobOrder) -> None:
        if when == "while it runs":
            take_late(queue, order)
        trains()(queue, job_id, order)

    if when == "before it has its id":
        submit = FakeQueue.submit
        monkeypatch.setattr(
            FakeQueue, "submit", lambda queue, order: (submit(queue, order), take_late(queue, order))[0]
        )
    lab.run(goes_on)
    assert (lab.queue.states["1"].state, lab.queue.states["2"].state) == ("COMPLETED", "CANCELLED")
    lab.check_finished()


def test_the_job_is_on_the_disk_by_name_before_there_is_one_and_by_id_before_it_may_start(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    submit, release = FakeQueue.submit, FakeQueue.release
    monkeypatch.setattr(FakeQueue, "submit", lambda *a: (seen.append(lab.record().job_id), submit(*a))[1])
    monkeypatch.setattr(FakeQueue, "release", lambda *a: (seen.append(lab.record().job_id), release(*a))[1])
    lab.run()
    assert seen == [None, "1"]


@pytest.mark.parametrize(
    "cut",
    [
        trains(1, ended=CUT),
        trains(1, state="TIMEOUT"),
        trains(1, state="NODE_FAIL"),
        trains(1, state="PREEMPTED"),
        trains(1, state="CANCELLED"),
        trains(1, state="GONE"),
        trains(1, ended=Ended(-9, "The process was killed.")),
    ],
)
def test_a_job_that_is_cut_goes_on_in_another_as_often_as_it_saves_an_epoch(lab: Lab, cut: Job) -> None:
    lab.run(cut, cut, cut)
    assert lab.asked == [f"{call} {job}" for job in (1, 2, 3, 4) for call in ("submit", "release")]
    assert len((lab.place.own / "restarts.jsonl").read_text().splitlines()) == 3
    lab.check_finished()


def test_jobs_that_save_nothing_end_after_the_third(lab: Lab) -> None:
    with pytest.raises(FoldFailed, match=r"Slurm's job 3 on n1 reached its time limit and was ended") as caught:
        lab.run(trains(1, state="TIMEOUT"), *[trains(0, state="TIMEOUT")] * 3)
    assert caught.value.failure == "interrupted"
    assert len(lab.queue.names) == 3
    assert lab.queue.living == []


@pytest.mark.parametrize(
    ("ended", "state", "sentence"),
    [
        (Ended(64, "There is no such trainer."), "FAILED", "There is no such trainer"),
        (Ended(77, "The loss is not a number."), "FAILED", "The loss is not a number"),
        (None, "FAILED", r"Slurm's job 1 ended with exit code 70 \(FAILED\) before its process did"),
    ],
)
def test_what_another_job_would_meet_again_is_no_reason_for_one(
    lab: Lab, ended: Ended | None, state: str, sentence: str
) -> None:
    with pytest.raises(FoldFailed, match=sentence):
        lab.run(trains(1, ended=ended, state=state))
    assert list(lab.queue.names) == ["1"]
    assert lab.record().ended


def test_a_job_that_the_queue_refuses_is_an_error_of_the_declaration(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> str:
        raise QueueRefusedError("invalid partition specified: nope")

    monkeypatch.setattr(FakeQueue, "submit", refuse)
    with pytest.raises(FoldFailed, match="Slurm refuses the job: invalid partition specified: nope") as caught:
        lab.run()
    assert caught.value.failure == "bad_input"
    assert not lab.place.folder.exists()


def test_a_machine_without_the_clusters_commands_submits_nothing_and_leaves_nothing(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> str:
        raise ConfigError("squeue cannot be run.")

    with monkeypatch.context() as patch:
        patch.setattr(FakeQueue, "find", missing)
        with pytest.raises(ConfigError, match="squeue cannot be run"):
            lab.run()
    assert lab.queue.calls == []
    lab.run()
    lab.check_finished()


@pytest.mark.parametrize("n_calls", [1, 2, 3, 7])
def test_a_queue_that_does_not_answer_is_asked_again(lab: Lab, n_calls: int) -> None:
    lab.queue.silent_for = n_calls
    lab.run(trains(1, ended=CUT))
    assert any("does not answer and is asked again until it does" in one for one in lab.progress.warned)
    lab.check_finished()


class Terminated(BaseException):
    """What ends a supervisor in an orderly way."""


class Killed(BaseException):
    """What ends it without any."""


def kill_at_poll(lab: Lab, monkeypatch: pytest.MonkeyPatch, *script: Job, **options: Any) -> None:
    """Ends a supervisor as SIGKILL does: nothing that stands in a `finally` or an `except` for its jobs is done."""

    def die() -> None:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(JobEnd, "end", lambda *_: None)
        with pytest.raises(Killed):
            lab.run(*script, on_poll=die, **options)


def test_a_run_that_is_terminated_ends_its_job_and_waits_until_it_is_gone(lab: Lab) -> None:
    def terminate() -> None:
        if lab.queue.states:
            raise Terminated

    with pytest.raises(Terminated):
        lab.run(stays("RUNNING", "n1"), on_poll=terminate)
    assert lab.asked == ["submit 1", "release 1", "cancel 1"]
    assert lab.queue.living == []
    lab.run()
    lab.check_finished()


def test_a_job_that_does_not_end_is_told_and_found_again(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def terminate() -> None:
        if lab.queue.states:
            raise Terminated

    monkeypatch.setattr(FakeQueue, "cancel", lambda *_: None)
    with pytest.raises(Terminated):
        lab.run(stays("RUNNING", "n1"), on_poll=terminate)
    (warning,) = lab.progress.warned
    assert "The job 1 was asked to end and is not gone" in warning
    assert open_record(lab.place.folder)


@pytest.mark.parametrize("how", [stays("PENDING"), stays("RUNNING", "n1")])
def test_the_job_of_a_supervisor_that_was_killed_is_followed(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, how: Job
) -> None:
    kill_at_poll(lab, monkeypatch, how)
    bound = list((lab.roots.preprocessed / DATASET / ".nnunet_assets" / "bound").iterdir())
    assert len(bound) == 1  # what the job reads is still there
    assert is_used_by_job(bound[0])
    order_folder = next((lab.place.own / "jobs").iterdir())
    order = JobOrder("", order_folder, RESOURCES)

    def finish() -> None:
        if not (order_folder / "ended.json").exists():
            trains()(lab.queue, "1", order)

    assert lab.run(on_poll=finish).is_new
    assert lab.asked[:2] == ["submit 1", "release 1"]
    assert "submit 2" not in lab.asked
    assert "The job 1, which an earlier run submitted, goes on" in lab.progress.warned[0]
    lab.check_finished()


@pytest.mark.parametrize(
    ("options", "is_waited_for"), [({}, True), ({"retrain": True}, False), ({"engine": LOCAL}, False)]
)
def test_a_job_that_its_cluster_does_not_know_and_that_holds_the_fold_is_waited_for_or_refused(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any], is_waited_for: bool
) -> None:
    kill_at_poll(lab, monkeypatch, stays("RUNNING", "n1"))
    lab.queue.states["1"] = JobLook("GONE")
    held = iter([True] * 3)
    monkeypatch.setattr(left_job, "is_owned", lambda _: next(held, False))
    monkeypatch.setattr(left_job, "POLL_SECONDS", 0.001)
    before = sorted(lab.place.model_folder.rglob("*"))
    if is_waited_for:
        assert lab.run(**options).is_new
        lab.check_finished()
        assert lab.queue.forgotten == [f"nnunet_assets-{one.name}" for one in _by_age(lab.place.own / "jobs")]
        return
    with pytest.raises(FoldFailed, match=r"does not name: .*job\.lock is held") as caught:
        lab.run(**options)
    assert caught.value.failure == "owned"
    assert sorted(lab.place.model_folder.rglob("*")) == before


def test_a_job_that_was_ended_for_lack_of_memory_is_no_interruption(lab: Lab) -> None:
    lab.run(trains(1, ended=CUT, state="OUT_OF_MEMORY"))
    (line,) = (lab.place.own / "restarts.jsonl").read_text().splitlines()
    restart = json.loads(line)
    assert (restart["failure"], restart["started_again"]) == ("out_of_memory", "with half the worker processes")
    lab.check_finished()


def _by_age(folder: Path) -> list[Path]:
    return sorted(folder.iterdir(), key=lambda one: (one / "task.json").stat().st_mtime_ns)


@pytest.mark.parametrize("options", [{"retrain": True}, {"overrides": {"num_epochs": 5}}, {"engine": LOCAL}])
def test_a_living_job_of_another_request_is_refused_and_nothing_is_moved(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    kill_at_poll(lab, monkeypatch, stays("RUNNING", "n1"))
    before = sorted(lab.place.model_folder.rglob("*"))
    with pytest.raises(FoldFailed, match=r"is being trained by Slurm's job 1, .*scancel 1") as caught:
        lab.run(**options)
    assert caught.value.failure == "owned"
    assert sorted(lab.place.model_folder.rglob("*")) == before
    assert lab.queue.living == ["1"]


def test_a_retry_of_the_run_that_retrains_follows_its_job(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.run(asked_by="first")
    kill_at_poll(lab, monkeypatch, stays("RUNNING", "n1"), asked_by="second", retrain=True)
    lab.queue.states["2"] = replace(lab.queue.states["2"], state="NODE_FAIL")
    assert lab.run(asked_by="second", retrain=True).is_new
    assert len(list((lab.place.model_folder / "nnunet_assets" / "superseded").iterdir())) == 1
    lab.check_finished()


def test_a_supervisor_killed_before_it_knew_the_id_leaves_a_held_job_that_is_found_by_its_name(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    submit = FakeQueue.submit

    def die(queue: FakeQueue, order: Any) -> str:
        submit(queue, order)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(JobEnd, "end", lambda *_: None)
        patch.setattr(FakeQueue, "submit", die)
        with pytest.raises(Killed):
            lab.run()
    assert lab.record().job_id is None
    lab.run()
    assert lab.asked == ["submit 1", "release 1"]
    lab.check_finished()


def test_a_supervisor_killed_before_there_was_a_job_leaves_nothing_to_wait_for(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*_: object) -> str:
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(JobEnd, "end", lambda *_: None)
        patch.setattr(FakeQueue, "submit", die)
        with pytest.raises(Killed):
            lab.run()
    lab.run()
    assert lab.asked == ["submit 1", "release 1"]
    lab.check_finished()


@pytest.mark.parametrize(("asked_by", "is_answer"), [("the same run", True), ("another", False), (None, False)])
def test_how_a_job_failed_that_nobody_saw_is_the_answer_to_a_retry_alone(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, asked_by: str | None, is_answer: bool
) -> None:
    kill_at_poll(lab, monkeypatch, stays("RUNNING", "n1"), asked_by="the same run")
    folder = next((lab.place.own / "jobs").iterdir())
    (folder / "ended.json").write_text(json.dumps({"code": 77, "problem": "The loss is not a number."}))
    lab.queue.states["1"] = replace(lab.queue.states["1"], state="FAILED")
    if is_answer:
        with pytest.raises(FoldFailed, match="The loss is not a number"):
            lab.run(asked_by=asked_by)
    else:
        lab.run(asked_by=asked_by)
        assert "ended while nobody supervised it: The loss is not a number." in lab.progress.warned[0]
        lab.check_finished()


def test_a_fold_whose_job_finished_it_unseen_is_finished(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    kill_at_poll(lab, monkeypatch, stays("RUNNING", "n1"))
    trains()(lab.queue, "1", JobOrder("", next((lab.place.own / "jobs").iterdir()), RESOURCES))
    assert not lab.run().is_new
    assert list(lab.queue.names) == ["1"]
    lab.check_finished()


def test_a_record_that_cannot_be_read_is_no_record_of_nothing(lab: Lab) -> None:
    lab.place.own.mkdir(parents=True)
    (lab.place.own / "job.json").write_text("{")
    with pytest.raises(DamagedFileError, match="does not say which job trains the fold"):
        lab.run()
    assert lab.queue.calls == []


def test_a_wait_is_told_with_its_reason_and_place(lab: Lab) -> None:
    taken: list[tuple[str, JobOrder]] = []

    def wait(queue: FakeQueue, job_id: str, order: JobOrder) -> None:
        queue.states[job_id] = JobLook("PENDING", "Resources", None, "2026-11-30T10:00:00", (3, 17))
        taken.append((job_id, order))

    def start_later() -> None:
        if taken and lab.queue.calls.count("look 1") == 5:
            trains()(lab.queue, *taken.pop())

    lab.run(wait, on_poll=start_later)
    assert [one for one in lab.progress.said if "PENDING" in one] == [
        "The job 1 is PENDING (Resources, place 3 of 17 that wait); expected to start 2026-11-30T10:00:00."
    ]


def test_a_wait_that_time_does_not_end_is_a_warning(lab: Lab) -> None:
    def wait(queue: FakeQueue, job_id: str, order: JobOrder) -> None:
        queue.states[job_id] = JobLook("PENDING", "BadConstraints")

    def terminate() -> None:
        if lab.progress.warned:
            raise Terminated

    with pytest.raises(Terminated):
        lab.run(wait, on_poll=terminate)
    assert "The job 1 is PENDING (BadConstraints). It may wait for ever" in lab.progress.warned[0]
    assert lab.queue.living == []


def test_a_record_is_not_lost_by_one_that_is_written_over_it(lab: Lab) -> None:
    record = JobRecord("slurm", "abc", "7", "digest", None, 1.5)
    write_record(lab.place.own, record)
    assert read_record(lab.place.folder) == record
    assert record.name == "nnunet_assets-abc"
