"""Which cases are of one patient, as the record of the splits says it.

On disk: `nnUNet_preprocessed/DATASET/.nnunet_assets/splits.json`, whose `generations` have the digest of the splits
that each is of (`splits_sha256`) and, where the dataset declares groups, the group of each case (`groups`): its
patient, or what else the splits keep together. A summary draws patients, not cases, for its intervals and tests.
"""

from collections.abc import Sequence
from pathlib import Path

from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.commit import UNKNOWN


def read_patients(preprocessed_dataset: Path, splits_hash: str, cases: Sequence[str]) -> dict[str, str] | None:
    """Returns the patient of each of the cases; None where the record does not say it of all of them.

    Args:
        preprocessed_dataset: `nnUNet_preprocessed/DATASET`.
        splits_hash: Digest of the splits that the folds were trained on; where it is `UNKNOWN`, the newest generation
            counts whose groups hold all of the cases.
        cases: Case ids.
    """
    try:
        generations = load_json(preprocessed_dataset / OWN_FOLDER / "splits.json")["generations"]
        # The newest of the splits: groups that were declared later hold for the same splits.
        groups = [
            made["groups"]
            for made in generations
            if made["splits_sha256"] == splits_hash or (splits_hash == UNKNOWN and made["groups"].keys() >= set(cases))
        ][-1]
        return {case: str(groups[case]) for case in cases}
    except (FileNotFoundError, ValueError, LookupError, TypeError, AttributeError):
        return None
