"""A variant's fields by kind: what goes to the trainer, what is an option, and what changes plans."""

from nnunet_assets.core.dataset.plan_sizes import PlanSizes
from nnunet_assets.declarations.sections.variant_config import RESULT_OPTIONS, SIZES, VariantConfig


def test_each_field_is_of_one_kind() -> None:
    every = VariantConfig(
        name="a",
        num_epochs=5,
        batch_size=3,
        patch_size=[8, 8],
        continues="b",
        seed=0,
        patience=2,
        restore_best=True,
        deterministic=True,
        hyperparameters={"dropout_rate": 0.1},
    )

    assert every.overrides() == {"num_epochs": 5, "dropout_rate": 0.1}
    assert every.options() == {"seed": 0, "patience": 2, "restore_best": True, "deterministic": True}
    assert every.sizes == PlanSizes(3, (8, 8))
    assert every.changes() == {
        **every.overrides(),
        **every.options(),
        "batch_size": 3,
        "patch_size": [8, 8],
        "continues": "b",
    }
    assert {*RESULT_OPTIONS, *SIZES, "continues", "name", "hyperparameters"} <= {*VariantConfig.model_fields}
