"""What a validation leaves beside its scores: the predictions, and the probabilities where they were asked for.

They are no part of what a fold is: whoever deletes them to save space has the same finished fold. nnU-Net writes
`CASE.npz` and `CASE.pkl` (its geometry) into `fold_k/validation`, and needs both for an ensemble.
"""

import zipfile
from pathlib import Path

from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, FinishedFold
from nnunet_assets.core.fold.training_options import TrainingOptions
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


def _has_content(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0
