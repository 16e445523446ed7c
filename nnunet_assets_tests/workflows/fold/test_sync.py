"""What of the folds waits to be sent, in which order it is sent, and what a report says of it."""

import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import scores_on_disk
from nnunet_assets.core.fold.journal import append_record, journal_path, read_records
from nnunet_assets.errors import TrackingError
from nnunet_assets.nnunet.results.adopted_places import remember_place
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_run import Ending, FoldRun
from nnunet_assets.tracking.fold.fold_tracker import TrackingReport
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import EXPERIMENT, fold_tags
from nnunet_assets.workflows.fold import adopted_fold_run
from nnunet_assets.workflows.fold import sync as module
from nnunet_assets.workflows.fold.sync import SyncReport, sync, tracked_folders
from nnunet_assets_tests.builders import INPUTS
from nnunet_assets_tests.cross_validation_builders import write_fold

MODEL = Experiment("Dataset004_Hippocampus", "2d")

SENT = TrackingReport("1", "1", None, 3, 0, 0, None, is_done=True)
REFUSED = TrackingReport("1", "1", None, 3, 0, 1, "1 record was refused.", is_done=True)
WAITING = TrackingReport(None, None, None, 0, 3, 0, "No answer yet.", is_done=False)
FOLDS = {Path("fold_0"): SENT, Path("fold_1"): REFUSED, Path("fold_2"): WAITING}


def test_no_folder_takes_the_time_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time, "monotonic", lambda: 100.0)
    assert module._share(400.0, 1) == 300.0
    assert module._share(400.0, 10) == 30.0
    assert module._share(400.0, 1000) == module.LEAST_SECONDS
    assert module._share(105.0, 1000) == 5.0
    assert module._share(99.0, 1) == 0.0


def test_a_fold_waits_until_nothing_is_left_to_try() -> None:
    assert (SyncReport(FOLDS).n_waiting, SyncReport({}).n_waiting) == (1, 0)


def test_what_is_wrong_with_mlflow_is_why_a_fold_waits_and_not_why_a_record_was_refused() -> None:
    down = SyncReport(FOLDS, "MLflow is not reachable.")
    assert [down.problem_of(fold) for fold in FOLDS] == [None, "1 record was refused.", "MLflow is not reachable."]
    assert [SyncReport(FOLDS).problem_of(fold) for fold in FOLDS] == [None, "1 record was refused.", "No answer yet."]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


@pytest.fixture
def destination(settings: Settings) -> Destination:
    return Destination.of(settings)


def tracked(folder: Path, experiment: Experiment = MODEL, *, is_sent: bool = False) -> Path:
    """A finished fold that is tracked, with an end; all of it sent, or nothing."""
    write_fold(folder.parent, folder.name, {f"{folder.name}_a": (0.5, 0.5)})
    append_record(journal_path(folder), "start", {"attempt": "1", "params": {}})
    append_record(journal_path(folder), "end", {})
    tags = fold_tags(experiment, folder.name, INPUTS)
    run = FoldRun("", experiment.dataset, "run", tags, attempt="1", ending=Ending("FINISHED", 5, []))
    if is_sent:
        run.sent = [record.time_ms for record in read_records(journal_path(folder))]
        run.scores, run.is_closed, run.run_id, run.experiment_id = scores_on_disk(folder), True, "7", "1"
    run.save(folder)
    return folder


def in_results(settings: Settings, fold: str, experiment: Experiment = MODEL, *, is_sent: bool = False) -> Path:
    folder = tracked(experiment.fold_folder(settings.roots, fold), experiment, is_sent=is_sent)
    run = FoldRun.load(folder)
    assert run
    run.tracking_uri = settings.tracking_uri
    run.save(folder)
    return folder


class TestTrackedFolders:
    def test_are_those_of_every_variant_and_the_superseded_ones(self, settings: Settings) -> None:
        variant = in_results(settings, "fold_1", Experiment(MODEL.dataset, "2d", variant="short"))
        folds = [in_results(settings, fold) for fold in ("fold_1", "fold_0")]
        old = tracked(folds[0].parent / "nnunet_assets" / "superseded" / "fold_0_2026")
        # One that was never tracked.
        write_fold(folds[0].parent, "fold_2", {"x": (0.5, 0.5)})
        assert list(tracked_folders(settings)) == [folds[1], folds[0], old, variant]

    def test_are_those_that_were_adopted_elsewhere_too_once_each(self, settings: Settings, tmp_path: Path) -> None:
        elsewhere = tracked(tmp_path / "cluster" / MODEL.dataset / MODEL.name / "fold_3")
        untracked = write_fold(elsewhere.parent, "fold_4", {"x": (0.5, 0.5)})
        inside = in_results(settings, "fold_0")
        for fold in (elsewhere, untracked, inside):
            remember_place(settings.data, fold)
        assert list(tracked_folders(settings)) == [inside, elsewhere]


