"""What is asked of a fold's process, and what that process gets: the same values on both sides."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.fold.continued_fold import ContinuedFold
from nnunet_assets.core.training.training_options import TrainingOptions


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
        continued: The finished fold whose training it goes on with; None: it begins by itself.
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
    continued: ContinuedFold | None = None


@dataclass(frozen=True, kw_only=True)
class FoldAttempt(FoldRequest):
    """What a fold's process gets: a request, with what its parent settled for this attempt at it.

    On disk: `fold_k/.nnunet_assets/request.json`, by which a later run knows what was begun.

    Attributes:
        fold_folder: nnU-Net's `fold_k`.
        attempt: Names the attempt, over all processes that go on with it.
        waited_seconds: How long the fold waited already, for a GPU or in earlier starts of its process.
        meeting_folder: Where the processes that train it together find each other; None: there is one alone.
        own_folder: Where this attempt's request and output lie; None: in the fold's hidden folder.
        job: What a cluster's job says of itself, for the manifest; None: it is none.
    """

    fold_folder: Path
    attempt: str
    waited_seconds: float
    meeting_folder: Path | None
    own_folder: Path | None = None
    job: Mapping[str, Any] | None = None
