"""What a finished fold lacks of what is asked for: another validation of it, or probabilities of its cases.

Predictions and probabilities are no part of what a fold is: whoever deletes them to save space has the same finished
fold. nnU-Net writes `CASE.npz` and `CASE.pkl` (its geometry) into `fold_k/validation`, and needs both for an ensemble.
"""

import zipfile
from pathlib import Path

from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, FinishedFold
from nnunet_assets.core.fold.continued_fold import CONTINUES, continues_other
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.errors import first_offenders

VALIDATION = "validation"
"""nnU-Net's folder of a fold's predictions."""


def cases_without_probabilities(fold: FinishedFold) -> list[str]:
    """Returns the validation cases whose probabilities are missing, cut off or without their geometry."""
    folder = fold.folder / VALIDATION
    return [
        case
        for case in fold.manifest.details["validation_cases"]
        # Its end says where the parts of a zip lie: one that was cut off has none.
        if not (zipfile.is_zipfile(folder / f"{case}.npz") and _has_content(folder / f"{case}.pkl"))
    ]


def is_current(finished: FinishedFold, request: FoldRequest) -> bool:
    """Says whether a finished fold is what is asked for; one without a model is only where no model is."""
    has_model = FINAL_CHECKPOINT in finished.manifest.files
    if continues_other(finished.manifest.details.get(CONTINUES), request.continued):
        return False
    return finished.manifest.inputs == request.inputs and (has_model or request.options.disable_checkpointing)


def reason_to_validate(fold: FinishedFold, options: TrainingOptions) -> str | None:
    """Returns why the validation of a finished fold has to run again to be what is asked for; None: it need not."""
    was = fold.manifest.details.get("options", {})
    if options.validation_only:
        return "that is asked for"
    if bool(was.get("val_best")) != options.val_best:
        return "another checkpoint is to be validated"
    if options.npz and FINAL_CHECKPOINT in fold.manifest.files:
        return lack_of_probabilities(fold)
    return None


def lack_of_probabilities(fold: FinishedFold) -> str | None:
    """Returns which probabilities are missing; None: none is."""
    missing = cases_without_probabilities(fold)
    n_cases = len(fold.manifest.details["validation_cases"])
    what = f"the probabilities (--npz) of {len(missing)} of {n_cases} cases are missing in {fold.folder / VALIDATION}"
    return f"{what}: {first_offenders(missing)}" if missing else None


def say_lack(request: FoldRequest, finished: FinishedFold, progress: Progress) -> None:
    """Says that probabilities that are asked for are missing and cannot be made here, with the way to get them."""
    if not request.options.npz or not (lack := lack_of_probabilities(finished)):
        return
    remedy = (
        "`nnUNetv2_train --val --npz` on it makes them, and leaves it adopted"
        if finished.manifest.is_adopted
        else "It has no checkpoint to predict them with: train it anew (`retrain: true`), with checkpoints"
    )
    progress.warn(f"{request.experiment.title}, {request.fold}: {lack}. {remedy}.")


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
