"""What is known of a model beside what its files say: its numbers, how it was chosen, and what it may be used for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnunet_assets.core.model.model_description import ModelNumber


@dataclass(frozen=True)
class AboutModel:
    """What whoever packs a model knows of it.

    Attributes:
        numbers: Such as `dice` (the cross-validation's) and `expected_dice` (corrected for the choice).
        inputs: By name of the member (`DATASET/TRAINER__PLANS__CONFIGURATION`, a variant after the dataset) what it was
            made from: `raw_hash`, `plans_hash`, `splits_hash`, and of each fold `fold_0/commit`, the SHA-256 of its
            manifest, `fold_0/checkpoint_final.pth`, that of the checkpoint before it was slimmed,
            and `fold_0/continues`, that of the checkpoint whose training it continues.
        n_cases: How many cases it was trained on; None: not known.
        orientations: As in `ExpectedImages`.
        selection: How it was chosen: rule, candidates and their means, the votes of the folds; None: it was not.
        intended_use: In the words of who made it; None: nothing was said.
        licence: Of the weights; None: not said.
        notes: Sentences beside those that are in every package.
    """

    numbers: Mapping[str, ModelNumber] = field(default_factory=dict)
    inputs: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    n_cases: int | None = None
    orientations: tuple[str, ...] = ()
    selection: Mapping[str, Any] | None = None
    intended_use: str | None = None
    licence: str | None = None
    notes: tuple[str, ...] = ()
