"""What a fold would be trained on now, by digests, and whether that is complete and up to date."""

from collections.abc import Sequence

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import FULL_FOLD, Experiment, fold_key
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.splits.splits import (
    SPLITS_FILE,
    Split,
    check_splits,
    coverage,
    duplicates_across_sides,
    groups_on_both_sides,
)
from nnunet_assets.core.splits.splits_files import read_record
from nnunet_assets.errors import DatasetError, FoldError, first_offenders
from nnunet_assets.nnunet.plans.plan_card import why_dropped
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.splits.splitting import default_split_of


def fold_inputs(dataset: PreparedDataset, experiment: Experiment, fold: str, training_hash: str) -> FoldInputs:
    """Returns the digests of what a fold would be trained on, with the dataset as it was read.

    Raises:
        PlanningError: The plans are another dataset's, or the raw data that is prepared is gone.
        DamagedFileError: A record cannot be read.
        FoldError: The splits file is missing or does not have this fold; or plans or preprocessed cases are missing, or
            were made from other data than is there now.
        DatasetError: The splits do not fit the cases, or a fold of them trains on a group or a copy that it validates.
    """
    splits = check_fold(dataset, experiment, fold)
    _check_cases(dataset, experiment.configuration)
    return FoldInputs(
        raw_hash=dataset.raw.content_hash,
        plans_hash=dataset.plans_hash_of(experiment),
        splits_hash=json_sha256(list(splits.values())),
        training_hash=training_hash,
    )


def check_fold(dataset: PreparedDataset, experiment: Experiment, fold: str) -> dict[str, Split]:
    """Returns the splits by fold key where the fold may be trained on by them; none for a model on all cases.

    Raises:
        FoldError: The splits file is missing or does not have this fold.
        DatasetError: The splits do not fit the cases, or a fold of them trains on a group or a copy that it validates.
    """
    # A model on every case knows no split: a new one does not change it.
    splits = {} if fold == FULL_FOLD else _read_splits(dataset)
    if fold != FULL_FOLD and fold not in splits:
        raise no_such_fold(experiment, fold, len(splits))
    # The checks of `splits` stop what follows in their own run only.
    _refuse_leaks(dataset, list(splits.values()))
    return splits


def no_such_fold(experiment: Experiment, fold: str, n_folds: int) -> FoldError:
    """Returns what refuses a fold that the splits do not have."""
    there = ", ".join(fold_key(index) for index in range(n_folds))
    return FoldError(
        f"{experiment.title}: {fold} does not exist; the splits of {experiment.dataset} have {there}. nnU-Net would "
        "silently train on a random split."
    )


def fold_keys(dataset: PreparedDataset) -> list[str]:
    """Returns the folds that the dataset's splits have, in order.

    Raises:
        FoldError: The splits file is missing or damaged.
        DatasetError: The splits do not fit the cases.
    """
    return list(_read_splits(dataset))


def _read_splits(dataset: PreparedDataset) -> dict[str, Split]:
    """Returns the splits by fold key, where they fit the cases."""
    path, cases = dataset.place.folder / SPLITS_FILE, dataset.raw.cases
    try:
        content = dataset.splits
    except FileNotFoundError as error:
        raise FoldError(
            f"{path} is missing. Materialize splits first; parallel folds would race to make it."
        ) from error
    except ValueError as error:
        raise FoldError(
            f"{path} is not valid JSON ({error}). Restore it: trained folds belong to that file."
        ) from error
    n_folds = len(content) if isinstance(content, list) else 0
    splits = check_splits(content, cases, n_folds, path)
    _refuse_forgotten(dataset, splits)
    return {fold_key(index): split for index, split in enumerate(splits)}


def _refuse_forgotten(dataset: PreparedDataset, splits: Sequence[Split]) -> None:
    """Passes where cases that the split does not name are left out by their user, and did not come after it was made.

    Raises:
        DatasetError: The split is one of all cases that there were, this project's or nnU-Net's own.
    """
    left_out = coverage(splits, dataset.raw.cases).left_out
    if not left_out:
        return
    known = read_record(dataset.place.folder).until(splits)
    named = sorted({case for split in splits for case in split["val"]})
    if set(left_out) - known.known_cases if known.generations else default_split_of(named, len(splits)) == splits:
        raise DatasetError(
            f"{dataset.place.folder / SPLITS_FILE} does not name these cases, which came after it was made: "
            f"{first_offenders(left_out)}. nnU-Net would not read them. Materialize splits again, which says how they "
            "can be dealt to the folds."
        )


def _refuse_leaks(dataset: PreparedDataset, splits: Sequence[Split]) -> None:
    """Passes where no fold trains on a group or a copy of what it validates; groups are those of the last `splits`."""
    leaks = groups_on_both_sides(splits, read_record(dataset.place.folder).groups)
    leaks += duplicates_across_sides(splits, dataset.raw.image_hashes)
    if leaks:
        raise DatasetError(
            f"By {dataset.place.folder / SPLITS_FILE} folds train on what they validate, and their dice would be too "
            "high:\n"
            + "\n".join(leaks)
            + "\nCorrect the file, or delete it to have it made as declared, and materialize splits again. Copies are "
            "kept together by `splits.groups`; or leave one of each out by `quarantine`."
        )


def _check_cases(dataset: PreparedDataset, configuration: str) -> None:
    dataset.plans.refuse_foreign()
    dataset.plans.needed([configuration])  # one that inherits in a circle says so
    name, plans, known = dataset.place.dataset, dataset.plans.name, dataset.plans.configurations
    if known and configuration not in known:
        reason = why_dropped(plans, configuration, known)
        there = "" if "Available: " in reason else f" Available: {', '.join(known)}."
        raise FoldError(f"The plans {plans} of {name} have no configuration {configuration!r}. {reason}{there}")
    if known and dataset.case_set(configuration).is_whole:
        return
    earlier = dataset.earlier_ingredients(configuration) if known else None
    if earlier is None:
        raise FoldError(
            f"{name} is not preprocessed for {plans}, {configuration}. Materialize preprocessed_plans first."
        )
    raise FoldError(
        f"The preprocessed cases of {name}, {plans}, {configuration} were made from other input than "
        f"there is now: {'; '.join(earlier.differences(dataset.ingredients(configuration)))}. Materialize "
        "preprocessed_plans again."
    )
