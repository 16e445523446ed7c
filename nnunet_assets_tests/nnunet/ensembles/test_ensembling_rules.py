"""What of ensembles is made, made again, kept, removed and refused; a child stands for the processes that work."""

import json
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import FinishedFold, commit_fold, read_committed
from nnunet_assets.core.progress import SILENT, Progress
from nnunet_assets.errors import FoldError, PredictionError
from nnunet_assets.nnunet.ensembles import ensembling
from nnunet_assets.nnunet.ensembles.ensembling import Ensembled, Wanted, make_ensembles
from nnunet_assets.nnunet.probabilities import probabilities
from nnunet_assets.nnunet.probabilities.probability_store import ProbabilityStore, probability_bytes
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets_tests.ensemble_builders import EnsemblingChild, write_members
from nnunet_assets_tests.prepared_builders import DATASET, EXPERIMENT
from nnunet_assets_tests.recorded_progress import RecordedProgress

A, B, C = (replace(EXPERIMENT, variant=name) for name in ("a", "b", "c"))
PAIR = Wanted("pair", (B, A))
FOLDS = ("fold_0", "fold_1")
CASE_BYTES = probability_bytes(3, 10 * 8 * 6)
"""Of each of the four cases: background, organ and lesion."""


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return write_members(tmp_path, (A, B, C))


@pytest.fixture
def child(monkeypatch: pytest.MonkeyPatch) -> EnsemblingChild:
    child = EnsemblingChild()
    monkeypatch.setattr(probabilities, "run_child", child)
    monkeypatch.setattr(ensembling, "run_child", child)
    return child


def make(roots: Roots, *wanted: Wanted, folds: tuple[str, ...] = FOLDS, progress: Progress = SILENT) -> Ensembled:
    return make_ensembles(roots, DATASET, wanted or (PAIR,), folds, device="cpu", environment={}, progress=progress)


def ensemble_folder(roots: Roots, fold: str = "fold_0", name: str = "pair") -> Path:
    return Experiment.ensemble(DATASET, name).fold_folder(roots, fold)


def train_again(roots: Roots, experiment: Experiment, fold: str) -> None:
    """Changes a fold's checkpoint, and commits it."""
    folder = experiment.fold_folder(roots, fold)
    (folder / "checkpoint_final.pth").write_text("other weights")
    manifest = read_committed(folder)
    commit_fold(folder, replace(manifest, n_epochs=manifest.n_epochs + 1))


def change_manifest(roots: Roots, experiment: Experiment, fold: str, **changes: Any) -> None:
    folder = experiment.fold_folder(roots, fold)
    commit_fold(folder, replace(read_committed(folder), **changes))


def test_an_ensemble_is_made_once_and_leaves_no_probabilities(roots: Roots, child: EnsemblingChild) -> None:
    assert make(roots) == Ensembled(8, {"pair": FOLDS})
    assert len(child.predicted) == len({*child.predicted}) == 8
    assert child.masks == [("a", "b")] * 4
    assert all(FinishedFold.read(ensemble_folder(roots, fold)) for fold in FOLDS)
    assert not [*roots.results.rglob("*.npz")]
    assert not (roots.results / DATASET / "ensembles/.work").exists()
    assert make(roots) == Ensembled(0, {})
    assert len(child.predicted) == 8


def test_members_are_added_in_the_order_of_their_names(roots: Roots, child: EnsemblingChild) -> None:
    make(roots, Wanted("all", (C, A, B)))
    assert child.masks == [("a", "b", "c")] * 4


def test_ensembles_that_share_members_have_each_of_them_predict_a_case_once(
    roots: Roots, child: EnsemblingChild
) -> None:
    pairs = [Wanted("ab", (A, B)), Wanted("ac", (A, C)), Wanted("bc", (B, C)), Wanted("abc", (A, B, C))]
    assert make(roots, *pairs) == Ensembled(12, dict.fromkeys(("ab", "ac", "bc", "abc"), FOLDS))
    assert len(child.predicted) == len({*child.predicted}) == 12
    assert len(child.masks) == 16


def test_a_member_that_was_trained_again_has_its_fold_made_again_alone(roots: Roots, child: EnsemblingChild) -> None:
    make(roots)
    train_again(roots, B, "fold_1")
    assert make(roots) == Ensembled(4, {"pair": ("fold_1",)})
    assert {fold for _, fold, _ in child.predicted[8:]} == {1}


