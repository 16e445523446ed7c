"""A split of cases into folds as a value: how it is to be made, whether it can be summarized, what it guarantees.

The form is that of nnU-Net's `splits_final.json`: for each fold the case names to train on and to validate on. What a
split validates is up to its user: all cases, some of them while others train in every fold, or those of one fold alone.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nnunet_assets.core.files.layout import fold_key
from nnunet_assets.core.splits.case_groups import GroupSource
from nnunet_assets.errors import DatasetError, first_offenders

SPLITS_FILE = "splits_final.json"
HOLD_OUT, CROSS_VALIDATION = "hold-out", "cross-validation"
"""What the folds of a split are together: one that validates, or several."""
NNUNET_SEED = 12345
"""The seed of nnU-Net's own split."""
MAX_FOLDS = 100

Split = dict[str, list[str]]
"""One fold: `train` and `val`, each a list of case names."""

OnNewCases = Literal["refuse", "extend", "renew"]
"""What happens to a split that folds were trained on, where the cases are others now."""


@dataclass(frozen=True)
class SplitSettings:
    """How a dataset's cases are to be split.

    Attributes:
        n_folds: Number of folds.
        seed: Decides which case goes where; without groups and stratification as in nnU-Net.
        groups: What says which cases must stay together; None: each stands for itself.
        stratify: Spread presence and volume of the labels over the folds.
        leave_one_group_out: One fold for each group, which validates it.
        file: The user's own split, in nnU-Net's form; None: it is made.
    """

    n_folds: int
    seed: int = NNUNET_SEED
    groups: GroupSource | None = None
    stratify: bool = False
    leave_one_group_out: bool = False
    file: Path | None = None

    @property
    def record(self) -> dict[str, Any]:
        """What is kept of them beside the split, to see whether they changed: whatever differs from nnU-Net's.

        The folds of leave-one-group-out are not among it: they follow from the cases.
        """
        settings = {
            "folds": None if self.leave_one_group_out else self.n_folds,
            "seed": self.seed if self.seed != NNUNET_SEED else None,
            "groups": self.groups.title if self.groups else None,
            "stratify": self.stratify,
            "leave_one_group_out": self.leave_one_group_out,
            "file": self.file.name if self.file else None,
        }
        # Not by truth: 0 is a seed.
        return {name: value for name, value in settings.items() if value is not None and value is not False}


def split_of(validation: Mapping[str, int], n_folds: int) -> list[Split]:
    """Returns the folds, where each case trains in all folds but the one that validates it, by its index."""
    cases = sorted(validation)
    return [
        {
            "train": [case for case in cases if validation[case] != fold],
            "val": [case for case in cases if validation[case] == fold],
        }
        for fold in range(n_folds)
    ]


@dataclass(frozen=True)
class Coverage:
    """Which cases a split validates, and what becomes of the others; each list is sorted.

    Attributes:
        n_folds: Its folds.
        validated: The cases that one fold validates.
        training_only: The cases that folds train on and none validates.
        left_out: The cases of the dataset that no fold names: nnU-Net never reads them.
    """

    n_folds: int
    validated: tuple[str, ...]
    training_only: tuple[str, ...]
    left_out: tuple[str, ...] = ()

    @property
    def what(self) -> str:
        """What a summary of the folds is: `hold-out` or `cross-validation`."""
        return HOLD_OUT if self.n_folds == 1 else CROSS_VALIDATION

    def in_words(self) -> str:
        """Returns it in a sentence or two: `A cross-validation of 4 of 17 cases. 13 cases train in ...`."""
        n_cases = len(self.validated) + len(self.training_only) + len(self.left_out)
        some = f"{len(self.validated)} of {n_cases}" if self.training_only or self.left_out else f"all {n_cases}"
        sentences = [f"A {self.what} of {some} cases, each validated once."]
        if self.training_only:
            sentences.append(training_only_sentence(self.training_only, self.n_folds))
        if self.left_out:
            sentences.append(f"No fold names {_cases(self.left_out)}; nnU-Net does not read them.")
        return " ".join(sentences)


def training_only_sentence(cases: Sequence[str], n_folds: int) -> str:
    """Names the cases that train and are validated by no fold, at least one."""
    if n_folds == 1:
        return f"The fold trains on {_cases(cases)}."
    return f"In training alone: {_cases(cases)}; no fold validates them, and no score is of them."


def _cases(cases: Sequence[str]) -> str:
    return f"{len(cases)} {'case' if len(cases) == 1 else 'cases'} ({first_offenders(cases)})"


def coverage(splits: Sequence[Split], cases: Sequence[str] = ()) -> Coverage:
    """Returns what a split validates.

    Args:
        splits: The folds.
        cases: All cases of the dataset, to know those that are left out; empty: not known.
    """
    validated = {case for split in splits for case in split["val"]}
    trained = {case for split in splits for case in split["train"]}
    sets = (validated, trained - validated, set(cases) - validated - trained)
    return Coverage(len(splits), *(tuple(sorted(some)) for some in sets))


