"""Which folds may be summarized together: those that are expected, made from the same inputs, and share no case."""

from collections import Counter
from collections.abc import Mapping, Sequence

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.fold_provenance import OF_ONE_PROCESS, FoldProvenance, first_difference, groups_of
from nnunet_assets.core.fold.fold_result import ScoredFold
from nnunet_assets.errors import SummaryError, first_offenders


def check_fold_names(experiment: Experiment, expected: Sequence[str], found: Sequence[str]) -> None:
    """Refuses to summarize no fold, a fold that is not expected, or one that is there twice."""
    if not found:
        raise SummaryError(
            f"No fold of {experiment.title} is finished, so there is nothing to summarize. Train at least one of "
            f"{first_offenders(expected)}."
        )
    if unexpected := sorted(set(found) - set(expected)):
        raise SummaryError(
            f"{first_offenders(unexpected)} of {experiment.title} is not among the expected folds "
            f"({first_offenders(expected)}). Declare the folds that the experiment has, or leave these results out."
        )
    if repeated := sorted(fold for fold, count in Counter(found).items() if count > 1):
        raise SummaryError(f"{first_offenders(repeated)} of {experiment.title} is there twice. Give one result a fold.")


def check_inputs(title: str, folds: Mapping[str, FoldProvenance]) -> None:
    """Refuses folds of different provenance; those who share theirs with most other folds are taken for right.

    Args:
        title: Of the cross-validation.
        folds: By fold, as far as it is known.
    """
    groups = groups_of(folds)
    if len(groups) <= 1:
        return
    usual, *odd = groups
    differences = "; ".join(
        f"{first_offenders(names)} and {first_offenders(usual)} differ in {_differences(folds, names[0], usual)}"
        for names in odd
    )
    remedy = _remedy(folds, usual, odd)
    raise SummaryError(f"The folds of {title} must not be averaged: {differences}. {remedy}.")


def _remedy(folds: Mapping[str, FoldProvenance], usual: Sequence[str], odd: Sequence[Sequence[str]]) -> str:
    """Returns what makes folds fit each other, that of least work first."""
    training = (
        "No group of equal folds is the largest: decide which is right and train the others again"
        if len(odd[0]) == len(usual)
        else f"Train {first_offenders([name for names in odd for name in names])} again, as the others were"
    )
    if not all(folds[names[0]].may_be_share_of(folds[usual[0]]) for names in odd):
        return training
    return (
        f"All of these were adopted, and version 0.1 took of a fold that several GPUs trained one GPU's share "
        f"({', '.join(OF_ONE_PROCESS)}) for the whole: adopt them again (`nnunet-assets adopt`). Where they differ "
        f"still: {training[0].lower()}{training[1:]}"
    )


def _differences(folds: Mapping[str, FoldProvenance], fold: str, others: Sequence[str]) -> str:
    return ", ".join(first_difference(folds[fold], [folds[other] for other in others]))


def check_cases(experiment: Experiment, folds: Sequence[ScoredFold]) -> None:
    """Refuses cases with other labels, and a case that two folds validated."""
    owners: dict[str, list[str]] = {}
    for fold in folds:
        for case in fold.cases:
            owners.setdefault(case.case_id, []).append(fold.fold)
            if set(case.scores) != set(folds[0].label_names):
                raise SummaryError(
                    f"Case {case.case_id} in {fold.fold} of {experiment.title} has scores for {sorted(case.scores)}, "
                    f"other cases for {sorted(folds[0].label_names)}. Run the validation of that fold again."
                )
    shared = [f"{case_id} in {' and '.join(names)}" for case_id, names in owners.items() if len(names) > 1]
    if shared:
        raise SummaryError(
            f"Each case of {experiment.title} is validated in one fold, but not {first_offenders(shared)}. The "
            "folds were trained on different or overlapping splits: train them again on one split."
        )
