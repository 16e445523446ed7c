"""What names a model by everything that its masks depend on beside the images."""

from collections.abc import Sequence

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.model.postprocessing_steps import Step


def model_digest(members: Sequence[str], steps: Sequence[Step]) -> str:
    """Returns the digest of a model.

    Args:
        members: The digest of each, in their order: weights by fold, plans, dataset.json, the version of nnU-Net, and
            the digest of the stage before.
        steps: The postprocessing.
    """
    return json_sha256({"members": list(members), "postprocessing": [list(step) for step in steps]})
