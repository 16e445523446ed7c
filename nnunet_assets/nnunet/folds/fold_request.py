"""What is asked of a fold's process."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.fold.training_options import TrainingOptions


@dataclass(frozen=True)
class FoldRequest:
    """What is asked of a fold's process.

    Attributes:
        experiment: Which cross-validation.
        fold: `fold_0` ...
        overrides: Trainer attribute to value.
        device: `auto`, `cuda`, `cpu` or `mps`.
        inputs: Digests of what the fold is to be trained on.
        dagster_run_id: The run that asks; None: not from a Dagster run.
        options: How to train.
        despite_changes: Go on with what another minor version of nnU-Net began, by the user's word.
        asked_by: Names who asks, over all retries of the same run; None: nobody who tries again.
    """

    experiment: Experiment
    fold: str
    overrides: Mapping[str, Any]
    device: str
    inputs: FoldInputs
    dagster_run_id: str | None
    options: TrainingOptions = field(default_factory=TrainingOptions)
    asked_by: str | None = None
    despite_changes: bool = False
