from typing import Any

import pytest

from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.repeats import sets_of_repeats
from nnunet_assets.declarations.sections.variant_config import VariantConfig

PLAIN = ExperimentConfig(dataset="Dataset004_Hippocampus", configuration="2d")


def variant(name: Any, **fields: Any) -> Any:
    return PLAIN.model_copy(update={"variant": VariantConfig(name=name, **fields)})


def names(*configs: Any) -> Any:
    return [sorted(one.variant or "plain" for one in found) for found in sets_of_repeats(configs)]


def test_variants_that_differ_in_name_and_seed_alone_repeat_each_other() -> None:
    configs = [variant("a", seed=1, num_epochs=5), variant("b", seed=2, num_epochs=5), variant("c", num_epochs=5)]
    assert names(*configs, variant("other", seed=1, num_epochs=6)) == [["a", "b", "c"]]


def test_a_variant_that_sets_the_seed_alone_repeats_the_experiment_without_one() -> None:
    assert names(PLAIN, variant("seed7", seed=7)) == [["plain", "seed7"]]


@pytest.mark.parametrize(
    "other",
    [
        variant("b", seed=2, deterministic=True),
        variant("b", seed=2, patience=5),
        variant("b", seed=2, hyperparameters={"x": 1}),
        variant("b", seed=2).model_copy(update={"configuration": "3d_fullres"}),
        variant("b", seed=2).model_copy(update={"plans": "myPlans"}),
        variant("b", seed=2).model_copy(update={"trainer": "nnUNetTrainerDA5"}),
        variant("b", seed=2).model_copy(update={"dataset": "Dataset005_Prostate"}),
    ],
)
def test_whatever_else_differs_makes_another_experiment(other: Any) -> None:
    assert names(variant("a", seed=1), other) == []


def test_owners_devices_and_folds_make_no_difference() -> None:
    other = variant("b", seed=2).model_copy(update={"owners": ["team:x"], "device": "cpu", "folds": [0]})
    assert names(variant("a", seed=1), other) == [["a", "b"]]
