"""What the parent and every reader rely on of a fold's process, shown on a real training and on the fake alike."""

import json
from abc import ABC, abstractmethod
from collections import Counter
from pathlib import Path

import pytest

from nnunet_assets.core.fold.commit import read_committed
from nnunet_assets.core.fold.fold import fold_state
from nnunet_assets.core.fold.journal import Record, journal_path, n_saved_epochs, read_records
from nnunet_assets.core.fold.validation_work import ValidationWork
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.nnunet.results.results import fold_results_in
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets_tests.fakes.fold_child import Ends, played
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.training_builders import EXPERIMENT, FOLDS, TINY, PhantomProject

SERIES = {
    "train_loss",
    "val_loss",
    "generalization_gap",
    "pseudo_dice_mean",
    "pseudo_dice_ema",
    "pseudo_dice/organ",
    "pseudo_dice/lesion",
    "learning_rate",
    "epoch_seconds",
}
FOLD = "fold_0"


class FoldProcessContract(ABC):
    """A fold that was trained for three epochs without an interruption; no test changes it."""

    @pytest.fixture
    @abstractmethod
    def project(self) -> PhantomProject:
        """The phantom whose fold it is."""

    @pytest.fixture
    def folder(self, project: PhantomProject) -> Path:
        return project.folder(FOLD)

    @pytest.fixture
    def cases(self, project: PhantomProject) -> list[str]:
        splits = json.loads((project.prepared.folder / "splits_final.json").read_text())
        found: list[str] = splits[FOLDS.index(FOLD)]["val"]
        return found

    def test_it_is_committed_with_what_made_it(self, project: PhantomProject, folder: Path, cases: list[str]) -> None:
        manifest = read_committed(folder, check_files=True)
        assert manifest is not None
        assert fold_state(folder) == "finished"
        assert (manifest.fold, manifest.device, manifest.n_epochs) == (FOLD, "cpu", 3)
        assert manifest.inputs.raw_hash == "the raw data"
        assert manifest.inputs.plans_hash == project.prepared.plans("nnUNetPlans").digest
        assert manifest.details["validation_cases"] == cases
        assert manifest.details["overrides"] == TINY
        assert set(manifest.details) == {
            *("attempt", "stages", "experiment", "overrides", "options", "validation_cases", "dagster_run_id"),
            *("host", "python", "started", "ended", "stopped_early"),
        }
        assert set(manifest.seconds) == {"training", "validation"}
        assert manifest.seconds["training"] > 0
        assert {"nnunetv2", "torch", "nnunet_assets"} <= set(manifest.versions)
        assert set(manifest.peak_memory_bytes) == {"host", "largest_worker"}

    def test_its_journal_has_the_start_each_epoch_once_with_all_series_and_the_end(self, folder: Path) -> None:
        start, *epochs, end = read_records(journal_path(folder))
        assert start.kind == "start"
        params = start.values["params"]
        assert {name: params["trainer"][name] for name in TINY} == TINY
        assert params["overrides"] == TINY
        assert {"experiment", "fold", "overrides", "options", "trainer", "device", "versions"} <= set(params)
        assert [(record.kind, record.epoch) for record in epochs] == [("epoch", 0), ("epoch", 1), ("epoch", 2)]
        assert all(set(record.values) == SERIES for record in epochs)
        assert end.kind == "end"
        assert set(end.values) == {"val_dice_mean", "val_iou_mean"} | {
            f"{metric}/{label}" for metric in ("val_dice", "val_iou") for label in ("organ", "lesion")
        }
        assert n_saved_epochs(folder) == 3

    def test_it_says_how_much_work_the_validation_of_each_case_was(self, folder: Path, cases: list[str]) -> None:
        work = ValidationWork.read(folder)
        assert work is not None
        assert sorted(work.passes) == sorted(cases)
        assert (work.device, work.epoch_passes > 0) == ("cpu", True)

    def test_it_is_nnunets_own_with_one_hidden_folder_more(self, folder: Path, cases: list[str]) -> None:
        assert {path.name for path in folder.iterdir() if not path.name.startswith("training_log_")} == {
            ".nnunet_assets",
            "checkpoint_best.pth",
            "checkpoint_final.pth",
            "debug.json",
            "progress.png",
            "validation",
        }
        validation = {"summary.json", *(f"{case}.nii.gz" for case in cases)}
        assert {path.name for path in (folder / "validation").iterdir()} == validation
        beside = {path.name for path in folder.parent.iterdir()}
        assert beside >= {"plans.json", "dataset.json", "dataset_fingerprint.json"}
        assert {path.name for path in (folder / ".nnunet_assets").iterdir()} == {
            "COMMIT",
            "checkpoints.json",
            "journal.jsonl",
            "manifest.json",
            "output.log",
            "peak_memory.json",
            "request.json",
            "saved_epochs",
            "validation_work.json",
            "versions.json",
        }

    def test_its_scores_are_read_back_as_its_journal_ends(self, folder: Path, cases: list[str]) -> None:
        (result,) = fold_results_in(folder.parent, [FOLD])
        assert [case.case_id for case in result.cases] == sorted(cases)
        summary = summarize(EXPERIMENT, [FOLD], [result])
        *_, end = read_records(journal_path(folder))
        assert end.values["val_dice/organ"] == summary.labels["organ"].dice.pooled.mean
        assert end.values["val_dice_mean"] == summary.foreground.dice.pooled.mean

    def test_its_request_names_the_attempt_that_its_journal_and_its_manifest_name(self, folder: Path) -> None:
        request = json.loads((folder / ".nnunet_assets" / "request.json").read_text())
        start = next(read_records(journal_path(folder)))
        manifest = read_committed(folder)
        assert manifest is not None
        assert request["attempt"] == start.values["attempt"] == manifest.details["attempt"]
        assert f"{FOLD} is finished." in (folder / ".nnunet_assets" / "output.log").read_text()


