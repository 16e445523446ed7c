"""What MLflow is to be sent of an adopted fold, and when what it was sent is made anew."""

import json
import shutil
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FinishedFold, commit_fold, read_committed
from nnunet_assets.core.fold.journal import append_record, journal_path, read_records
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_run import Ending, FoldRun, contents_path
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import (
    ADOPTED,
    DATASET,
    EXPERIMENT,
    FOLD,
    HOST,
    RAW_HASH,
    SEVERAL_GPUS,
    VARIANT,
    fold_tags,
)
from nnunet_assets.workflows.fold import adopted_fold_run, fold_uploads
from nnunet_assets.workflows.fold.adopted_fold_run import back_fill, prepare, prepare_again
from nnunet_assets_tests.adopted_builders import BEGIN_MS, take_in, write_foreign
from nnunet_assets_tests.builders import INPUTS
from nnunet_assets_tests.cross_validation_builders import write_fold

MODEL = Experiment("Dataset004_Hippocampus", "3d_fullres")
OTHER = replace(MODEL, variant="other")
DICES = {"a": 0.5, "b": 0.75}


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    for module in (adopted_fold_run, fold_uploads):
        monkeypatch.setattr(module, "learning_curve_png", lambda _records: b"a picture")
    monkeypatch.setattr(fold_uploads, "environment", lambda: "mlflow==1\n")
    return Settings.from_environment(tmp_path, {})


@pytest.fixture
def destination(settings: Settings) -> Destination:
    return Destination.of(settings)


@pytest.fixture
def folder(settings: Settings) -> Path:
    """A fold that plain nnU-Net trained."""
    return write_foreign(MODEL.fold_folder(settings.roots, "fold_0"), DICES)


def known(folder: Path) -> FoldRun:
    found = FoldRun.load(folder)
    assert found
    return found


def note(folder: Path, **changes: Any) -> FoldRun:
    """Changes what is known of the run."""
    changed = replace(known(folder), **changes)
    changed.save(folder)
    return changed


def sent(folder: Path, **changes: Any) -> FoldRun:
    """What is known of the run once MLflow has everything."""
    times = [record.time_ms for record in read_records(journal_path(folder))]
    return note(folder, **{"run_id": "7", "experiment_id": "1", "sent": times, "is_closed": True, **changes})


def made(folder: Path, name: str) -> str:
    return contents_path(folder, name).read_text()


class TestTheRun:
    def test_tells_what_the_files_prove_at_the_times_of_the_training(
        self, destination: Destination, folder: Path
    ) -> None:
        adopted = take_in(folder)
        prepare(destination, adopted)
        run = known(folder)
        assert (run.experiment_name, run.run_name, run.attempt) == (MODEL.dataset, "fold_0 3d_fullres", "adopted-1")
        assert (run.tags[FOLD], run.tags[RAW_HASH], run.tags[ADOPTED], run.tags[HOST]) == (
            "fold_0",
            "unknown",
            "yes",
            "node17",
        )
        assert SEVERAL_GPUS not in run.tags
        assert run.made_of == adopted.finished.scores
        assert run.ending
        assert (run.ending.status, run.ending.time_ms) == ("FINISHED", BEGIN_MS + 1000)
        assert run.ending.metrics["training_seconds"] == 2.0
        assert (run.run_id, run.is_closed) == (None, False)

    def test_gets_the_files_and_what_is_made_of_them(self, destination: Destination, folder: Path) -> None:
        prepare(destination, take_in(folder))
        run = known(folder)
        assert run.ending
        assert (
            run.files
            == run.ending.files
            == [
                ".nnunet_assets/manifest.json",
                "validation/summary.json",
                "../dataset.json",
                ".nnunet_assets/uploads/history.json",
                ".nnunet_assets/uploads/validation_cases.csv",
                ".nnunet_assets/uploads/learning_curve.png",
            ]
        )
        assert json.loads(made(folder, "history.json"))["train_loss"] == [0, -1]
        assert "\n  " in made(folder, "history.json")
        assert "fold_0,a,,Anterior,0.5," in made(folder, "validation_cases.csv")
        assert made(folder, "learning_curve.png") == "a picture"

    def test_shows_the_curves_of_labels_in_any_script_as_they_are_called(
        self, destination: Destination, folder: Path
    ) -> None:
        adopted = take_in(folder)
        append_record(journal_path(folder), "epoch", {"pseudo_dice/Läsion 肿瘤": 0.5}, 2)
        prepare(destination, adopted)
        assert '"pseudo_dice/Läsion 肿瘤": [' in made(folder, "history.json")

    def test_keeps_the_files_here_where_they_may_not_go(self, settings: Settings, folder: Path) -> None:
        prepare(Destination("http://tracking.example.org", settings.artifacts), take_in(folder))
        run = known(folder)
        assert run.ending
        assert (run.files, len(run.ending.files)) == ([], 6)

    def test_ended_with_its_scores_where_no_epoch_is_known(self, destination: Destination, folder: Path) -> None:
        prepare(destination, take_in(folder, n_epochs=0))
        ending = known(folder).ending
        assert ending
        assert ending.time_ms == BEGIN_MS + 10_000

    def test_says_that_several_gpus_trained_it_and_no_host_that_nobody_knows(
        self, destination: Destination, folder: Path
    ) -> None:
        prepare(destination, take_in(folder, several_gpus=True, host="unknown"))
        assert known(folder).tags[SEVERAL_GPUS] == "yes"
        assert HOST not in known(folder).tags

    def test_is_in_mlflow_with_all_that(self, destination: Destination, folder: Path, stores_in_memory: None) -> None:
        report = back_fill(destination, take_in(folder))
        assert (report.is_done, report.problem) == (True, None)
        run = connect(destination).get_run(report.run_id)
        assert (run.info.status, run.info.start_time) == ("FINISHED", BEGIN_MS - 1000)
        assert run.data.metrics["val_dice/Anterior"] == 0.625
        again = back_fill(destination, take_in(folder))
        assert (again.run_id, again.n_sent) == (report.run_id, report.n_sent)


