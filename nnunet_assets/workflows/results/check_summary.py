"""What to look at twice in a summary: each check says in numbers what it looked at.

All are warnings: the summary is what it says.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from nnunet_assets.core.files.layout import Roots, fold_key
from nnunet_assets.core.splits.splits import coverage as split_coverage
from nnunet_assets.core.splits.splits import is_splits, training_only_sentence
from nnunet_assets.core.splits.splits_files import read_splits
from nnunet_assets.core.summary.baseline import MIN_DROP, Baseline, Score
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.summary.summary_checks import MIN_DISTANCE, MIN_FOLDS, N_DEVIATIONS, coverage, fold_spread
from nnunet_assets.core.summary.summary_files import baseline_path, read_baseline
from nnunet_assets.core.text.numbers import apart, fixed, signed
from nnunet_assets.errors import DatasetError, SummaryError, first_offenders

COMPLETE_CHECK = "has_every_fold"
RECORDED_CHECK = "folds_are_as_recorded"
ONCE_CHECK = "each_case_once"
LABELS_CHECK = "no_label_is_absent_everywhere"
OUTLIER_CHECK = "no_fold_is_an_outlier"
BASELINE_CHECK = "dice_is_not_below_baseline"

CHECKS = {
    COMPLETE_CHECK: "Every expected fold is finished.",
    RECORDED_CHECK: "Each fold on the disk is the one that Dagster saw materialize last.",
    ONCE_CHECK: "Each finished fold validated the cases that the split has it validate, and no other. A case that two "
    "folds validated is refused before.",
    LABELS_CHECK: "Each label is in a reference or a prediction of some case.",
    OUTLIER_CHECK: f"No fold's foreground Dice lies farther from the median of the folds than {N_DEVIATIONS} median "
    f"absolute deviations (times 1.4826, as for a normal distribution) and {MIN_DISTANCE}; looked at from {MIN_FOLDS} "
    "folds on.",
    BASELINE_CHECK: f"No pooled Dice is lower than the accepted baseline's by more than {MIN_DROP} and by more than "
    "two standard errors of its mean, on the folds of the baseline.",
}
"""Name to what is looked at, in the order of the results."""


@dataclass(frozen=True)
class CheckedSummary:
    """What one check found.

    Attributes:
        name: Of `CHECKS`.
        problems: Sentences; it passed where there is none.
        fine: What is said where it passed.
        numbers: By name.
        header: Of the table of what was looked at; empty: there is none.
        rows: Likewise.
        texts: What else is to be known, by name.
    """

    name: str
    problems: Sequence[str]
    fine: str
    numbers: Mapping[str, int | float] = field(default_factory=dict)
    header: Sequence[str] = ()
    rows: Sequence[Sequence[object]] = ()
    texts: Mapping[str, str] = field(default_factory=dict)

    @property
    def description(self) -> str:
        """What it found, in sentences."""
        return " ".join(self.problems) or self.fine


def check_summary(roots: Roots, summary: ScoredSummary, recorded: Mapping[str, str]) -> list[CheckedSummary]:
    """Returns what all checks found.

    Args:
        roots: nnU-Net's folders.
        summary: The summary.
        recorded: Fold to the digest by which whoever keeps a record knows it.
    """
    return [
        _complete(summary),
        _as_recorded(summary, recorded),
        _each_case_once(roots, summary),
        _no_absent_label(summary),
        _no_outlier(summary),
        _not_below_baseline(roots, summary),
    ]


def _complete(summary: ScoredSummary) -> CheckedSummary:
    n_cases = {fold.fold: len(fold.cases) for fold in summary.folds}
    return CheckedSummary(
        COMPLETE_CHECK,
        [] if summary.is_complete else [summary.progress],
        summary.progress,
        {"folds_finished": len(summary.completed_folds), "folds_expected": len(summary.expected_folds)},
        header=["Fold", "Cases"],
        rows=[[fold, n_cases.get(fold, "missing")] for fold in summary.expected_folds],
        texts={"missing_folds": ", ".join(summary.missing_folds) or "none"},
    )


def _as_recorded(summary: ScoredSummary, recorded: Mapping[str, str]) -> CheckedSummary:
    on_disk = {fold.fold: fold.commit_sha256 or "unknown" for fold in summary.folds}
    odd = [fold for fold, version in on_disk.items() if recorded.get(fold) != version]
    problem = (
        f"{', '.join(odd)} on the disk was not materialized by this Dagster instance. Materialize it to have it "
        "recorded; a finished fold is not trained again."
    )
    return CheckedSummary(
        RECORDED_CHECK,
        [problem] if odd else [],
        "Each finished fold is the one that Dagster recorded.",
        {"folds_as_recorded": len(on_disk) - len(odd), "folds_otherwise": len(odd)},
        header=["Fold", "On the disk", "Recorded"],
        rows=[[fold, version[:12], recorded.get(fold, "nothing")[:12]] for fold, version in on_disk.items()],
    )


def _each_case_once(roots: Roots, summary: ScoredSummary) -> CheckedSummary:
    folder = roots.preprocessed / summary.experiment.dataset
    try:
        splits = read_splits(folder)
    except DatasetError as error:
        return CheckedSummary(ONCE_CHECK, [str(error)], "", {"cases_validated": summary.n_cases})
    if splits is None or not is_splits(splits):
        problem = f"Unknown: there is no split in {folder} to compare with. Materialize splits."
        return CheckedSummary(ONCE_CHECK, [problem], "", {"cases_validated": summary.n_cases})
    validation = {fold_key(index): split["val"] for index, split in enumerate(splits)}
    alone = split_coverage(splits).training_only
    folds = coverage(summary, validation)
    missing = [case for fold in folds for case in fold.missing]
    foreign = [case for fold in folds for case in fold.foreign]
    problems = [
        f"Cases that were {what}: {first_offenders(cases)}."
        for cases, what in (
            (missing, "not validated by their fold in the split"),
            (foreign, "validated by a fold that is not theirs in the split"),
        )
        if cases
    ]
    if problems:
        problems.append(
            "The split is not the one that these folds were trained on. Restore it, or train the folds again."
        )
    return CheckedSummary(
        ONCE_CHECK,
        problems,
        " ".join(
            [
                f"{summary.n_cases} cases of a {summary.what}, each validated once, by its fold in the split.",
                *([training_only_sentence(alone, len(splits))] if alone else []),
            ]
        ),
        {
            "cases_training_only": len(alone),
            "cases_in_split": sum(map(len, validation.values())),
            "cases_validated": summary.n_cases,
            "cases_missing": len(missing),
            "cases_foreign": len(foreign),
        },
        header=["Fold", "In the split", "Validated", "Missing", "Foreign"],
        rows=[[fold.fold, fold.n_in_split, fold.n_validated, len(fold.missing), len(fold.foreign)] for fold in folds],
    )


def _no_absent_label(summary: ScoredSummary) -> CheckedSummary:
    absent = summary.absent_labels
    problem = (
        f"{first_offenders(absent)}: in no reference and no prediction, so that no mean counts it. Look at the labels "
        "in dataset.json."
    )
    return CheckedSummary(
        LABELS_CHECK,
        [problem] if absent else [],
        f"All {len(summary.labels)} labels have a Dice.",
        {"labels": len(summary.labels), "labels_absent": len(absent), "cases": summary.n_cases},
        header=["Label", "Cases with a Dice", *summary.completed_folds],
        rows=[
            [name, label.dice.pooled.n_defined, *(label.dice.by_fold[f].n_defined for f in summary.completed_folds)]
            for name, label in summary.labels.items()
        ],
    )


def _no_outlier(summary: ScoredSummary) -> CheckedSummary:
    spread = fold_spread(summary)
    if spread is None:
        fine = f"Not looked at: fewer than {MIN_FOLDS} folds have a foreground Dice."
        return CheckedSummary(OUTLIER_CHECK, [], fine, {"folds": len(summary.completed_folds)})
    problems = [
        f"{fold} has Dice {fixed(spread.dice_by_fold[fold])}, {distance} from the median of the folds, "
        f"{fixed(spread.median)}, and so farther than {limit}."
        for fold in spread.outliers
        for distance, limit in [apart(abs(spread.dice_by_fold[fold] - spread.median), spread.limit)]
    ]
    absent = {fold: names for fold, names in summary.absent_labels_by_fold.items() if fold in spread.outliers}
    problems += [f"Labels that {fold} does not have: {first_offenders(names)}." for fold, names in absent.items()]
    return CheckedSummary(
        OUTLIER_CHECK,
        problems,
        f"Every fold lies within {fixed(spread.limit)} of the median of the folds, Dice {fixed(spread.median)}.",
        {
            "dice_median": spread.median,
            "scaled_mad": spread.scaled_mad,
            "limit": spread.limit,
            "outliers": len(spread.outliers),
        },
        header=["Fold", "Dice", "From the median"],
        rows=[[fold, fixed(dice, 4), signed(dice - spread.median, 4)] for fold, dice in spread.dice_by_fold.items()],
    )


def _not_below_baseline(roots: Roots, summary: ScoredSummary) -> CheckedSummary:
    try:
        baseline = read_baseline(baseline_path(roots, summary.experiment))
    except SummaryError as error:
        return CheckedSummary(BASELINE_CHECK, [str(error)], "")
    if baseline is None:
        command = f"`nnunet-assets accept {'/'.join(summary.experiment.key_prefix)}`"
        fine = f"There is no baseline. {command} makes this summary one, with which later ones are compared."
        return CheckedSummary(BASELINE_CHECK, [], fine)
    if waiting := baseline.missing_folds(summary):
        fine = f"Not compared: {', '.join(waiting)} of the baseline is not finished."
        return CheckedSummary(BASELINE_CHECK, [], fine, texts=_origin(baseline))
    scores = baseline.scores(summary)
    problems = [
        f"{score.name}: Dice {', lower than '.join(apart(score.dice, score.limit))}; the baseline has "
        f"{fixed(score.baseline)}."
        if score.dice is not None
        else f"{score.name}: no Dice; the baseline has {fixed(score.baseline)}."
        for score in scores
        if score.is_below
    ]
    others = baseline.inputs.differences(summary.inputs)
    remark = [f"The baseline was made from other {', '.join(others)}."] if others else []
    return CheckedSummary(
        BASELINE_CHECK,
        [*problems, *remark] if problems else [],
        " ".join([f"Not lower than the baseline of {baseline.accepted_at}.", *remark]),
        {"scores_compared": len(scores), "scores_below": len(problems)},
        header=["Label", "Dice", "Baseline", "Not lower than"],
        rows=[_compared(score) for score in scores],
        texts=_origin(baseline),
    )


def _compared(score: Score) -> list[str]:
    dice, limit = ("undefined", fixed(score.limit, 4)) if score.dice is None else apart(score.dice, score.limit, 4)
    return [score.name, dice, fixed(score.baseline, 4), limit]


def _origin(baseline: Baseline) -> dict[str, str]:
    """Returns whose baseline it is, and of what."""
    return {
        "baseline_accepted": f"{baseline.accepted_at} by {baseline.accepted_by}",
        "baseline_note": baseline.note or "none",
        "baseline_of": f"{', '.join(baseline.folds)}: {baseline.n_cases} cases",
        "baseline_summary_sha256": baseline.summary_sha256,
    }
