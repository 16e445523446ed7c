"""What a fold was made from and with which settings, and how two folds are told apart that must not be averaged.

The digests say whether two differ. Where they differ in training settings, the settings themselves say in which, with
both values. Of folds that were trained elsewhere a digest is made of what nnU-Net's `debug.json` proves, and the files
of one may prove less than those of another (an older version writes fewer, a fold on several GPUs its first process's
share of the batch): they differ where both prove a setting, and it is not the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from nnunet_assets.core.fold.commit import UNKNOWN, FoldInputs, Manifest
from nnunet_assets.errors import first_offenders

OF_ONE_PROCESS = ("batch_size", "oversample_foreground_percent")
"""What the files of a fold that several processes trained (DDP) say of the first one's share; the whole batch is that
of the plans. Version 0.1 took the share for the whole."""

CHANGING_OPTIONS = ("pretrained_weights", "seed", "deterministic", "patience", "restore_best")
"""The options that are part of a training's digest; see `TrainingOptions`."""


@dataclass(frozen=True)
class FoldProvenance:
    """What a fold's scores come from.

    Attributes:
        inputs: Digests of what its model was made from.
        validated: The checkpoint of it that was validated.
        settings: Training settings by name, as far as they are known.
        is_adopted: Whether it was trained elsewhere, so that its settings are all that is proved of them.
    """

    inputs: FoldInputs
    validated: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    is_adopted: bool = False

    @classmethod
    def of(cls, manifest: Manifest) -> "FoldProvenance":
        """Returns the provenance of a finished fold."""
        return cls(manifest.inputs, manifest.validated, settings_of(manifest.details), manifest.is_adopted)

    @classmethod
    def asked(cls, inputs: FoldInputs, overrides: Mapping[str, Any], options: Mapping[str, Any]) -> "FoldProvenance":
        """Returns the provenance of a fold that is to be trained, or was begun."""
        return cls(inputs, UNKNOWN, settings_of({"overrides": overrides, "options": options}))

    def differences(self, other: "FoldProvenance") -> list[str]:
        """Names what the two differ in, of settings with both values: this one's first."""
        left, right = self.inputs, other.inputs
        odd = different_settings(self.settings, other.settings, both_proved=self.is_adopted and other.is_adopted)
        if self.is_adopted and other.is_adopted and not odd:
            left, right = (replace(inputs, training_hash=UNKNOWN) for inputs in (left, right))
        named = [_with_settings(difference, odd) for difference in left.differences(right)]
        return named if self.validated == other.validated else [*named, "the checkpoint that was validated"]

    def may_be_share_of(self, other: "FoldProvenance") -> bool:
        """Says whether two adopted folds differ in nothing but what version 0.1 took one process's share for."""
        odd = different_settings(self.settings, other.settings, both_proved=True)
        others = replace(other, settings={name: value for name, value in other.settings.items() if name not in odd})
        return self.is_adopted and other.is_adopted and {*odd} <= {*OF_ONE_PROCESS} and not self.differences(others)


def settings_of(details: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the training settings in a manifest's details, or in what a fold's process was asked for."""
    if "settings" in details:
        return dict(details["settings"])
    options = details.get("options") or {}
    # A seed of 0 is one, though it equals False.
    chosen = {
        name: value for name in CHANGING_OPTIONS if (value := options.get(name)) is not None and value is not False
    }
    return {**(details.get("overrides") or {}), **chosen}


def different_settings(
    left: Mapping[str, Any], right: Mapping[str, Any], *, both_proved: bool = False
) -> dict[str, tuple[Any, Any]]:
    """Returns the settings that differ, with both values.

    Args:
        both_proved: Only those that both know; else what one does not name has nnU-Net's own value there.
    """
    names = [name for name in left if name in right] if both_proved else list(dict.fromkeys([*left, *right]))
    pairs = {name: (left.get(name), right.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if not _are_equal(*pair)}


def in_words(different: Mapping[str, tuple[Any, Any]]) -> str:
    """Returns settings that differ for people: `batch_size 4 and 2, initial_lr 0.1 and nnU-Net's own`."""
    return first_offenders([f"{name} {_text(left)} and {_text(right)}" for name, (left, right) in different.items()])


def groups_of(provenances: Mapping[str, FoldProvenance]) -> list[list[str]]:
    """Returns the folds in groups of one provenance, largest first; a fold that proves less joins where it may."""
    groups: list[list[str]] = []
    for fold in sorted(provenances, key=lambda fold: -len(provenances[fold].settings)):
        fitting = [
            group for group in groups if not any(provenances[fold].differences(provenances[one]) for one in group)
        ]
        if fitting:
            max(fitting, key=len).append(fold)
        else:
            groups.append([fold])
    order = list(provenances)
    return sorted((sorted(group, key=order.index) for group in groups), key=lambda group: -len(group))


def first_difference(fold: FoldProvenance, others: Iterable[FoldProvenance]) -> list[str]:
    """Returns what a fold differs in from the first of the others from which it does."""
    return next((found for other in others if (found := fold.differences(other))), [])


def _with_settings(difference: str, odd: Mapping[str, tuple[Any, Any]]) -> str:
    return f"{difference} ({in_words(odd)})" if odd and difference.startswith("training settings") else difference


def _are_equal(left: Any, right: Any) -> bool:
    """Says whether two settings are the same; nnU-Net writes texts, and `0.01` and `1e-2` are one number."""
    if left == right or str(left) == str(right):
        return True
    try:
        return float(left) == float(right)
    except (TypeError, ValueError):
        return False


def _text(value: Any) -> str:
    return "nnU-Net's own" if value is None else str(value)
