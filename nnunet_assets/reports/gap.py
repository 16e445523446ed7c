"""The gap between cross-validation and test set as tables: CSV for programs, short rows for people."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nnunet_assets.core.evaluation import SHOWN_METRICS, measured_title
from nnunet_assets.core.numbers import signed_text_of
from nnunet_assets.reports.estimates import interval_text, mean_text
from nnunet_assets.reports.rows import FOREGROUND, Row, csv_text, label_cells

if TYPE_CHECKING:
    from nnunet_assets.core.gap import Gap

COLUMNS = (
    *("level", "label", "metric", "difference", "test_mean", "test_ci95_low", "test_ci95_high", "test_sd"),
    *("test_n", "test_n_defined", "cv_mean", "cv_sd", "cv_n", "cv_n_defined"),
)


def gaps_to_csv(gaps: "Sequence[Gap]") -> str:
    """Returns one row a label and metric; an empty cell is undefined."""
    rows: list[Row] = [
        {
            **label_cells(gap.label),
            "metric": gap.metric,
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
        for gap in gaps
    ]
    return csv_text(COLUMNS, rows)


def gap_records(gaps: "Sequence[Gap]") -> list[dict[str, str]]:
    """Returns one row a label and metric that people look at first; metrics that no test case has are left out."""
    return [
        {
            "label": FOREGROUND if gap.label is None else gap.label,
            "metric": measured_title(gap.metric),
            "test": mean_text(gap.test, gap.metric),
            "95 % interval": interval_text(gap.test, gap.metric),
            "cross-validation": mean_text(gap.cross_validation, gap.metric),
            "test − cross-validation": _signed(gap.metric, gap.difference),
            "test cases": f"{gap.test.n_defined} of {gap.test.n}",
            "validation cases": f"{gap.cross_validation.n_defined} of {gap.cross_validation.n}",
        }
        for gap in gaps
        if gap.metric in SHOWN_METRICS and (gap.test.n_defined or gap.metric == "dice")
    ]


def gap_headline(gaps: "Sequence[Gap]") -> str:
    """Returns the foreground Dice in one line: `Dice 0.870 on the test set, 0.912 in the cross-validation (−0.042)`."""
    (dice,) = [gap for gap in gaps if gap.label is None and gap.metric == "dice"]
    difference = "" if dice.difference is None else f" ({_signed(dice.metric, dice.difference)})"
    test, validation = mean_text(dice.test), mean_text(dice.cross_validation)
    return f"Dice {test} on the test set, {validation} in the cross-validation{difference}"


def _signed(metric: str, difference: float | None) -> str:
    return "undefined" if difference is None else signed_text_of(metric, difference).replace("-", "−")
