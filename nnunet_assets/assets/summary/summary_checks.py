"""The checks of `cv_summary`: each says in numbers what it looked at. All are warnings: the summary is what it says."""

from collections.abc import Mapping, Sequence

import dagster as dg

from nnunet_assets.core.files.layout import Roots, fold_key
from nnunet_assets.core.fold.commit import commit_sha256
from nnunet_assets.core.splits.splits import coverage as split_coverage
from nnunet_assets.core.splits.splits import is_splits, training_only_sentence
from nnunet_assets.core.splits.splits_files import read_splits
from nnunet_assets.core.summary.baseline import MIN_DROP, Baseline, Score
from nnunet_assets.core.summary.cv_summary import CvSummary
from nnunet_assets.core.summary.summary_checks import MIN_DISTANCE, MIN_FOLDS, N_DEVIATIONS, coverage, fold_spread
from nnunet_assets.core.summary.summary_files import baseline_path, read_baseline
from nnunet_assets.core.text.numbers import apart, fixed, signed
from nnunet_assets.errors import DatasetError, SummaryError, first_offenders
from nnunet_assets.reports.text.escaping import escape_markdown
from nnunet_assets.reports.text.rows import markdown_table

COMPLETE_CHECK = "has_every_fold"
RECORDED_CHECK = "folds_are_as_recorded"
ONCE_CHECK = "each_case_once"
LABELS_CHECK = "no_label_is_absent_everywhere"
OUTLIER_CHECK = "no_fold_is_an_outlier"
BASELINE_CHECK = "dice_is_not_below_baseline"

