"""What is asked of a fold's process, before anything starts."""

import json
import os
from pathlib import Path

import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import commit_fold
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.errors import ConfigError, FoldError
from nnunet_assets.nnunet.folds.cascade import check_previous_stage
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.fold.train import AskedNow, fold_request, train_fold
from nnunet_assets_tests.builders import build_manifest
from nnunet_assets_tests.prepared_builders import (
    CASES,
    DATASET,
    SPLITS,
    dataset_of,
    plans_content,
    write_cases,
    write_prepared,
)


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A project whose data is prepared."""
    roots, _ = write_prepared(tmp_path)
    return Settings.from_environment(tmp_path, roots.environment())


def experiment(variant: dict[str, object] | None = None, **fields: object) -> ExperimentConfig:
    named = VariantConfig.model_validate({"name": "short", **variant}) if variant else None
    return ExperimentConfig.model_validate(
        {"dataset": DATASET, "configuration": "3d_fullres", "variant": named, **fields}
    )


def test_a_run_asks_for_what_is_declared(settings: Settings) -> None:
    config = experiment({"seed": 7, "num_epochs": 2, "hyperparameters": {"momentum": 0.1}}, npz=True, device="cpu")

    request = fold_request(settings, config, "fold_1", AskedNow(), dagster_run_id="run-1")

    assert request.options == TrainingOptions(seed=7, npz=True)
    assert request.overrides == {"num_epochs": 2, "momentum": 0.1}
    assert (request.fold, request.device, request.dagster_run_id) == ("fold_1", "cpu", "run-1")
    assert request.inputs.training_hash == config.training_hash()


def test_what_the_run_config_asks_for_comes_over_it(settings: Settings) -> None:
    asked = AskedNow(device="cuda", validation_only=True, val_best=True, npz=True, time_budget_minutes=5)
    final = experiment().identity.fold_folder(settings.roots, "fold_0") / "checkpoint_final.pth"
    with pytest.raises(FoldError, match=r"as in nnU-Net: .*fold_0/checkpoint_final\.pth is missing\. Train it first"):
        fold_request(settings, experiment(), "fold_0", asked)
    final.parent.mkdir(parents=True)
    final.touch()

    request = fold_request(settings, experiment(device="cpu", time_budget_minutes=60.0), "fold_0", asked)

    assert request.device == "cuda"
    assert request.options == TrainingOptions(validation_only=True, val_best=True, npz=True, time_budget_minutes=5.0)


def test_a_contradiction_is_refused_before_anything_starts(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="validation_only and retrain cannot be set together"):
        fold_request(settings, experiment(), "fold_0", AskedNow(retrain=True, validation_only=True))
    with pytest.raises(ConfigError, match="num_gpus is 2, and the device is 'mps'"):
        fold_request(settings, experiment(num_gpus=2), "fold_0", AskedNow(device="mps"))


def test_the_folds_process_gets_no_secret_of_the_environment(settings: Settings, tmp_path: Path) -> None:
    (tmp_path / "torch").mkdir()
    (tmp_path / "torch" / "__init__.py").write_text("import os; raise ImportError(' '.join(os.environ))")
    secrets = {"MLFLOW_TRACKING_TOKEN": "hunter2", "MYSQL_PWD": "hunter2", "THE_HOUSE": "hunter2", "A_SAS": "hunter2"}
    environment = {**os.environ, "PYTHONPATH": str(tmp_path), **secrets, "nnUNet_site": "here"}
    request = fold_request(settings, experiment(device="cpu"), "fold_0", AskedNow())
    with pytest.raises(FoldFailed, match=r"ImportError: .*nnUNet_site") as caught:
        train_fold(settings, request, None, SILENT, environment=environment)
    assert [name for name in secrets if name in str(caught.value)] == []


def test_weights_are_known_by_their_content(settings: Settings) -> None:
    weights = settings.project / "weights.pth"
    weights.write_bytes(b"weights")
    config = experiment({"pretrained_weights": "weights.pth"})

    request = fold_request(settings, config, "fold_0", AskedNow())

    assert request.options.pretrained_weights == str(weights)
    assert request.inputs.training_hash == config.training_hash(file_sha256(weights)) != config.training_hash()


def test_weights_that_are_not_there_are_an_error(settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"weights .*/no\.pth cannot be read: No such file or directory\. Name a"):
        fold_request(settings, experiment({"pretrained_weights": "no.pth"}), "fold_0", AskedNow())


@pytest.fixture
def cascade(settings: Settings) -> Experiment:
    """A cascade whose previous stage is trained, and has predicted all cases but `d`."""
    found = experiment({"seed": 1}, configuration="3d_cascade_fullres").identity
    previous = found.previous_stage()
    assert previous
    prepared = PreparedFolder(settings.roots, DATASET)
    plans = plans_content()
    plans["configurations"]["3d_lowres"] = {**plans["configurations"]["2d"], "data_identifier": "nnUNetPlans_3d_lowres"}
    prepared.plans_file("nnUNetPlans").write_text(json.dumps(plans))
    write_cases(prepared, "nnUNetPlans", "3d_lowres")
    for fold in ("fold_0", "fold_1"):
        folder = previous.fold_folder(settings.roots, fold)
        commit_fold(
            folder,
            build_manifest(folder, fold_inputs(dataset_of(settings.roots, previous), previous, fold, "training")),
        )
    predictions = previous.model_folder(settings.roots) / "predicted_next_stage" / "3d_cascade_fullres"
    predictions.mkdir(parents=True)
    for case in CASES[:3]:
        (predictions / f"{case}.b2nd").touch()
    return found


def test_a_cascade_needs_a_prediction_of_every_case(settings: Settings, cascade: Experiment) -> None:
    with pytest.raises(
        FoldError, match=r"and 1 cases have none in .*: d\. Train every fold of .* / short / .*3d_lowres"
    ):
        check_previous_stage(dataset_of(settings.roots, cascade), cascade)

    previous = cascade.previous_stage()
    assert previous
    model = previous.model_folder(settings.roots)
    (model / "predicted_next_stage" / "3d_cascade_fullres" / "d.npz").touch()
    assert len(set(check_previous_stage(dataset_of(settings.roots, cascade), cascade))) == 2


def test_a_cascade_reads_no_predictions_of_an_earlier_split(settings: Settings, cascade: Experiment) -> None:
    write_splits(settings.roots.preprocessed / DATASET, list(reversed(SPLITS)))
    with pytest.raises(FoldError, match=r"fold_0 of .*3d_lowres was trained with other splits than there is now"):
        check_previous_stage(dataset_of(settings.roots, cascade), cascade)


def test_a_cascade_needs_every_fold_of_the_stage_before(settings: Settings, cascade: Experiment) -> None:
    previous = cascade.previous_stage()
    assert previous
    (previous.fold_folder(settings.roots, "fold_1") / ".nnunet_assets" / "COMMIT").unlink()
    with pytest.raises(
        FoldError, match=r"fold_1 of .*3d_lowres is not finished \(it was not begun\), and the cascade reads its"
    ):
        check_previous_stage(dataset_of(settings.roots, cascade), cascade)


def test_what_has_no_previous_stage_needs_none(settings: Settings) -> None:
    assert check_previous_stage(dataset_of(settings.roots, experiment().identity), experiment().identity) == []


def test_what_nobody_asks_for_is_as_it_was_declared() -> None:
    assert AskedNow() == AskedNow(
        retrain=False,
        device=None,
        validation_only=False,
        val_best=False,
        npz=False,
        time_budget_minutes=None,
        despite_changes=False,
    )
    declared = TrainingOptions(seed=7, npz=True, time_budget_minutes=3)
    assert AskedNow().options(declared) == declared
