"""How cases are split into folds: as nnU-Net does, in groups, stratified, one group at a time, or from a file.

Pure: what lies on disk is the business of `splits`.
"""

from collections.abc import Mapping, Sequence

from nnunet_assets.core.files.layout import fold_key
from nnunet_assets.core.splits.balanced_folds import deal
from nnunet_assets.core.splits.splits import NNUNET_SEED, Split, SplitSettings, check_splits, split_of
from nnunet_assets.core.splits.splits_files import read_splits_file
from nnunet_assets.errors import DatasetError, first_offenders
from nnunet_assets.nnunet.raw.raw_record import RawRecord


def default_splits(cases: Sequence[str], n_folds: int, seed: int = NNUNET_SEED) -> list[Split]:
    """Returns the split that nnU-Net itself would make: k-fold over the sorted names, shuffled with a seed.

    Args:
        cases: All cases.
        n_folds: Number of folds.
        seed: nnU-Net's own is fixed.

    Raises:
        DatasetError: There are fewer cases than folds, or fewer than two folds.
    """
    if not 2 <= n_folds <= len(cases):
        raise DatasetError(
            f"{len(cases)} cases cannot be split into {n_folds} folds; a cross-validation needs at least two folds and "
            "a case for each. One fold alone is a hold-out, of cases that you name: a split of your own, in "
            "`splits.file` or as splits_final.json beside the raw data or in the preprocessed dataset."
        )
    from nnunetv2.utilities.crossval_split import generate_crossval_split

    splits = generate_crossval_split(sorted(cases), seed=seed, n_splits=n_folds)
    # nnU-Net's names are numpy strings.
    return [{part: [str(case) for case in split[part]] for part in ("train", "val")} for split in splits]


def default_split_of(cases: Sequence[str], n_folds: int) -> list[Split] | None:
    """Returns the split that nnU-Net itself would make of these cases; None: it makes none of so many folds."""
    return default_splits(cases, n_folds) if 2 <= n_folds <= len(cases) else None


def groups_of(settings: SplitSettings, raw: RawRecord) -> dict[str, str]:
    """Returns the group of each case; nothing where no groups are declared.

    Raises:
        ConfigError: The file that names them is missing or wrong.
        DatasetError: A case has no group.
    """
    return settings.groups.of(raw.cases) if settings.groups else {}


def make_splits(settings: SplitSettings, raw: RawRecord) -> list[Split]:
    """Returns the split of all cases as the settings want it: the same for the same cases, whenever it is asked for.

    Raises:
        ConfigError: A file that the settings name is missing or wrong.
        DatasetError: The cases cannot be split so: too few of them or of their groups, a case without a group, label
            volumes unknown, or a file of other cases.
    """
    if settings.file:
        return check_splits(read_splits_file(settings.file), raw.cases, settings.n_folds, settings.file)
    groups = groups_of(settings, raw)
    if settings.leave_one_group_out:
        _check_one_fold_a_group(groups, settings)
        return split_of(_by_group(groups, {}), settings.n_folds)
    if settings.n_folds < 2 or (not groups and not settings.stratify):
        return default_splits(raw.cases, settings.n_folds, settings.seed)
    names = sorted(set(groups.values()))
    if groups and len(names) < settings.n_folds:
        raise DatasetError(
            f"The number of groups by {_source(settings)} is {len(names)} ({first_offenders(names)}), too few for "
            f"{settings.n_folds} folds: each needs a group of its own to validate on. Lower `folds`, or correct "
            "`splits.groups`."
        )
    return split_of(_dealt(settings, raw, groups, {}), settings.n_folds)


def extend_splits(splits: Sequence[Split], settings: SplitSettings, raw: RawRecord) -> list[Split]:
    """Returns the split with the new cases dealt to its folds; every other case stays in its validation fold.

    A new case of a known group joins it. Where one group is left out at a time, a new group becomes a new fold.

    Raises:
        ConfigError: The file that names the groups is missing or wrong.
        DatasetError: A case without a group, label volumes unknown, or a fold that would be empty.
    """
    groups = groups_of(settings, raw)
    dealt = {case: index for index, split in enumerate(splits) for case in split["val"] if case in raw.cases}
    if empty := [fold_key(index) for index in range(len(splits)) if index not in dealt.values()]:
        raise DatasetError(
            f"The cases that are gone were all that {first_offenders(empty)} validated, so the split cannot be "
            "extended. Restore them, or have it made anew: `on_new_cases: renew`."
        )
    if settings.leave_one_group_out:
        _check_one_fold_a_group(groups, settings)
        return split_of(_by_group(groups, dealt), settings.n_folds)
    return split_of(_dealt(settings, raw, groups, dealt), settings.n_folds)


def _by_group(groups: Mapping[str, str], dealt: Mapping[str, int]) -> dict[str, int]:
    """Returns the fold of each case where each group is one: the groups that have none yet follow, by name."""
    homes = {groups[case]: fold for case, fold in dealt.items()}
    first = max(homes.values(), default=-1) + 1
    homes |= {group: first + n for n, group in enumerate(sorted(set(groups.values()) - set(homes)))}
    return {case: homes[group] for case, group in groups.items()}


def _check_one_fold_a_group(groups: Mapping[str, str], settings: SplitSettings) -> None:
    n_groups = len(set(groups.values()))
    if n_groups != settings.n_folds:
        raise DatasetError(
            f"{_source(settings)} names {settings.n_folds} groups, but the dataset has cases of {n_groups}: "
            f"{first_offenders(sorted(set(groups.values())))}. Where one group is left out at a time each needs cases; "
            "remove the others from the file."
        )


def _dealt(
    settings: SplitSettings, raw: RawRecord, groups: Mapping[str, str], dealt: Mapping[str, int]
) -> dict[str, int]:
    """Returns the fold of each case, those kept that have one."""
    volumes = raw.label_volumes_ml if settings.stratify else {}
    if settings.stratify and (unknown := sorted(set(raw.cases) - set(volumes))):
        raise DatasetError(
            f"The label volumes of these cases are not known: {first_offenders(unknown)}. `splits.stratify` needs "
            "them, and they are read of NIfTI files only. Materialize raw_dataset again, or remove `stratify`."
        )
    if len(raw.cases) < settings.n_folds:
        raise DatasetError(
            f"{len(raw.cases)} cases cannot be split into {settings.n_folds} folds. Add cases, or lower `folds`."
        )
    return deal(raw.cases, settings.n_folds, settings.seed, groups=groups, label_volumes_ml=volumes, dealt=dealt)


def _source(settings: SplitSettings) -> str:
    return settings.groups.title if settings.groups else "`splits.groups`"