_DESCRIPTIONS = {
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

_Numbers = Mapping[str, int | float]


def summary_check_specs(key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
    """Returns what the checks of a summary are."""
    return [dg.AssetCheckSpec(name, asset=key, description=text) for name, text in _DESCRIPTIONS.items()]


def summary_checks(roots: Roots, summary: CvSummary, recorded: Mapping[str, str]) -> list[dg.AssetCheckResult]:
    """Returns the results of all checks.

    Args:
        roots: nnU-Net's folders.
        summary: The summary.
        recorded: Fold to the data version that Dagster recorded.
    """
    return [
        _complete(summary),
        _as_recorded(roots, summary, recorded),
        _each_case_once(roots, summary),
        _no_absent_label(summary),
        _no_outlier(summary),
        _not_below_baseline(roots, summary),
    ]


def _result(
    name: str,
    problems: Sequence[str],
    fine: str,
    numbers: _Numbers,
    table: dg.MetadataValue | None = None,
    **more: dg.MetadataValue,
) -> dg.AssetCheckResult:
    """Returns the result of one check, which passed where there is no problem."""
    shown: dict[str, dg.MetadataValue] = {
        key: dg.MetadataValue.int(number) if isinstance(number, int) else dg.MetadataValue.float(number)
        for key, number in numbers.items()
    }
    return dg.AssetCheckResult(
        check_name=name,
        passed=not problems,
        severity=dg.AssetCheckSeverity.WARN,
        description=" ".join(problems) or fine,
        metadata={**shown, **({"table": table} if table else {}), **more},
    )


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> dg.MetadataValue:
    header, *cells = ([escape_markdown(str(cell)) for cell in row] for row in (header, *rows))
    return dg.MetadataValue.md(markdown_table(header, cells))


def _complete(summary: CvSummary) -> dg.AssetCheckResult:
    n_cases = {fold.fold: len(fold.cases) for fold in summary.folds}
    return _result(
        COMPLETE_CHECK,
        [] if summary.is_complete else [summary.progress],
        summary.progress,
        {"folds_finished": len(summary.completed_folds), "folds_expected": len(summary.expected_folds)},
        _table(["Fold", "Cases"], [[fold, n_cases.get(fold, "missing")] for fold in summary.expected_folds]),
        missing_folds=dg.MetadataValue.text(", ".join(summary.missing_folds) or "none"),
    )


def _as_recorded(roots: Roots, summary: CvSummary, recorded: Mapping[str, str]) -> dg.AssetCheckResult:
    on_disk = {fold: commit_sha256(summary.experiment.fold_folder(roots, fold)) for fold in summary.completed_folds}
    odd = [fold for fold, version in on_disk.items() if recorded.get(fold) != version]
    problem = (
        f"{', '.join(odd)} on the disk was not materialized by this Dagster instance. Materialize it to have it "
        "recorded; a finished fold is not trained again."
    )
    return _result(
        RECORDED_CHECK,
        [problem] if odd else [],
        "Each finished fold is the one that Dagster recorded.",
        {"folds_as_recorded": len(on_disk) - len(odd), "folds_otherwise": len(odd)},
        _table(
            ["Fold", "On the disk", "Recorded"],
            [[fold, version[:12], recorded.get(fold, "nothing")[:12]] for fold, version in on_disk.items()],
        ),
    )


def _each_case_once(roots: Roots, summary: CvSummary) -> dg.AssetCheckResult:
    folder = roots.preprocessed / summary.experiment.dataset
    try:
        splits = read_splits(folder)
    except DatasetError as error:
        return _result(ONCE_CHECK, [str(error)], "", {"cases_validated": summary.n_cases})
    if splits is None or not is_splits(splits):
        problem = f"Unknown: there is no split in {folder} to compare with. Materialize splits."
        return _result(ONCE_CHECK, [problem], "", {"cases_validated": summary.n_cases})
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
    return _result(
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
        _table(
            ["Fold", "In the split", "Validated", "Missing", "Foreign"],
            [[fold.fold, fold.n_in_split, fold.n_validated, len(fold.missing), len(fold.foreign)] for fold in folds],
        ),
    )


def _no_absent_label(summary: CvSummary) -> dg.AssetCheckResult:
    absent = summary.absent_labels
    problem = (
        f"{first_offenders(absent)}: in no reference and no prediction, so that no mean counts it. Look at the labels "
        "in dataset.json."
    )
    return _result(
        LABELS_CHECK,
        [problem] if absent else [],
        f"All {len(summary.labels)} labels have a Dice.",
        {"labels": len(summary.labels), "labels_absent": len(absent), "cases": summary.n_cases},
        _table(
            ["Label", "Cases with a Dice", *summary.completed_folds],
            [
                [name, label.dice.pooled.n_defined, *(label.dice.by_fold[f].n_defined for f in summary.completed_folds)]
                for name, label in summary.labels.items()
            ],
        ),
    )


def _no_outlier(summary: CvSummary) -> dg.AssetCheckResult:
    spread = fold_spread(summary)
    if spread is None:
        fine = f"Not looked at: fewer than {MIN_FOLDS} folds have a foreground Dice."
        return _result(OUTLIER_CHECK, [], fine, {"folds": len(summary.completed_folds)})
    problems = [
        f"{fold} has Dice {fixed(spread.dice_by_fold[fold])}, {distance} from the median of the folds, "
        f"{fixed(spread.median)}, and so farther than {limit}."
        for fold in spread.outliers
        for distance, limit in [apart(abs(spread.dice_by_fold[fold] - spread.median), spread.limit)]
    ]
    absent = {fold: names for fold, names in summary.absent_labels_by_fold.items() if fold in spread.outliers}
    problems += [f"Labels that {fold} does not have: {first_offenders(names)}." for fold, names in absent.items()]
    return _result(
        OUTLIER_CHECK,
        problems,
        f"Every fold lies within {fixed(spread.limit)} of the median of the folds, Dice {fixed(spread.median)}.",
        {
            "dice_median": spread.median,
            "scaled_mad": spread.scaled_mad,
            "limit": spread.limit,
            "outliers": len(spread.outliers),
        },
        _table(
            ["Fold", "Dice", "From the median"],
            [[fold, fixed(dice, 4), signed(dice - spread.median, 4)] for fold, dice in spread.dice_by_fold.items()],
        ),
    )


def _not_below_baseline(roots: Roots, summary: CvSummary) -> dg.AssetCheckResult:
    try:
        baseline = read_baseline(baseline_path(roots, summary.experiment))
    except SummaryError as error:
        return _result(BASELINE_CHECK, [str(error)], "", {})
    if baseline is None:
        command = f"`nnunet-assets accept {'/'.join(summary.experiment.key_prefix)}`"
        fine = f"There is no baseline. {command} makes this summary one, with which later ones are compared."
        return _result(BASELINE_CHECK, [], fine, {})
    if waiting := baseline.missing_folds(summary):
        fine = f"Not compared: {', '.join(waiting)} of the baseline is not finished."
        return _result(BASELINE_CHECK, [], fine, {}, **_origin(baseline))
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
    rows = [_compared(score) for score in scores]
    return _result(
        BASELINE_CHECK,
        [*problems, *remark] if problems else [],
        " ".join([f"Not lower than the baseline of {baseline.accepted_at}.", *remark]),
        {"scores_compared": len(scores), "scores_below": len(problems)},
        _table(["Label", "Dice", "Baseline", "Not lower than"], rows),
        **_origin(baseline),
    )


def _compared(score: Score) -> list[str]:
    dice, limit = ("undefined", fixed(score.limit, 4)) if score.dice is None else apart(score.dice, score.limit, 4)
    return [score.name, dice, fixed(score.baseline, 4), limit]


def _origin(baseline: Baseline) -> dict[str, dg.MetadataValue]:
    """Returns whose baseline it is, and of what."""
    return {
        "baseline_accepted": dg.MetadataValue.text(f"{baseline.accepted_at} by {baseline.accepted_by}"),
        "baseline_note": dg.MetadataValue.text(baseline.note or "none"),
        "baseline_of": dg.MetadataValue.text(f"{', '.join(baseline.folds)}: {baseline.n_cases} cases"),
        "baseline_summary_sha256": dg.MetadataValue.text(baseline.summary_sha256),
    }
