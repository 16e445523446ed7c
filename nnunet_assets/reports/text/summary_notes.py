"""What a reader of a summary's tables must know: folds, estimands, undefined scores, intervals, labels left out."""

from nnunet_assets.core.splits.splits import training_only_sentence
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.reports.text.interval_notes import interval_notes


def notes(summary: ScoredSummary) -> list[str]:
    """Returns the notes in the order to show them, each a sentence or two."""
    sentences = [
        f"{summary.progress}, {summary.n_cases} cases.",
        *coverage_notes(summary),
        "Pooled: mean ± SD over all validation cases of the finished folds.",
        *([] if summary.is_hold_out else ["Over folds: mean ± SD of the fold means."]),
        "SD has n − 1 in its denominator and is left out where fewer than two values are defined.",
        "Cases, Folds: in how many of all the score is defined. It is undefined where reference and prediction are "
        "both empty, and 0 where one of them is.",
        "Foreground mean: the mean of the label means; its SD, quartiles and counts are those of the cases' (pooled)"
        + (" foreground means." if summary.is_hold_out else " and of the folds' foreground means (over folds)."),
    ]
    if summary.bootstrap:
        sentences += interval_notes(summary.bootstrap)
    if summary.absent_labels:
        absent = ", ".join(summary.absent_labels)
        sentences.append(f"In no reference and no prediction, so left out of the foreground mean: {absent}.")
    sentences += [
        f"In no case of {fold}, so left out of its foreground mean: {', '.join(names)}."
        for fold, names in summary.absent_labels_by_fold.items()
    ]
    return sentences


def coverage_notes(summary: ScoredSummary) -> list[str]:
    """Returns what the scores are of, where that is not each case of the split."""
    notes = []
    if summary.is_hold_out:
        notes.append(
            "A hold-out: one model, and the cases that it was not trained on. There is no spread over folds, and no "
            "cross-validation."
        )
    if summary.training_only:
        notes.append(training_only_sentence(summary.training_only, len(summary.expected_folds)))
    return notes
