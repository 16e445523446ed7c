"""The summary as its asset left it on the disk, for the assets that are made from it."""

import json
from pathlib import Path

from nnunet_assets.core.cv_summary import CvSummary
from nnunet_assets.errors import SummaryError


def read_summary(folder: Path) -> CvSummary:
    """Returns the summary of an experiment's summary folder.

    Raises:
        SummaryError: There is none, or it is damaged.
    """
    file = folder / "cv_summary.json"
    try:
        content = json.loads(file.read_text())
    except FileNotFoundError:
        raise SummaryError(f"{file} is missing. Materialize cv_summary first.") from None
    except ValueError as error:
        raise SummaryError(f"{file} is not valid JSON ({error}). Materialize cv_summary again.") from None
    return CvSummary.from_json(content)