class TestWhatIsSent:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Any]]:
        """The folds that are sent, with the time that is left for each; MLflow takes all."""
        asked: list[tuple[str, Any]] = []

        def send_waiting(_destination: Destination, folder: Path, *, timeout_seconds: float) -> TrackingReport:
            asked.append((folder.name, timeout_seconds))
            return SENT

        monkeypatch.setattr(module, "probe", lambda _destination: asked.append(("probe", None)))
        monkeypatch.setattr(module, "send_waiting", send_waiting)
        return asked

    def test_is_what_waits_before_what_may_have_lost_its_run(
        self, settings: Settings, destination: Destination, asked: list[tuple[str, Any]]
    ) -> None:
        in_results(settings, "fold_0", is_sent=True)
        in_results(settings, "fold_1")
        report = sync(settings, destination)
        assert [name for name, _ in asked] == ["probe", "fold_1", "fold_0"]
        assert (report.problem, report.n_waiting) == (None, 0)
        assert list(report.folds.values()) == [SENT, SENT]
        # The first of two leaves the other as much, and does not need it.
        assert [round(share, -1) for _, share in asked[1:]] == [150, 300]

    def test_is_what_is_named_and_no_more(
        self,
        settings: Settings,
        destination: Destination,
        asked: list[tuple[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        folds = [in_results(settings, f"fold_{number}") for number in range(2)]
        monkeypatch.chdir(folds[1].parent)
        report = sync(settings, destination, [Path("fold_1")], timeout_seconds=7.0)
        assert list(report.folds) == [folds[1]]
        assert [(name, left and left <= 7) for name, left in asked] == [("probe", None), ("fold_1", True)]

    def test_is_nothing_of_a_superseded_fold_that_was_sent(
        self, settings: Settings, destination: Destination, asked: list[tuple[str, Any]]
    ) -> None:
        old = tracked(MODEL.model_folder(settings.roots) / "nnunet_assets" / "superseded" / "fold_0", is_sent=True)
        run = FoldRun.load(old)
        assert run
        run.tracking_uri = settings.tracking_uri
        run.save(old)
        report = sync(settings, destination)
        assert (asked, report.problem, report.n_waiting, list(report.folds)) == ([], None, 0, [old])

    def test_takes_its_time_for_what_waits_alone(
        self, settings: Settings, destination: Destination, asked: list[tuple[str, Any]]
    ) -> None:
        in_results(settings, "fold_0", is_sent=True)
        in_results(settings, "fold_1")
        sync(settings, destination, timeout_seconds=0.0)
        assert asked == [("probe", None), ("fold_1", 0.0)]

    def test_is_not_tried_where_mlflow_is_down(
        self,
        settings: Settings,
        destination: Destination,
        asked: list[tuple[str, Any]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def is_down(_destination: Destination) -> None:
            raise TrackingError("MLflow is not reachable.")

        monkeypatch.setattr(module, "probe", is_down)
        sent = in_results(settings, "fold_0", is_sent=True)
        assert sync(settings, destination).problem is None
        waiting = in_results(settings, "fold_1")
        report = sync(settings, destination)
        assert (report.problem, report.n_waiting, asked) == ("MLflow is not reachable.", 1, [])
        assert [report.problem_of(fold) for fold in (sent, waiting)] == [None, "MLflow is not reachable."]

    def test_must_have_been_tracked(self, settings: Settings, destination: Destination, tmp_path: Path) -> None:
        with pytest.raises(TrackingError, match=r"fold_9 is not the folder of a fold: it has no journal\. Name"):
            sync(settings, destination, [tmp_path / "fold_9"])
        fold = in_results(settings, "fold_0")
        (fold / ".nnunet_assets" / "mlflow_run.json").unlink()
        with pytest.raises(TrackingError, match=r"fold_0 was never tracked, so that it has nothing to send"):
            sync(settings, destination, [fold])


class TestWhatIsMadeAnewBefore:
    @pytest.fixture
    def made(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        """The folds whose files are made anew, in place of which nothing is made; nothing is sent either."""
        made: list[str] = []
        monkeypatch.setattr(adopted_fold_run, "prepare_again", lambda _to, _roots, folder: made.append(folder.name))
        monkeypatch.setattr(module, "probe", lambda _destination: None)
        monkeypatch.setattr(module, "send_waiting", lambda _destination, _folder, timeout_seconds: SENT)
        return made

    def test_is_nothing_of_what_is_as_it_was_sent(
        self, settings: Settings, destination: Destination, made: list[str]
    ) -> None:
        in_results(settings, "fold_0", is_sent=True)
        in_results(settings, "fold_1")
        sync(settings, destination)
        assert made == []

    def test_is_what_was_validated_again(self, settings: Settings, destination: Destination, made: list[str]) -> None:
        append_record(journal_path(in_results(settings, "fold_0", is_sent=True)), "end", {})
        sync(settings, destination)
        assert made == ["fold_0"]

    def test_is_an_adopted_fold_whose_files_are_of_other_scores(
        self, settings: Settings, destination: Destination, made: list[str]
    ) -> None:
        for fold, is_same in (("fold_0", False), ("fold_1", True)):
            folder = in_results(settings, fold)
            run = FoldRun.load(folder)
            assert run
            run.made_of = scores_on_disk(folder) if is_same else "other"
            run.save(folder)
        sync(settings, destination)
        assert made == ["fold_0"]
        for fold in ("fold_0", "fold_1"):
            (MODEL.fold_folder(settings.roots, fold) / ".nnunet_assets" / "COMMIT").unlink()
        sync(settings, destination)
        assert made == ["fold_0"]  # what is not finished has nothing to be made of

    def test_is_a_copy_from_another_experiment(
        self, settings: Settings, destination: Destination, made: list[str]
    ) -> None:
        fold = in_results(settings, "fold_0", Experiment(MODEL.dataset, "2d", variant="short"))
        copy = MODEL.fold_folder(settings.roots, "fold_1")
        copy.parent.mkdir(parents=True)
        shutil.copytree(fold, copy)
        sync(settings, destination, [fold])
        assert made == []
        sync(settings, destination, [copy])
        assert made == ["fold_1"]
        # An older version noted no experiment.
        run = FoldRun.load(copy)
        assert run
        run.tags = {name: value for name, value in run.tags.items() if name != EXPERIMENT}
        run.save(copy)
        sync(settings, destination, [copy])
        assert made == ["fold_1"]

    def test_is_nothing_of_a_fold_that_is_not_finished(
        self, settings: Settings, destination: Destination, made: list[str]
    ) -> None:
        folder = in_results(settings, "fold_0", is_sent=True)
        append_record(journal_path(folder), "end", {})
        (folder / ".nnunet_assets" / "COMMIT").unlink()
        sync(settings, destination)
        assert made == []


class TestRunsOfScripts:
    """On the spool of a project: `ended_`, or still open, and what MLflow has of each."""

    @pytest.fixture
    def removed(self, monkeypatch: pytest.MonkeyPatch) -> list[str]:
        removed: list[str] = []
        monkeypatch.setattr(module, "tracked_folders", lambda _settings: [])
        monkeypatch.setattr(module, "end_killed", lambda _folder: None)
        monkeypatch.setattr(module, "remove_sent", lambda folder, _destination: removed.append(folder.name))
        monkeypatch.setattr(FoldRun, "load", self.run_of)
        monkeypatch.setattr(module, "own_destination", lambda folder, to: replace(to, tracking_uri=folder.parent.name))
        return removed

    @staticmethod
    def run_of(folder: Path) -> FoldRun | None:
        ending = Ending("FINISHED", 5, []) if "ended" in folder.name else None
        return None if folder.name == "gone" else FoldRun("", "d", "run", {}, ending=ending)

    def test_are_sent_to_their_own_servers_and_removed_when_all_is_there_and_they_have_ended(
        self, settings: Settings, destination: Destination, removed: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        names = ("up/done_ended", "down/ended_1", "down/ended_2", "up/ended", "up/open", "up/gone", "up/slow_ended")
        asked: list[str] = []
        sent: list[tuple[str, str, float]] = []

        def probe(there: Destination) -> None:
            asked.append(there.tracking_uri)
            if there.tracking_uri == "down":
                raise TrackingError("No answer.")

        def send_waiting(there: Destination, folder: Path, *, timeout_seconds: float) -> TrackingReport:
            sent.append((there.tracking_uri, folder.name, timeout_seconds))
            return WAITING if "slow" in folder.name else SENT

        monkeypatch.setattr(module, "own_run_folders", lambda _data: [Path(name) for name in names])
        monkeypatch.setattr(module, "probe", probe)
        monkeypatch.setattr(module, "send_waiting", send_waiting)
        monkeypatch.setattr(module, "known_report", lambda _to, folder: SENT if "done" in folder.name else WAITING)
        report = sync(settings, destination)
        assert asked == ["down", "up"]
        assert [one[:2] for one in sent] == [("up", name) for name in ("ended", "open", "gone", "slow_ended")]
        assert [round(seconds) for _, _, seconds in sent] == [75, 100, 150, 300]
        assert removed == ["done_ended", "ended"]
        assert list(report.folds) == [Path(name) for name in names]
        assert [one.is_done for one in report.folds.values()] == [True, False, False, True, True, True, False]
        assert [one.problem for one in report.folds.values()][1:3] == ["No answer."] * 2
        sent.clear()
        sync(settings, destination, timeout_seconds=-1.0)
        assert {seconds for _, _, seconds in sent} == {0.0}