def test_kept_probabilities_are_not_predicted_again(roots: Roots, child: EnsemblingChild) -> None:
    make(roots, replace(PAIR, keeps_probabilities=True))
    train_again(roots, B, "fold_1")
    assert make(roots) == Ensembled(2, {"pair": ("fold_1",)})
    assert [name for name, *_ in child.predicted[8:]] == [B.name_in_dataset] * 2
    # What somebody wanted to keep stays, whoever used it since.
    assert len([*roots.results.rglob("*.npz")]) == 8


def test_probabilities_that_were_changed_are_predicted_again(roots: Roots, child: EnsemblingChild) -> None:
    make(roots, replace(PAIR, keeps_probabilities=True))
    ProbabilityStore.of(A, roots, "fold_0").file("a").write_text("torn")
    ProbabilityStore.of(A, roots, "fold_0").file("b").unlink()
    shutil.rmtree(ensemble_folder(roots))
    make(roots)
    assert child.predicted[8:] == [(A.name_in_dataset, 0, "a"), (A.name_in_dataset, 0, "b")]


@pytest.mark.parametrize("dies_after", range(5))
def test_what_was_killed_goes_on(roots: Roots, child: EnsemblingChild, dies_after: int) -> None:
    child.dies_after = dies_after
    n_starts = 0
    while not all(FinishedFold.read(ensemble_folder(roots, fold)) for fold in FOLDS):
        n_starts += 1
        if n_starts == 4:
            child.dies_after = None
        with suppress(FoldFailed):
            make(roots)
    assert len(child.predicted) == len({*child.predicted}) == 8
    assert len(child.masks) == 4
    assert not [*roots.results.rglob("*.npz")]


def test_a_fold_that_is_being_made_again_is_not_finished_meanwhile(roots: Roots, child: EnsemblingChild) -> None:
    make(roots)
    train_again(roots, A, "fold_0")
    child.dies_after = 0
    with pytest.raises(FoldFailed, match=r"0 of 4 cases were predicted and are kept: start it again to go on"):
        make(roots)
    assert FinishedFold.read(ensemble_folder(roots)) is None
    assert FinishedFold.read(ensemble_folder(roots, "fold_1")) is not None


def test_masks_of_other_members_and_of_strange_cases_are_not_taken_for_its_own(
    roots: Roots, child: EnsemblingChild
) -> None:
    make(roots)
    stray = ensemble_folder(roots) / "validation/gone.nii.gz"
    stray.write_text("a case that left the dataset")
    make(roots, replace(PAIR, members=(A, C)))
    assert len(child.masks) == 8
    assert not stray.exists()


def test_a_mask_that_was_deleted_is_made_again(roots: Roots, child: EnsemblingChild) -> None:
    make(roots)
    (ensemble_folder(roots) / "validation/b.nii.gz").unlink()
    assert make(roots) == Ensembled(4, {"pair": ("fold_0",)})
    assert len(child.masks) == 5


def test_a_disk_without_room_is_refused_before_anything_is_predicted(
    roots: Roots, child: EnsemblingChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=4 * CASE_BYTES - 1))
    with pytest.raises(PredictionError, match=r"probabilities of fold_0 take at least .* GB on the disk"):
        make(roots)
    assert not child.predicted


def test_probabilities_that_are_there_need_no_room_again(
    roots: Roots, child: EnsemblingChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(roots, replace(PAIR, keeps_probabilities=True))
    ProbabilityStore.of(A, roots, "fold_0").file("a").unlink()
    shutil.rmtree(ensemble_folder(roots).parent)
    # What a run that was killed has made fills the disk itself.
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=CASE_BYTES))
    assert make(roots) == Ensembled(1, {"pair": FOLDS})


def test_a_disk_with_room_for_one_fold_has_them_made_one_after_the_other(
    roots: Roots, child: EnsemblingChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=15 * CASE_BYTES))
    progress = RecordedProgress()
    assert make(roots, progress=progress) == Ensembled(8, {"pair": FOLDS})
    assert [sentence.partition(":")[0] for sentence in progress.said] == ["fold_0", "fold_1"]