class TestRealTraining(FoldProcessContract):
    @pytest.fixture
    def project(self, trained_phantom: PhantomProject) -> PhantomProject:
        return trained_phantom

    def test_it_is_the_real_one(self, folder: Path) -> None:
        assert (folder / "checkpoint_final.pth").read_bytes().startswith(b"PK")  # as torch saves it


def check_that_it_went_on_after_a_kill(said: list[str], records: list[Record], output: str) -> None:
    """Checks what a fold of three epochs leaves that was killed once; `said` is what its parent warned of."""
    (sentence,) = said
    assert "was killed (SIGKILL)" in sentence
    assert "goes on from what is there (restart 1 of 2)" in sentence
    kinds = Counter((record.kind, record.epoch) for record in records)
    assert kinds == Counter([("start", None), ("epoch", 0), ("epoch", 1), ("epoch", 2), ("end", None)])
    assert "resuming after" in output


class TestFake(FoldProcessContract):
    @pytest.fixture
    def empty(self, tmp_path: Path, prepared_phantom: PhantomProject) -> PhantomProject:
        return prepared_phantom.copy_to(tmp_path)

    @pytest.fixture
    def project(self, empty: PhantomProject, monkeypatch: pytest.MonkeyPatch) -> PhantomProject:
        played(monkeypatch)
        assert empty.train(FOLD).is_new
        return empty

    def test_it_goes_on_after_a_kill(self, empty: PhantomProject, monkeypatch: pytest.MonkeyPatch) -> None:
        child, said = played(monkeypatch, Ends(2, -9)), list[str]()
        assert empty.train(FOLD, progress=RecordedProgress(said.append)).is_new
        folder = empty.folder(FOLD)
        output = (folder / ".nnunet_assets" / "output.log").read_text()
        check_that_it_went_on_after_a_kill(said, list(read_records(journal_path(folder))), output)
        assert len({attempt.attempt for attempt, _ in child.started}) == 1

    def test_it_ends_as_its_script_says(self, empty: PhantomProject, monkeypatch: pytest.MonkeyPatch) -> None:
        played(monkeypatch, Ends(None, ExitCode.BAD_INPUT, "There is no device 'mps'."))
        with pytest.raises(FoldFailed, match="There is no device 'mps'") as caught:
            empty.train(FOLD)
        assert (caught.value.code, caught.value.is_permanent) == (ExitCode.BAD_INPUT, True)
        assert fold_state(empty.folder(FOLD)) == "absent"
