"""The gap between cross-validation and test set as tables: CSV for programs, short rows for people.

Where one fold alone is declared it is the gap to a hold-out, and is called so.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nnunet_assets.core.evaluation.evaluation import SHOWN_METRICS, counted_title, measured_title
from nnunet_assets.core.splits.splits import CROSS_VALIDATION, HOLD_OUT
from nnunet_assets.core.statistics.scoring import COUNTED, WHERE_BOTH
from nnunet_assets.core.summary.summary_rows import FOREGROUND, Row, label_cells
from nnunet_assets.core.text.numbers import signed_text_of
from nnunet_assets.reports.text.estimates import interval_text, mean_text
from nnunet_assets.reports.text.rows import csv_text

if TYPE_CHECKING:
    from nnunet_assets.core.evaluation.gap import Gap

COLUMNS = (
    *("level", "label", "metric", "difference", "test_mean", "test_ci95_low", "test_ci95_high", "test_sd"),
    *("test_n", "test_n_defined", "cv_mean", "cv_sd", "cv_n", "cv_n_defined"),
    *("difference_missed_counted", "test_mean_missed_counted", "test_n_missed_counted"),
    *("cv_mean_missed_counted", "cv_n_missed_counted"),
)
"""The last five as in `evaluation_tables.COLUMNS`: empty where a missed object is defined anyway."""


def gaps_to_csv(gaps: "Sequence[Gap]") -> str:
    """Returns one row a label and metric; an empty cell is undefined."""
    rows: list[Row] = [
        {
            **label_cells(gap.label),
            "metric": gap.metric,
            **_numbers(gap),
            **_with_missed(gap.with_missed),
        }
        for gap in gaps
    ]
    return csv_text(COLUMNS, rows)


def _numbers(gap: "Gap") -> Row:
    return {
        "difference": gap.difference,
        "test_mean": gap.test.mean,
        "test_ci95_low": gap.test.interval.low if gap.test.interval else None,
        "test_ci95_high": gap.test.interval.high if gap.test.interval else None,
        "test_sd": gap.test.sd,
        "test_n": gap.test.n,
        "test_n_defined": gap.test.n_defined,
        "cv_mean": gap.cross_validation.mean,
        "cv_sd": gap.cross_validation.sd,
        "cv_n": gap.cross_validation.n,
        "cv_n_defined": gap.cross_validation.n_defined,
    }


def _with_missed(gap: "Gap | None") -> Row:
    return {
        "difference_missed_counted": gap.difference if gap else None,
        "test_mean_missed_counted": gap.test.mean if gap else None,
        "test_n_missed_counted": gap.test.n_defined if gap else None,
        "cv_mean_missed_counted": gap.cross_validation.mean if gap else None,
        "cv_n_missed_counted": gap.cross_validation.n_defined if gap else None,
    }


def what_of(folds: Sequence[str]) -> str:
    """Returns what these expected folds are: `cross-validation`, or `hold-out`."""
    return HOLD_OUT if len(folds) == 1 else CROSS_VALIDATION


def gap_records(gaps: "Sequence[Gap]", what: str = CROSS_VALIDATION) -> list[dict[str, str]]:
    """Returns one row a label and metric that people look at first; metrics that no test case has are left out.

    Where an object was missed, the gap of the means that count it follows.

    Args:
        gaps: As found.
        what: The test set is compared with: `what_of`.
    """
    return [
        {
            "label": FOREGROUND if gap.label is None else gap.label,
            "metric": title,
            "test": mean_text(gap.test, gap.metric),
            "95 % interval": interval_text(gap.test, gap.metric),
            what: mean_text(gap.cross_validation, gap.metric),
            f"test − {what}": _signed(gap.metric, gap.difference),
            "test cases": f"{gap.test.n_defined} of {gap.test.n}",
            "validation cases": f"{gap.cross_validation.n_defined} of {gap.cross_validation.n}",
        }
        for title, gap in _shown(gaps)
    ]


def gap_numbers(gaps: "Sequence[Gap]") -> list[Row]:
    """Returns the numbers of each row of `gap_records` with full precision, named as in the CSV."""
    return [_numbers(gap) for _, gap in _shown(gaps)]


def _shown(gaps: "Sequence[Gap]") -> "Iterator[tuple[str, Gap]]":
    for gap in gaps:
        if gap.metric not in SHOWN_METRICS:
            continue
        if gap.test.n_defined or gap.metric == "dice":
            yield measured_title(gap.metric), gap
        if gap.with_missed and gap.has_failures:
            yield counted_title(gap.metric), gap.with_missed


def gap_notes(gaps: "Sequence[Gap]", what: str = CROSS_VALIDATION) -> list[str]:
    """Returns what a reader of the rows must know: who predicted what, and what a missed object counts."""
    predicted = (
        "Test cases and validation cases are predicted by the same model, which has seen neither."
        if what == HOLD_OUT
        else "A test case is predicted by all folds together, a validation case by the one fold that has not seen it."
    )
    sentences = [
        f"{predicted} The interval is that of the test mean, each test case taken for a patient of its own; how sure "
        f"the mean of the {what} is, is not in it."
    ]
    if any(gap.has_failures and gap.metric in SHOWN_METRICS for gap in gaps):
        sentences.append(
            f"HD95 and ASSD, {WHERE_BOTH}: on each side over the cases in which reference and prediction hold the "
            f"label. {COUNTED.capitalize()}: on both sides one that is in the reference or in the prediction alone "
            "counts the diagonal of the largest image of both; these means have no interval."
        )
    return sentences


def gap_headline(gaps: "Sequence[Gap]", what: str = CROSS_VALIDATION) -> str:
    """Returns the foreground Dice in one line: `Dice 0.870 on the test set, 0.912 in the cross-validation (−0.042)`."""
    (dice,) = [gap for gap in gaps if gap.label is None and gap.metric == "dice"]
    difference = "" if dice.difference is None else f" ({_signed(dice.metric, dice.difference)})"
    test, validation = mean_text(dice.test), mean_text(dice.cross_validation)
    return f"Dice {test} on the test set, {validation} in the {what}{difference}"


def _signed(metric: str, difference: float | None) -> str:
    return "undefined" if difference is None else signed_text_of(metric, difference).replace("-", "−")
