"""The tags of a model version, and which of all versions are this package's."""

from typing import Any

from nnunet_assets.core.model.model_address import CHALLENGER, CHAMPION

PACKAGE = "nnunet_assets.package"
"""Digest of the package (`core.model.package_files.package_digest`); a version without it is not ours."""
EXPERIMENT = "nnunet_assets.experiment"
"""Members of the model, with slashes, separated by commas."""
TRAINERS = "nnunet_assets.trainers"
"""Of a version that brings sources of trainers along, since nnU-Net does not have them: their names, with commas."""
KIND = "nnunet_assets.kind"
"""`single`, `cascade` or `ensemble`."""
RAW_HASH, PLANS_HASH, SPLITS_HASH = "nnunet_assets.raw_hash", "nnunet_assets.plans_hash", "nnunet_assets.splits_hash"
"""Of the members, separated by commas where they differ."""
PACKAGE_BYTES = "nnunet_assets.package_bytes"
MODEL_ID = "nnunet_assets.model_id"
"""MLflow's logged model, which has the files: a database keeps no field for it."""
NUMBER = "nnunet_assets.number"
"""And the number's name: `nnunet_assets.number.dice` is `0.871 [0.852, 0.890] (50 cases)`."""
PROJECT = "nnunet_assets.project"
"""Pseudonym of the project that registered it: whose versions are cleared."""
GATE = "gate"
"""And the rule's name: `gate.cross_validation` is `passed` or `failed: ` and the reason."""
PROMOTED_BY, PROMOTED_BECAUSE = "promoted.by", "promoted.because"
"""Who forced the promotion, and why; no such tags otherwise."""
PROMOTED_AT = "promoted.at"
"""When, in UTC."""

OWN_ALIASES = (CHAMPION, CHALLENGER)


def is_ours(version: Any) -> bool:
    """Tells whether a version was registered by this package."""
    return PACKAGE in version.tags
