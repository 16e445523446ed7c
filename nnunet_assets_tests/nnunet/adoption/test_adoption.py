"""Folds of plain nnU-Net taken in: what their files prove, what stays unknown, and what is refused."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import UNKNOWN, read_committed
from nnunet_assets.core.fold.fold import fold_state
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.journal import append_record, journal_path, read_records
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.errors import FoldError, SummaryError
from nnunet_assets.nnunet.adoption.adoption import adopt_fold
from nnunet_assets.nnunet.folds.fold import run_fold
from nnunet_assets.nnunet.results.results import fold_results_in
from nnunet_assets_tests.foreign_fold_builders import BEGIN, DATASET, PLANS, write_foreign_fold
from nnunet_assets_tests.prepared_builders import dataset_of
from nnunet_assets_tests.training_builders import DATASET as PHANTOM
from nnunet_assets_tests.training_builders import SHORT_TRAINER, TINY, PhantomProject

CASES = {"a": (0.9, 0.5), "b": (0.7, 0.25)}
EXPERIMENT = Experiment(DATASET, "3d_fullres")


def files_of(folder: Path) -> dict[str, str]:
    """Every file that is not ours, with its digest."""
    found = {path.relative_to(folder): path for path in folder.rglob("*") if path.is_file()}
    return {
        str(name): hashlib.sha256(path.read_bytes()).hexdigest()
        for name, path in found.items()
        if ".nnunet_assets" not in name.parts
    }


def checkpoint_of(folder: Path) -> dict[str, Any]:
    import torch

    content: dict[str, Any] = torch.load(folder / "checkpoint_final.pth", weights_only=False)
    return content


def test_what_the_files_prove_is_known_and_the_rest_is_unknown(tmp_path: Path) -> None:
    folder = write_foreign_fold(tmp_path, 0, CASES)
    assert fold_state(folder) == "foreign"
    before = files_of(tmp_path)

    manifest = adopt_fold(folder).manifest

    assert files_of(tmp_path) == before
    assert fold_state(folder) == "adopted"
    assert (manifest.inputs.raw_hash, manifest.inputs.splits_hash) == (UNKNOWN, UNKNOWN)
    assert manifest.inputs.plans_hash == json_sha256(PLANS)  # as of a fold that was trained here
    assert (manifest.device, manifest.n_epochs, manifest.seconds) == ("Tesla V100", 3, {"training": 30.0})
    assert (manifest.details["host"], manifest.details["ended"]) == ("node17", "2020-09-13T12:27:10+00:00")
    assert manifest.validated == UNKNOWN
    (result,) = fold_results_in(folder.parent, ["fold_0"])
    assert summarize(EXPERIMENT, ["fold_0"], [result]).labels["Posterior"].dice.pooled.mean == 0.375


def test_the_curves_are_those_of_the_checkpoint_at_the_times_that_they_had(tmp_path: Path) -> None:
    folder = write_foreign_fold(tmp_path, 0, CASES)
    adopt_fold(folder)

    start, *epochs, end = read_records(journal_path(folder))

    assert start.time_ms == 1000 * BEGIN
    assert [(record.epoch, record.time_ms) for record in epochs] == [
        (k, 1000 * (BEGIN + 10 * k + 10)) for k in range(3)
    ]
    assert epochs[1].values == {
        "train_loss": -0.5,
        "val_loss": -0.25,
        "generalization_gap": 0.25,
        "pseudo_dice_mean": 0.1,
        "pseudo_dice_ema": 0.05,
        "pseudo_dice/Anterior": 0.2,
        "pseudo_dice/Posterior": None,
        "learning_rate": 0.005,
        "epoch_seconds": 10.0,
    }
    assert end.values["val_dice_mean"] == pytest.approx((0.8 + 0.375) / 2)


def test_a_training_during_which_the_clock_was_set_back_gets_times_that_grow(tmp_path: Path) -> None:
    before = checkpoint_of(write_foreign_fold(tmp_path, 0, CASES))
    starts, ends = [BEGIN, BEGIN + 10, BEGIN - 3580], [BEGIN + 10, BEGIN - 3580, BEGIN - 3570]
    set_back = {**before["logging"], "epoch_start_timestamps": starts, "epoch_end_timestamps": ends}
    folder = write_foreign_fold(tmp_path, 0, CASES, checkpoint={"logging": set_back})

    manifest = adopt_fold(folder).manifest

    start, *epochs, end = read_records(journal_path(folder))
    times = [record.time_ms for record in (start, *epochs, end)]
    assert times == sorted(set(times))
    assert [record.values.get("epoch_seconds") for record in epochs] == [10.0, None, 10.0]
    assert manifest.seconds == {"training": 20.0}
    assert manifest.details["started"] <= manifest.details["ended"]


def test_adopting_again_changes_nothing_and_a_fold_that_changed_since_is_adopted_anew(tmp_path: Path) -> None:
    folder = write_foreign_fold(tmp_path, 0, CASES)
    first = adopt_fold(folder)
    again = adopt_fold(folder)
    assert (first.is_new, again.is_new, again.manifest) == (True, False, first.manifest)

    write_foreign_fold(tmp_path, 0, CASES, n_epochs=4)

    assert fold_state(folder) == "changed"
    anew = adopt_fold(folder)
    assert (anew.is_new, anew.manifest.n_epochs) == (True, 4)
    assert anew.manifest.details["attempt"] != first.manifest.details["attempt"]
    assert [record.epoch for record in read_records(journal_path(folder))] == [None, 0, 1, 2, 3, None]


def test_a_journal_of_a_tracked_training_is_kept_and_ends_with_the_scores_that_the_fold_has(tmp_path: Path) -> None:
    folder = write_foreign_fold(tmp_path, 0, CASES)
    append_record(journal_path(folder), "start", {"attempt": "of the tracked trainer", "params": {}})
    before = journal_path(folder).read_bytes()
    adopt_fold(folder)
    assert journal_path(folder).read_bytes().startswith(before)
    start, end = read_records(journal_path(folder))
    assert (start.kind, end.kind, end.values["val_dice_mean"]) == ("start", "end", pytest.approx((0.8 + 0.375) / 2))

    write_foreign_fold(tmp_path, 0, {"a": (0.5, 0.5), "b": (0.5, 0.5)})
    adopt_fold(folder)

    start_again, again = read_records(journal_path(folder))
    assert start_again == start
    assert (again.values["val_dice_mean"], again.time_ms > end.time_ms) == (0.5, True)


def test_an_adopted_fold_is_never_trained_again_by_itself(tmp_path: Path) -> None:
    from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
    from nnunet_assets_tests.prepared_builders import EXPERIMENT as PREPARED
    from nnunet_assets_tests.prepared_builders import write_prepared

    roots, _ = write_prepared(tmp_path)
    written = write_foreign_fold(tmp_path / "elsewhere", 0, CASES)
    adopt_fold(written)
    fold = PREPARED.fold_folder(roots, "fold_0")
    fold.parent.mkdir(parents=True)
    shutil.copytree(written, fold)
    inputs = fold_inputs(dataset_of(roots, PREPARED), PREPARED, "fold_0", "settings")
    request = FoldRequest(PREPARED, "fold_0", {}, "cpu", inputs, None)

    outcome = run_fold(request, roots, environment={})

    assert (outcome.is_new, outcome.manifest.is_adopted) == (False, True)
    validation = FoldRequest(PREPARED, "fold_0", {}, "cpu", inputs, None, TrainingOptions(validation_only=True))
    with pytest.raises(FoldError, match="trained elsewhere and adopted"):
        run_fold(validation, roots, environment={})


def test_folds_of_other_settings_or_plans_are_not_averaged(tmp_path: Path) -> None:
    for number, n_epochs in ((0, 3), (1, 3), (2, 50)):
        cases = {f"case_{number}": (0.5, 0.5)}
        adopt_fold(write_foreign_fold(tmp_path, number, cases, n_epochs=3, debug={"num_epochs": str(n_epochs)}))
    folds = ["fold_0", "fold_1", "fold_2"]
    with pytest.raises(SummaryError, match="fold_2 and fold_0, fold_1 differ in training settings"):
        summarize(EXPERIMENT, folds, fold_results_in(tmp_path / DATASET / EXPERIMENT.name, folds))


class TestRefused:
    @pytest.mark.parametrize(
        ("changed", "sentence"),
        [
            ({"trainer_name": "nnUNetTrainerOther"}, "trainer 'nnUNetTrainerOther', not 'nnUNetTrainer'"),
            ({"logging": None, "current_epoch": None, "init_args": {}}, "has no configuration, dataset_json, fold"),
        ],
    )
    def test_a_checkpoint_of_another_place_or_program(
        self, tmp_path: Path, changed: dict[str, object], sentence: str
    ) -> None:
        folder = write_foreign_fold(tmp_path, 0, CASES, checkpoint=changed)
        with pytest.raises(FoldError, match=sentence):
            adopt_fold(folder)
        assert fold_state(folder) == "foreign"

    def test_a_fold_that_was_renamed(self, tmp_path: Path) -> None:
        folder = write_foreign_fold(tmp_path, 0, CASES)
        with pytest.raises(FoldError, match="fold '0', not '3'"):
            adopt_fold(folder.rename(folder.with_name("fold_3")))

    def test_a_checkpoint_that_carries_code_is_not_run(self, tmp_path: Path) -> None:
        import torch

        folder = write_foreign_fold(tmp_path, 0, CASES)
        torch.save({"network_weights": _Payload(str(tmp_path / "owned"))}, folder / "checkpoint_final.pth")
        with pytest.raises(FoldError, match="could run code"):
            adopt_fold(folder)
        assert not (tmp_path / "owned").exists()

    @pytest.mark.parametrize("n_bytes", [0, 100, -100])
    def test_a_torn_checkpoint(self, tmp_path: Path, n_bytes: int) -> None:
        file = write_foreign_fold(tmp_path, 0, CASES) / "checkpoint_final.pth"
        file.write_bytes(file.read_bytes()[:n_bytes])
        with pytest.raises(FoldError, match=r"damaged, or no checkpoint|more than a checkpoint"):
            adopt_fold(file.parent)

    @pytest.mark.parametrize("missing", ["checkpoint_final.pth", "validation/summary.json"])
    def test_an_unfinished_fold(self, tmp_path: Path, missing: str) -> None:
        folder = write_foreign_fold(tmp_path, 0, CASES)
        (folder / "checkpoint_best.pth").write_bytes(b"")
        (folder / missing).unlink()
        with pytest.raises(FoldError, match=f"is not finished: {missing} missing"):
            adopt_fold(folder)

    def test_scores_that_are_torn_twice_there_incomplete_or_of_another_dataset(self, tmp_path: Path) -> None:
        folder = write_foreign_fold(tmp_path, 0, CASES)
        file = folder / "validation" / "summary.json"
        good = file.read_text()
        content = json.loads(good)
        first, second = content["metric_per_case"]
        broken = {
            "torn": good[:-50],
            "more than once": json.dumps({"metric_per_case": [first, first, second]}),
            r"scores of 1 cases, and by the log 2": json.dumps({"metric_per_case": [first]}),
            "belongs to another dataset": good.replace('"2":', '"3":'),
            "only one is defined": good.replace("0.5,", "NaN,"),
        }
        for sentence, text in broken.items():
            file.write_text(text)
            with pytest.raises((FoldError, SummaryError), match=sentence):
                adopt_fold(folder)
            assert fold_state(folder) == "foreign"

    def test_what_this_project_trains_or_a_model_on_every_case(self, tmp_path: Path) -> None:
        folder = write_foreign_fold(tmp_path, 0, CASES)
        with pytest.raises(FoldError, match="model on every case"):
            adopt_fold(folder.with_name("fold_all"))
        with pytest.raises(FoldError, match="not where nnU-Net keeps a fold"):
            adopt_fold(tmp_path / "fold_0")
        (folder / ".nnunet_assets").mkdir()
        (folder / ".nnunet_assets" / "request.json").write_text("{}")
        with pytest.raises(FoldError, match="was trained by this project"):
            adopt_fold(folder)


class _Payload:
    def __init__(self, file: str) -> None:
        self.file = file

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (self.file,)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory, prepared_phantom: PhantomProject) -> PhantomProject:
    """A phantom of 6 cases, planned and preprocessed by real nnU-Net."""
    return prepared_phantom.copy_to(tmp_path_factory.mktemp("adoption"))


@pytest.mark.faults
class TestRealTrainings:
    def test_a_native_fold_and_the_same_folder_adopted_give_the_same_summary_to_the_last_digit(
        self, project: PhantomProject
    ) -> None:
        native = Experiment(PHANTOM, "3d_fullres")
        for fold in ("fold_0", "fold_1"):
            project.train(fold, native, overrides=TINY)
        model = native.model_folder(project.roots)
        elsewhere = model.parents[2] / "cluster" / PHANTOM / native.name
        shutil.copytree(model, elsewhere, ignore=shutil.ignore_patterns("*nnunet_assets"))
        folds = ["fold_0", "fold_1"]
        expected = summarize(native, folds, fold_results_in(model, folds))

        for fold in folds:
            adopt_fold(elsewhere / fold)

        adopted = summarize(native, folds, fold_results_in(elsewhere, folds))
        assert (adopted.labels, adopted.foreground) == (expected.labels, expected.foreground)
        assert [fold.cases for fold in adopted.folds] == [fold.cases for fold in expected.folds]
        assert [fold.n_epochs for fold in adopted.folds] == [3, 3]
        for fold in folds:
            theirs, ours = (
                [dict(record.values) for record in read_records(journal_path(folder / fold)) if record.kind != "start"]
                for folder in (elsewhere, model)
            )
            # nnU-Net noted an epoch's begin and end by the wall clock, we its length by a clock that nobody sets.
            lengths = [[values.pop("epoch_seconds", None) for values in records] for records in (theirs, ours)]
            assert theirs == ours
            assert lengths[0] == pytest.approx(lengths[1], abs=0.05)
        plans = [folder.inputs.plans_hash for folder in (adopted, expected)]
        assert plans[0] == plans[1]

    def test_a_fold_that_plain_nnunet_trained_is_adopted(self, project: PhantomProject, tmp_path: Path) -> None:
        import subprocess
        import sys

        (tmp_path / "trainers").mkdir()
        (tmp_path / "trainers" / "nnUNetTrainerShort.py").write_text(SHORT_TRAINER)
        roots = Roots(project.roots.raw, project.roots.preprocessed, tmp_path / "results")
        own = {"nnUNet_extTrainer": str(tmp_path / "trainers"), "nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1"}
        train = [PHANTOM, "3d_fullres", "0", "-tr", "nnUNetTrainerShort", "-device", "cpu"]
        subprocess.run(
            [sys.executable, "-m", "nnunetv2.run.run_training", *train],
            env={**project.environment, **roots.environment(), **own},
            check=True,
            capture_output=True,
        )
        folder = Experiment(PHANTOM, "3d_fullres", "nnUNetTrainerShort").fold_folder(roots, "fold_0")

        manifest = adopt_fold(folder).manifest

        assert manifest.inputs.plans_hash == project.prepared.plans("nnUNetPlans").digest
        assert manifest.details["settings"]["num_epochs"] == "2"
        assert read_committed(folder, check_files=True) == manifest
        epochs = [record for record in read_records(journal_path(folder)) if record.kind == "epoch"]
        assert [record.epoch for record in epochs] == [0, 1]
        assert {"pseudo_dice/organ", "train_loss", "epoch_seconds"} <= set(epochs[0].values)