def check_splits(splits: Any, cases: Sequence[str], n_folds: int, source: Path | str = SPLITS_FILE) -> list[Split]:
    """Returns the splits where nnU-Net can train them and their folds can be summarized together.

    No case is validated by two folds, or trained on and validated by one. A fold may train on fewer cases than the
    rest, cases may train and be validated by none, and one fold alone is a hold-out: see `coverage`.

    Args:
        splits: What a splits file holds.
        cases: All cases of the dataset.
        n_folds: Folds of the cross-validation.
        source: What messages call it.

    Raises:
        DatasetError: They are not; the message holds all that differs.
    """
    if not is_splits(splits):
        raise DatasetError(f"{source} {NO_SPLITS}")
    problems = list(_problems(splits, cases, n_folds))
    if problems:
        raise DatasetError(f"{source} does not fit the dataset and its {n_folds} folds:\n" + "\n".join(problems))
    checked: list[Split] = splits
    return checked


NO_SPLITS = "is not a list of folds of the form {'train': [names], 'val': [names]}, as nnU-Net needs it."


def is_splits(content: Any) -> bool:
    """Says whether a JSON value has the form of nnU-Net's splits file; whether it fits any cases is not looked at."""
    return isinstance(content, list) and bool(content) and all(_is_split(split) for split in content)


def _is_split(split: Any) -> bool:
    return isinstance(split, dict) and all(
        isinstance(split.get(part), list) and all(isinstance(case, str) and _is_text(case) for case in split[part])
        for part in ("train", "val")
    )


def _is_text(case: str) -> bool:
    # Half of a character, which JSON can hold, is in no file's name and in no digest.
    return not any("\ud800" <= character <= "\udfff" for character in case)


def _problems(splits: Sequence[Split], cases: Sequence[str], n_folds: int) -> Iterator[str]:
    if len(splits) != n_folds:
        yield f"It has {len(splits)} folds instead of {n_folds}."
    known = set(cases)
    for index, split in enumerate(splits):
        for part in ("train", "val"):
            if not split[part]:
                yield f"fold_{index} has no case in {part!r}."
        if overlap := sorted(set(split["train"]) & set(split["val"])):
            yield (
                f"fold_{index} trains on cases that it validates: {first_offenders(overlap)}. nnU-Net would train it "
                "with a warning in its log, and its dice would be too high."
            )
    named = {case for split in splits for part in ("train", "val") for case in split[part]}
    if unknown := sorted(named - known):
        another = "" if named & known else " It has none of the dataset's cases: it is another dataset's."
        yield (
            f"It names cases that the dataset does not have: {first_offenders(unknown)}.{another} nnU-Net would stop "
            "at the first that it reads."
        )
    validated = Counter(case for split in splits for case in split["val"])
    if often := sorted(case for case, count in validated.items() if count > 1):
        yield (
            f"These cases are validated more than once: {first_offenders(often)}. nnU-Net would train the folds, and a "
            "mean over their cases would count these so often."
        )


def groups_on_both_sides(splits: Sequence[Split], groups: Mapping[str, str]) -> list[str]:
    """Returns a sentence for each fold that trains on cases of a group that it validates.

    Args:
        splits: The folds.
        groups: Group by case; cases without one concern nobody.
    """
    sentences = []
    for index, split in enumerate(splits):
        trained, validated = ({groups[case] for case in split[part] if case in groups} for part in ("train", "val"))
        if both := sorted(trained & validated):
            sentences.append(f"{fold_key(index)} trains on groups that it validates: {first_offenders(both)}.")
    return sentences


def duplicates_across_sides(splits: Sequence[Split], image_hashes: Mapping[str, str]) -> list[str]:
    """Returns a sentence for each fold that trains on a copy of what it validates: the same images, whatever the label.

    Args:
        splits: The folds.
        image_hashes: Digest of each case's images; cases without one are not compared.
    """
    sentences = []
    for index, split in enumerate(splits):
        trained = {image_hashes[case]: case for case in split["train"] if case in image_hashes}
        pairs = [
            f"{case} and {trained[image_hashes[case]]}" for case in split["val"] if image_hashes.get(case) in trained
        ]
        if pairs:
            sentences.append(
                f"{fold_key(index)} validates copies of cases that it trains on: {first_offenders(pairs)}."
            )
    return sentences


def labels_not_validated(
    splits: Sequence[Split], label_volumes_ml: Mapping[str, Mapping[str, float]]
) -> dict[str, list[str]]:
    """Returns by label the folds in whose validation cases it does not occur; labels that every fold has are left out.

    Args:
        splits: The folds.
        label_volumes_ml: By case and foreground label, in ml; empty: nothing is known, and nothing returned.
    """
    missing: dict[str, list[str]] = {}
    for label in next(iter(label_volumes_ml.values()), {}):
        for index, split in enumerate(splits):
            if n_cases_with(label, split["val"], label_volumes_ml) == 0:
                missing.setdefault(label, []).append(fold_key(index))
    return missing


def n_cases_with(label: str, cases: Sequence[str], label_volumes_ml: Mapping[str, Mapping[str, float]]) -> int:
    """Returns how many of the cases have a voxel of the label."""
    return sum(label_volumes_ml.get(case, {}).get(label, 0) > 0 for case in cases)
