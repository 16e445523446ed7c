"""What is asked of a fold's process, before anything starts."""

from pathlib import Path

import pytest

from nnunet_assets.assets.fold_model import FoldRunConfig, RunDevice
from nnunet_assets.assets.fold_training import AskedNow, fold_request
from nnunet_assets.config import ExperimentConfig, VariantConfig
from nnunet_assets.core.provenance import file_sha256
from nnunet_assets.core.training_options import TrainingOptions
from nnunet_assets.errors import ConfigError, FoldError
from nnunet_assets.nnunet.cascade import check_previous_stage
from nnunet_assets.settings import Settings
from nnunet_assets_tests.prepared_builders import CASES, DATASET, write_prepared


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
    config = experiment({"seed": 7, "num_epochs": 2, "hyperparameters": {"max_lr": 0.1}}, npz=True, device="cpu")

    request = fold_request(settings, config, "fold_1", AskedNow(), dagster_run_id="run-1")

    assert request.options == TrainingOptions(seed=7, npz=True)
    assert request.overrides == {"num_epochs": 2, "max_lr": 0.1}
    assert (request.fold, request.device, request.dagster_run_id) == ("fold_1", "cpu", "run-1")
    assert request.inputs.training_hash == config.training_hash()


def test_what_the_run_config_asks_for_comes_over_it(settings: Settings) -> None:
    asked = FoldRunConfig(
        device=RunDevice.cuda, validation_only=True, val_best=True, npz=True, time_budget_minutes=5
    ).asked_now()
    final = experiment().identity.fold_folder(settings.roots, "fold_0") / "checkpoint_final.pth"
    with pytest.raises(FoldError, match=r"as in nnU-Net: .*fold_0/checkpoint_final\.pth is missing\. Train it first"):
        fold_request(settings, experiment(), "fold_0", asked)
    final.parent.mkdir(parents=True)
    final.touch()

    request = fold_request(settings, experiment(device="cpu", time_budget_minutes=60.0), "fold_0", asked)

    assert request.device == "cuda"
    assert request.options == TrainingOptions(validation_only=True, val_best=True, npz=True, time_budget_minutes=5.0)


def test_an_empty_run_config_asks_for_nothing_more() -> None:
    declared = TrainingOptions(npz=True, time_budget_minutes=60.0, seed=1)
    assert FoldRunConfig().asked_now() == AskedNow()
    assert AskedNow().options(declared) == declared


def test_a_contradiction_is_refused_before_anything_starts(settings: Settings) -> None:
    with pytest.raises(ConfigError, match="validation_only and retrain cannot be set together"):
        fold_request(settings, experiment(), "fold_0", AskedNow(retrain=True, validation_only=True))
    with pytest.raises(ConfigError, match="num_gpus is 2, and the device is 'mps'"):
        fold_request(settings, experiment(num_gpus=2), "fold_0", AskedNow(device="mps"))


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


def test_a_cascade_needs_a_prediction_of_every_case(settings: Settings) -> None:
    cascade = experiment({"seed": 1}, configuration="3d_cascade_fullres").identity
    folder = settings.roots.results / "variants" / "short" / DATASET / "nnUNetTrainer__nnUNetPlans__3d_lowres"
    predictions = folder / "predicted_next_stage" / "3d_cascade_fullres"
    predictions.mkdir(parents=True)
    for case in CASES[:3]:
        (predictions / f"{case}.b2nd").touch()

    with pytest.raises(
        FoldError, match=r"and 1 cases have none in .*: d\. Train every fold of .* / short / .*3d_lowres"
    ):
        check_previous_stage(settings.roots, cascade)

    (predictions / "d.npz").touch()
    check_previous_stage(settings.roots, cascade)


def test_what_has_no_previous_stage_needs_none(settings: Settings) -> None:
    check_previous_stage(settings.roots, experiment().identity)
