"""What is asked of the process that predicts validation cases again, with their probabilities."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.files.layout import Experiment


@dataclass(frozen=True)
class FoldToPredict:
    """Validation cases of one fold.

    Attributes:
        experiment: What the fold is of.
        model_folder: nnU-Net's folder of the model.
        fold: Its number.
        checkpoint: File name of the checkpoint by which the fold was validated.
        cases_folder: The preprocessed cases.
        previous_folder: What the stage before predicted of them; None: no cascade.
        store: Where the probabilities go.
        cases: Those that are missing, each with the digest of what its probabilities are made from.
    """

    experiment: Experiment
    model_folder: Path
    fold: int
    checkpoint: str
    cases_folder: Path
    previous_folder: Path | None
    store: Path
    cases: Mapping[str, str]


@dataclass(frozen=True)
class ProbabilitiesRequest:
    """Folds, one after the other on one device.

    Attributes:
        device: `auto`, `cuda`, `cpu` or `mps`.
        work_folder: Takes what the process notes about itself.
        n_threads: How many cases may be exported at once.
        folds: Of whatever experiments.
    """

    device: str
    work_folder: Path
    n_threads: int
    folds: tuple[FoldToPredict, ...]
