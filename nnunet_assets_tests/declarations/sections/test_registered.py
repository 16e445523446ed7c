"""What a declaration says of a model that is to be registered."""

from typing import Any

import pytest
from pydantic import ValidationError

from nnunet_assets.declarations.config import ExperimentConfig

DECLARED: dict[str, Any] = {"dataset": "Dataset001_Tiny", "configuration": "2d"}


def test_nothing_is_registered_unless_it_is_asked_for() -> None:
    config = ExperimentConfig(**DECLARED)
    assert (config.registered_as, config.register_margin) == (None, 0.01)
    assert ExperimentConfig(**DECLARED, register="Liver").registered_as == "Liver"


@pytest.mark.parametrize("name", ["a/b", "a:b", "latest", "v2", "champion", " liver", "", "x" * 200])
def test_a_name_that_mlflow_could_not_address_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=r"cannot name a model|calls a version"):
        ExperimentConfig(**DECLARED, register=name)


def test_what_contradicts_the_registration_is_refused() -> None:
    with pytest.raises(ValidationError, match="`register` packs the folds' checkpoints"):
        ExperimentConfig(**DECLARED, register="Liver", disable_checkpointing=True)
    with pytest.raises(ValidationError, match="`register_full_model` needs `full_model: true`"):
        ExperimentConfig(**DECLARED, register="Liver", register_full_model=True)
    with pytest.raises(ValidationError, match="`register_full_model` needs"):
        ExperimentConfig(**DECLARED, full_model=True, register_full_model=True)
    assert ExperimentConfig(**DECLARED, full_model=True, register="Liver", register_full_model=True).registered_as


def test_it_changes_nothing_that_is_trained() -> None:
    plain, registered = ExperimentConfig(**DECLARED), ExperimentConfig(**DECLARED, register="Liver")
    assert plain.training_hash() == registered.training_hash()