def test_a_disk_without_room_for_all_that_is_kept_is_refused_before_anything_is_predicted(
    roots: Roots, child: EnsemblingChild, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Eight cases of which each fold has four.
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=7 * CASE_BYTES))
    with pytest.raises(PredictionError, match=r"that are to be kept take at least .* Make room, or keep none\."):
        make(roots, Wanted("pair", (A, B), keeps_probabilities=True))
    assert not child.predicted
    assert make(roots) == Ensembled(8, {"pair": FOLDS})


@pytest.mark.parametrize(("copies", "when"), [(2, "while their mean is taken"), (3, "while they are made")])
def test_a_case_that_does_not_fit_into_the_memory_is_refused(
    roots: Roots, child: EnsemblingChild, monkeypatch: pytest.MonkeyPatch, copies: int, when: str
) -> None:
    monkeypatch.setattr(probabilities, "free_memory_bytes", lambda: copies * CASE_BYTES)
    refused = rf"The probabilities of the largest case take 6\.6 KiB, and .* of memory {when}; .* are free"
    with pytest.raises(PredictionError, match=refused):
        make(roots)
    assert not child.predicted


def _other_raw(roots: Roots) -> None:
    inputs = read_committed(B.fold_folder(roots, "fold_0")).inputs
    change_manifest(roots, B, "fold_0", inputs=replace(inputs, raw_hash="others"))


def _other_splits(roots: Roots) -> None:
    inputs = read_committed(B.fold_folder(roots, "fold_0")).inputs
    change_manifest(roots, B, "fold_0", inputs=replace(inputs, splits_hash="others"))


def _unfinished(roots: Roots) -> None:
    (B.fold_folder(roots, "fold_0") / ".nnunet_assets/COMMIT").unlink()


def _without_checkpoint(roots: Roots) -> None:
    (B.fold_folder(roots, "fold_0") / "checkpoint_final.pth").unlink()


def _other_cases(roots: Roots) -> None:
    change_manifest(roots, B, "fold_0", details={"validation_cases": ["a", "c"]})


def _other_plans(roots: Roots) -> None:
    (B.model_folder(roots) / "plans.json").write_text("{}")


def _with_labels(roots: Roots, **changes: Any) -> None:
    file = B.model_folder(roots) / "dataset.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))


def _other_labels(roots: Roots) -> None:
    _with_labels(roots, labels={"background": 0, "organ": 2, "lesion": 1})


def _regions(roots: Roots) -> None:
    _with_labels(roots, labels={"background": 0, "organ": [1, 2], "lesion": 2}, regions_class_order=[1, 2])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (_other_raw, "fold_0 of Dataset951_Records / b / .* was trained with other raw data than there is now"),
        (_other_splits, "fold_0 of Dataset951_Records / b / .* was trained with other splits than there is now"),
        (_unfinished, "fold_0 of Dataset951_Records / b / .* is not finished"),
        (_without_checkpoint, "has no checkpoint_final.pth to predict with"),
        (_other_cases, r"in fold_0 they differ in the cases that they validated \(b, c in one of them only\)"),
        (_other_plans, "was trained with other plans"),
        (_other_labels, "in fold_0 they differ in their labels"),
        (_regions, "in fold_0 they differ in their labels"),
    ],
)
def test_members_that_may_not_be_one_ensemble_are_refused_by_name(
    roots: Roots, child: EnsemblingChild, spoil: Callable[[Roots], None], sentence: str
) -> None:
    spoil(roots)
    with pytest.raises(FoldError, match=sentence):
        make(roots)
    assert not child.predicted
    assert not ensemble_folder(roots).exists()


def test_a_label_that_stands_elsewhere_in_dataset_json_is_the_same_label(roots: Roots, child: EnsemblingChild) -> None:
    _with_labels(roots, labels={"lesion": 2, "organ": 1, "background": 0})
    assert make(roots).made == {"pair": FOLDS}


def test_regions_in_another_order_are_other_heads(roots: Roots, child: EnsemblingChild) -> None:
    left, right = {"left": [1, 3]}, {"right": [2, 4]}
    for member, regions in ((A, {**left, **right}), (B, {**right, **left})):
        file = member.model_folder(roots) / "dataset.json"
        order = [values[0] for values in regions.values()]
        labels = {"background": 0, **regions}
        file.write_text(json.dumps({**json.loads(file.read_text()), "labels": labels, "regions_class_order": order}))
    with pytest.raises(FoldError, match=re.escape("differ in their labels")):
        make(roots)