class TestAdoptedAgain:
    def test_the_same_scores_are_not_made_again(self, destination: Destination, folder: Path) -> None:
        prepare(destination, take_in(folder))
        before = sent(folder)
        contents_path(folder, "history.json").write_text("old")
        prepare(destination, take_in(folder))
        assert known(folder) == before
        assert made(folder, "history.json") == "old"

    def test_other_scores_go_on_in_the_same_run(self, destination: Destination, folder: Path) -> None:
        prepare(destination, take_in(folder))
        before = sent(folder)
        write_foreign(folder, {**DICES, "b": 1.0})
        adopted = take_in(folder)
        prepare(destination, adopted)
        after = known(folder)
        assert (after.run_id, after.sent, after.is_closed) == ("7", before.sent, False)
        assert (after.made_of, after.made_of != before.made_of) == (adopted.finished.scores, True)
        assert "fold_0,b,,Anterior,1.0," in made(folder, "validation_cases.csv")

    def test_the_run_of_a_tracked_trainer_goes_on(self, destination: Destination, folder: Path) -> None:
        adopted = take_in(folder)
        prepare(destination, adopted)
        tags = {name: value for name, value in known(folder).tags.items() if name != ADOPTED}
        sent(folder, tags=tags)
        prepare(destination, adopted)
        assert (known(folder).run_id, known(folder).tags[ADOPTED]) == ("7", "yes")

    def test_what_version_0_1_noted_is_made_again_unless_all_of_it_was_sent(
        self, destination: Destination, folder: Path
    ) -> None:
        adopted = take_in(folder)
        prepare(destination, adopted)
        whole = sent(folder, made_of=None)
        prepare(destination, adopted)
        assert known(folder) == whole
        for is_closed, n_sent in ((False, 0), (True, 1)):
            sent(folder, made_of=None, is_closed=is_closed, sent=whole.sent[: len(whole.sent) - n_sent])
            prepare(destination, adopted)
            assert known(folder).made_of == adopted.finished.scores

    def test_another_training_has_a_run_of_its_own(self, destination: Destination, folder: Path) -> None:
        prepare(destination, take_in(folder))
        sent(folder, attempt="of before")
        prepare(destination, take_in(folder))
        assert (known(folder).run_id, known(folder).attempt) == (None, "adopted-1")

    def test_a_copy_in_another_experiment_has_a_run_of_its_own(
        self, settings: Settings, destination: Destination, folder: Path
    ) -> None:
        prepare(destination, take_in(folder))
        sent(folder)
        copy = OTHER.fold_folder(settings.roots, "fold_0")
        shutil.copytree(folder.parent, copy.parent)
        prepare(destination, take_in(copy))
        assert (known(copy).run_id, known(copy).tags[VARIANT]) == (None, "other")
        assert known(folder).run_id == "7"


