"""What a cross-validation promises of its split, and whether a split keeps it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nnunet_assets.core.splits.splits import (
    Split,
    check_splits,
    coverage,
    duplicates_across_sides,
    groups_on_both_sides,
    labels_not_validated,
)
from nnunet_assets.errors import DatasetError

ONCE = "each_case_is_validated_once"
GROUPS = "no_group_on_both_sides"
COPIES = "no_copy_on_both_sides"
LABELS = "each_label_in_each_validation"


@dataclass(frozen=True)
class SplitPromise:
    """One promise of a split.

    Attributes:
        name: Which.
        problems: Full sentences; empty: it is kept.
        fine: What there is to say where it is kept.
        is_grave: Whether folds must not be trained where it is not kept.
        details: Of `LABELS`, by label the folds that do not validate it.
    """

    name: str
    problems: Sequence[str]
    fine: str
    is_grave: bool = True
    details: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """What is wrong, else what is fine; a line each."""
        return "\n".join(self.problems) or self.fine


def split_promises(
    found: Any,
    cases: Sequence[str],
    n_folds: int,
    *,
    image_hashes: Mapping[str, str],
    label_volumes_ml: Mapping[str, Mapping[str, float]],
    groups: Mapping[str, str] | None,
) -> list[SplitPromise]:
    """Returns which promises a split keeps.

    Args:
        found: The content of `splits_final.json`, whatever that is.
        cases: The cases of the dataset.
        n_folds: As it is declared.
        image_hashes: Digest of each case's images.
        label_volumes_ml: Volume of each label in each case, in millilitres; empty: the labels were not read.
        groups: Group by case; None: none are declared, and nothing is promised of them.
    """
    try:
        splits, unfit = check_splits(found, cases, n_folds), ""
    except DatasetError as error:
        splits, unfit = [], str(error)
    unknown = ["The file does not fit the cases."] if unfit else []
    copies = duplicates_across_sides(splits, image_hashes)
    if copies:
        copies.append("Take one of each pair out of the dataset, or keep them together with `splits.groups`.")
    promises = [
        SplitPromise(ONCE, [unfit] if unfit else [], coverage(splits, cases).in_words()),
        SplitPromise(COPIES, unknown or copies, "No case has a copy on the other side."),
        labels_promise(splits, label_volumes_ml, unknown),
    ]
    if groups is not None:
        both, n_groups = groups_on_both_sides(splits, groups), len(set(groups.values()))
        promises.append(SplitPromise(GROUPS, unknown or both, f"{n_groups} groups, each on one side."))
    return promises


def labels_promise(
    splits: Sequence[Split], label_volumes_ml: Mapping[str, Mapping[str, float]], unknown: Sequence[str] = ()
) -> SplitPromise:
    """Returns whether each fold validates each label; grave only where one validates none at all.

    Args:
        splits: The folds.
        label_volumes_ml: As for `split_promises`.
        unknown: Why nothing can be said; empty: it can.
    """
    missing = labels_not_validated(splits, label_volumes_ml)
    labels = next(iter(label_volumes_ml.values()), {})
    without_any = (
        sorted(set.intersection(*map(set, missing.values()))) if labels and set(missing) == set(labels) else []
    )
    sentences = [f"{label!r} is in no validation case of {', '.join(folds)}." for label, folds in missing.items()]
    if without_any:
        sentences.append(f"No validation case of {', '.join(without_any)} has any label at all.")
    if sentences:
        sentences.append(
            "Its dice is undefined there. `splits: {stratify: true}` spreads labels where there are enough."
        )
    fine = "Each label is in each validation fold." if label_volumes_ml else "Unknown: the labels were not read."
    return SplitPromise(LABELS, [*unknown, *sentences], fine, is_grave=bool(without_any), details=missing)
