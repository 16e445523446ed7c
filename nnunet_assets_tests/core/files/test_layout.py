from pathlib import Path
from typing import Literal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nnunet_assets.core.files.layout import (
    CONFIGURATION_PATTERN,
    DATASET_PATTERN,
    NAME_PATTERN,
    Experiment,
    Roots,
    comparison_folder,
    dataset_key,
    fold_index,
    fold_key,
    lock_of,
    plans_key,
)
from nnunet_assets.errors import ConfigError

ROOTS = Roots(Path("/data/raw"), Path("/data/preprocessed"), Path("/data/results"))
EXPERIMENT = Experiment("Dataset004_Hippocampus", "3d_fullres")
SHORT = Experiment("Dataset004_Hippocampus", "2d", trainer="MyTrainer", plans="MyPlans", variant="short")


@pytest.mark.parametrize("index", [0, 3, 12, "all"])
def test_a_fold_is_called_as_nnunet_calls_its_folder(index: int | Literal["all"]) -> None:
    assert fold_key(index) == f"fold_{index}"
    assert fold_index(fold_key(index)) == index


@pytest.mark.parametrize(
    "key", ["fold_", "fold_-1", "fold_01", "fold_a", "fold_All", "all", "fold_1 ", "Fold_1", "1", "fold_1/..", ""]
)
def test_what_is_no_fold_is_refused(key: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a fold\. Folds are named fold_0"):
        fold_index(key)


def test_an_experiment_lies_where_nnunet_puts_it() -> None:
    assert EXPERIMENT.name == "nnUNetTrainer__nnUNetPlans__3d_fullres"
    model = "/data/results/Dataset004_Hippocampus/nnUNetTrainer__nnUNetPlans__3d_fullres"
    assert str(EXPERIMENT.model_folder(ROOTS)) == model
    assert str(EXPERIMENT.fold_folder(ROOTS, "fold_3")) == f"{model}/fold_3"
    assert str(EXPERIMENT.summary_folder(ROOTS)) == f"{model}/nnunet_assets"


def test_a_variant_has_results_of_its_own_and_shares_the_data() -> None:
    model = "/data/results/variants/short/Dataset004_Hippocampus/MyTrainer__MyPlans__2d"
    assert str(SHORT.model_folder(ROOTS)) == model
    variant = ROOTS.for_variant("short")
    assert (variant.raw, variant.preprocessed) == (ROOTS.raw, ROOTS.preprocessed)
    assert variant.environment() == {
        "nnUNet_raw": "/data/raw",
        "nnUNet_preprocessed": "/data/preprocessed",
        "nnUNet_results": "/data/results/variants/short",
    }
    assert ROOTS.for_variant(None) is ROOTS


def test_the_stage_before_is_nnunets_own_where_no_plans_say_otherwise() -> None:
    cascade = Experiment("Dataset004_Hippocampus", "3d_cascade_fullres", plans="MyPlans", variant="short")
    before = Experiment("Dataset004_Hippocampus", "3d_lowres", plans="MyPlans", variant="short")
    assert cascade.previous_stage() == cascade.previous_stage({"2d": {}}) == before
    assert cascade.previous_stage({"3d_cascade_fullres": {}}) is None
    planned = {"mine": {"previous_stage": "3d_lowres"}}
    mine = Experiment("Dataset004_Hippocampus", "mine", plans="MyPlans", variant="short")
    assert (mine.previous_stage(planned), mine.previous_stage()) == (before, None)


def test_asset_keys_are_nnunets_folders() -> None:
    assert EXPERIMENT.key_prefix == ("Dataset004_Hippocampus", "nnUNetTrainer__nnUNetPlans__3d_fullres")
    assert SHORT.key_prefix == ("Dataset004_Hippocampus", "short", "MyTrainer__MyPlans__2d")
    assert SHORT.title == "Dataset004_Hippocampus / short / MyTrainer__MyPlans__2d"
    assert dataset_key("Dataset004_Hippocampus", "splits") == ("Dataset004_Hippocampus", "splits")
    assert plans_key("D", "nnUNetPlans") == ("D", "preprocessed_plans")
    assert plans_key("D", "MyPlans") == ("D", "MyPlans", "preprocessed_plans")


def test_what_is_beside_a_fold_and_beside_the_models_has_its_place() -> None:
    place = EXPERIMENT.place_of(ROOTS, "fold_3")
    model = EXPERIMENT.model_folder(ROOTS)
    assert (place.folder, place.model_folder, place.own) == (model / "fold_3", model, model / "fold_3/.nnunet_assets")
    assert lock_of(place.folder) == model / "nnunet_assets" / "fold_3.lock"
    dataset = EXPERIMENT.dataset
    assert comparison_folder(ROOTS, dataset) == Path("/data/results/Dataset004_Hippocampus/nnunet_assets")
    assert (SHORT.title, SHORT.name_in_dataset) == (
        "Dataset004_Hippocampus / short / MyTrainer__MyPlans__2d",
        "short/MyTrainer__MyPlans__2d",
    )
    assert EXPERIMENT.name_in_dataset == EXPERIMENT.name


@pytest.mark.parametrize("odd", [{"variant": []}, {"variant": {}}, {"dataset": None}, {"plans": 1}, {"trainer": True}])
def test_an_experiment_of_a_damaged_record_is_refused(odd: dict[str, object]) -> None:
    (name,) = odd
    with pytest.raises(TypeError, match=f"^{name} of an experiment is "):
        Experiment(**{"dataset": "Dataset004_Hippocampus", "configuration": "2d", **odd})  # type: ignore[arg-type]


@given(
    *(st.from_regex(pattern, fullmatch=True) for pattern in (DATASET_PATTERN, CONFIGURATION_PATTERN)),
    *(st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: "__" not in name) for _ in range(2)),
    st.none() | st.from_regex(NAME_PATTERN, fullmatch=True).filter(lambda name: name != "ensembles"),
)
def test_an_experiment_and_an_ensemble_are_read_back_from_their_keys(
    dataset: str, configuration: str, trainer: str, plans: str, variant: str | None
) -> None:
    assume("__" not in configuration)
    # nnU-Net cuts its folders' names at each `__`, too, wherever the underscores of a name's own end.
    assume(not trainer.endswith("_") and not plans.endswith("_"))
    experiment = Experiment(dataset, configuration, trainer, plans, variant)
    assert Experiment.of_key_prefix(experiment.key_prefix) == experiment
    ensemble = Experiment.ensemble(dataset, configuration)
    assert Experiment.of_key_prefix(ensemble.key_prefix) == ensemble


@pytest.mark.parametrize("prefix", [(), ("Dataset001_Tiny",), ("Dataset001_Tiny", "2d"), ("D", "short", "2d"), "abcd"])
def test_a_key_below_no_experiment_is_refused(prefix: tuple[str, ...]) -> None:
    with pytest.raises(ConfigError, match="No experiment has assets below"):
        Experiment.of_key_prefix(prefix)
