"""What a training says that it will do with what is there already."""

from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, commit_fold, read_committed
from nnunet_assets.core.fold.fold import Fold
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.training_options import TrainingOptions
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.workflows.fold.start import starting_point
from nnunet_assets_tests.cli.fold.test_opened_files import write_finished
from nnunet_assets_tests.prepared_builders import DATASET, EXPERIMENT, dataset_of, write_prepared


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    return write_prepared(tmp_path)[0]


@pytest.fixture
def request_now(roots: Roots) -> FoldRequest:
    """What `train` without flags asks for."""
    config = ExperimentConfig(dataset=DATASET, configuration=EXPERIMENT.configuration)
    inputs = fold_inputs(dataset_of(roots), EXPERIMENT, "fold_0", config.training_hash())
    return FoldRequest(EXPERIMENT, "fold_0", {}, "cpu", inputs, dagster_run_id=None)


def said(roots: Roots, request: FoldRequest, *, retrain: bool = False, continue_training: bool = False) -> str:
    fold = Fold.read(EXPERIMENT.place_of(roots, "fold_0"), check_files=True)
    return starting_point(fold, request, retrain=retrain, continue_training=continue_training)


def test_where_nothing_is_it_begins_and_says_to_who_wants_to_go_on_that_it_cannot(
    roots: Roots, request_now: FoldRequest
) -> None:
    assert said(roots, request_now) == "training from the beginning."
    assert said(roots, request_now, retrain=True) == "training from the beginning."
    going_on = said(roots, request_now, continue_training=True)
    assert going_on == "training from the beginning: there is nothing to go on with."


def test_a_finished_fold_is_kept_unless_it_is_to_be_trained_anew(roots: Roots, request_now: FoldRequest) -> None:
    write_finished(roots)
    assert said(roots, request_now).startswith("finished already; nothing is trained. --retrain")
    assert said(roots, request_now, retrain=True).startswith("training anew; the one that is there is kept")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (TrainingOptions(validation_only=True), "predicting and scoring the validation cases again."),
        (TrainingOptions(val_best=True), "finished already; nothing is trained, but its validation runs again."),
    ],
)
def test_a_finished_fold_is_validated_again_where_that_is_asked_for(
    roots: Roots, request_now: FoldRequest, options: TrainingOptions, sentence: str
) -> None:
    write_finished(roots)
    assert said(roots, replace(request_now, options=options)) == sentence


@pytest.mark.parametrize("is_finished", [True, False])
def test_a_training_with_other_settings_is_put_aside_by_word_alone(
    roots: Roots, request_now: FoldRequest, is_finished: bool
) -> None:
    folder = write_finished(roots)
    if not is_finished:
        (folder / ".nnunet_assets" / "COMMIT").unlink()
        assert said(roots, request_now).startswith("trained before; only its validation runs")
    other = replace(request_now, overrides={"num_epochs": 5}, inputs=replace(request_now.inputs, training_hash="other"))
    with pytest.raises(FoldError, match=r"fold_0 holds a training with other training settings.*It is kept as it is"):
        said(roots, other)
    assert said(roots, other, retrain=True).startswith("training anew")


def test_what_was_changed_outside_is_refused_before_anything_is_said_of_a_beginning(
    roots: Roots, request_now: FoldRequest
) -> None:
    (write_finished(roots) / FINAL_CHECKPOINT).write_bytes(b"other weights")
    with pytest.raises(FoldError, match=r"fold_0 was changed outside this project after it was finished"):
        said(roots, request_now)
    assert said(roots, request_now, retrain=True).startswith("training anew")


def test_what_was_made_elsewhere_is_refused_with_the_way_to_take_it_in(roots: Roots, request_now: FoldRequest) -> None:
    folder = EXPERIMENT.fold_folder(roots, "fold_0")
    folder.mkdir(parents=True)
    (folder / FINAL_CHECKPOINT).write_bytes(b"weights")
    with pytest.raises(FoldError, match=r"holds a training that this project did not make.*`nnunet-assets adopt`"):
        said(roots, request_now)


@pytest.mark.parametrize("options", [TrainingOptions(validation_only=True), TrainingOptions(val_best=True)])
def test_an_adopted_fold_is_not_said_to_be_validated_again_where_it_is_not(
    roots: Roots, request_now: FoldRequest, options: TrainingOptions
) -> None:
    folder = write_finished(roots)
    manifest = read_committed(folder)
    assert manifest
    commit_fold(folder, replace(manifest, details={**manifest.details, "adopted": {}}))
    assert said(roots, request_now).startswith("trained elsewhere and adopted")
    with pytest.raises(FoldError, match="trained elsewhere and adopted, so that it is not validated again here"):
        said(roots, replace(request_now, options=options))
