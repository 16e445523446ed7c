"""What an experiment may say of its runs in MLflow."""

import pytest
from pydantic import ValidationError

from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.sections.tracking_config import TrackingConfig


def test_nothing_of_it_makes_a_fold_stale() -> None:
    plain = ExperimentConfig(dataset="Dataset004_Hippocampus", configuration="2d")
    said = TrackingConfig(enabled=False, files=False, run_name="base {time}", tags={"approach": "a/b"}, notes="*why*")
    assert plain.model_copy(update={"tracking": said}).training_hash() == plain.training_hash()


@pytest.mark.parametrize("key", ["nnunet_assets.fold", "mlflow.runName", "dagster_run_id", "nnunet_tracker.cv_group"])
def test_tags_that_are_written_by_others_are_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="writes itself; choose another name"):
        TrackingConfig(tags={key: "x"})


@pytest.mark.parametrize("key", ["", "a:b", "/a", "a/../b", "x" * 251, "a'b"])
def test_what_mlflow_takes_for_no_tag_is_refused(key: str) -> None:
    with pytest.raises(ValidationError, match="cannot be a tag in MLflow"):
        TrackingConfig(tags={key: "x"})