class TestMadeAgainBeforeASync:
    def trained_here(self, settings: Settings, destination: Destination, experiment: Experiment = MODEL) -> Path:
        """A fold that this project trained, all of which MLflow has."""
        model = experiment.model_folder(settings.roots)
        folder = write_fold(model, "fold_0", {"a": (0.5, 0.5)})
        manifest = read_committed(folder)
        assert manifest
        commit_fold(folder, replace(manifest, details={**manifest.details, "experiment": asdict(experiment)}))
        append_record(journal_path(folder), "start", {"attempt": "1", "params": {}})
        append_record(journal_path(folder), "end", {"val_dice_mean": 0.5})
        files = [".nnunet_assets/manifest.json"]
        finished = FinishedFold.read(folder)
        assert finished
        FoldRun(
            destination.tracking_uri,
            experiment.dataset,
            "run",
            fold_tags(experiment, "fold_0", INPUTS),
            attempt="1",
            ending=Ending("FINISHED", 5, files),
        ).save(folder)
        sent(folder, scores=finished.scores)
        return folder

    def test_what_was_never_tracked_or_is_not_finished_is_left_alone(
        self, settings: Settings, destination: Destination, folder: Path
    ) -> None:
        take_in(folder)
        prepare_again(destination, settings.roots, folder)
        assert FoldRun.load(folder) is None
        prepare(destination, take_in(folder))
        before = sent(folder, tags={**known(folder).tags, EXPERIMENT: "another"})
        (folder / ".nnunet_assets" / "COMMIT").unlink()
        prepare_again(destination, settings.roots, folder)
        assert known(folder) == before

    def test_an_adopted_fold_is_as_when_it_is_adopted_again(
        self, settings: Settings, destination: Destination, folder: Path
    ) -> None:
        prepare(destination, take_in(folder))
        sent(folder)
        write_foreign(folder, {"a": 1.0, "b": 1.0})
        adopted = take_in(folder)
        prepare_again(destination, settings.roots, folder)
        assert (known(folder).made_of, known(folder).run_id) == (adopted.finished.scores, "7")

    def test_of_one_that_was_trained_here_only_files_are_made(
        self, settings: Settings, destination: Destination
    ) -> None:
        folder = self.trained_here(settings, destination)
        before = known(folder)
        prepare_again(destination, settings.roots, folder)
        assert not contents_path(folder, "history.json").exists()
        append_record(journal_path(folder), "end", {"val_dice_mean": 0.75})
        prepare_again(destination, settings.roots, folder)
        assert json.loads(made(folder, "history.json")) == {"epoch": []}
        assert "fold_0,a,,tumor (core),0.5," in made(folder, "validation_cases.csv")
        # The split is not there any more.
        assert not contents_path(folder, "splits.json").exists()
        assert known(folder) == before

    def test_a_copy_from_another_experiment_gets_the_identity_of_this_one(
        self, settings: Settings, destination: Destination
    ) -> None:
        original = self.trained_here(settings, destination, OTHER)
        copy = MODEL.fold_folder(settings.roots, "fold_0")
        shutil.copytree(original.parent, copy.parent)
        prepare_again(destination, settings.roots, copy)
        run = known(copy)
        assert (run.run_name, run.experiment_name) == ("fold_0 3d_fullres", MODEL.dataset)
        assert (run.tags[EXPERIMENT], run.tags[DATASET]) == (f"{MODEL.dataset}/{MODEL.name}", MODEL.dataset)
        assert (VARIANT in run.tags, run.tags[RAW_HASH]) == (False, "raw")
        assert (run.run_id, run.sent, run.is_closed, run.scores) == (None, [], False, None)
        assert run.files == [".nnunet_assets/manifest.json"]

    def test_a_copy_keeps_its_files_here_where_they_may_not_go(
        self, settings: Settings, destination: Destination
    ) -> None:
        original = self.trained_here(settings, destination, OTHER)
        copy = MODEL.fold_folder(settings.roots, "fold_0")
        shutil.copytree(original.parent, copy.parent)
        prepare_again(Destination("http://tracking.example.org", settings.artifacts), settings.roots, copy)
        assert (known(copy).files, known(copy).run_id) == ([], None)
        # Of a training that still runs no files are known.
        note(copy, ending=None, tags={**known(copy).tags, EXPERIMENT: "another"})
        prepare_again(destination, settings.roots, copy)
        assert known(copy).files == []

    def test_a_fold_outside_of_results_is_of_what_it_was_trained_as(
        self, settings: Settings, destination: Destination
    ) -> None:
        folder = self.trained_here(settings, destination, OTHER)
        elsewhere = settings.project / "kept" / "fold_0"
        shutil.copytree(folder.parent, elsewhere.parent)
        before = known(elsewhere)
        prepare_again(destination, settings.roots, elsewhere)
        assert known(elsewhere) == before
