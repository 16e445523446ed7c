"""What is asked of the process that predicts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from nnunet_assets.core.files.layout import Experiment


@dataclass(frozen=True)
class CaseToPredict:
    """A case, and where its prediction goes.

    Attributes:
        name: The case id.
        images: Its images, by channel.
        previous: Its prediction by the stage before; None: no cascade.
        part: Where nnU-Net writes the prediction, without the ending.
        file: The name that it takes when it is whole.
    """

    name: str
    images: tuple[Path, ...]
    previous: Path | None
    part: Path
    file: Path


@dataclass(frozen=True)
class PredictionRequest:
    """Cases to predict with the folds of a model.

    Attributes:
        experiment: What the model is of.
        model_folder: nnU-Net's folder of the model.
        folds: As nnU-Net calls them: 0, 1, ... or `all`.
        checkpoint: File name of each fold's checkpoint.
        device: `auto`, `cuda`, `cpu` or `mps`.
        work_folder: Takes what the process notes about itself.
        cases: Those that are missing.
    """

    experiment: Experiment
    model_folder: Path
    folds: tuple[int | Literal["all"], ...]
    checkpoint: str
    device: str
    work_folder: Path
    cases: tuple[CaseToPredict, ...]
