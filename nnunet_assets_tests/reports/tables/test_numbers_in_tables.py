"""No table shows a zero with a sign, or no digit of a number that is not zero, whatever the numbers are."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nnunet_assets.core.evaluation.evaluation import Evaluation
from nnunet_assets.core.evaluation.gap import GAP_METRICS, Gap
from nnunet_assets.core.evaluation.label_totals import METRIC_COLUMNS, LabelTotals
from nnunet_assets.core.evaluation.metric_policy import LabelRule, MetricPolicy
from nnunet_assets.core.statistics.estimate import Estimate, Interval
from nnunet_assets.core.summary.fold_means import FoldMeans, Means, summarize_means
from nnunet_assets.core.summary.intervals import with_intervals
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.reports.figures.bland_altman import draw_bland_altman
from nnunet_assets.reports.tables import evaluation_tables, fold_means_tables, gap_tables, summary_tables
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result

NEGATIVE_ZERO = re.compile(r"(?<![\w.])[-−]0(?:\.0*)?(?![\d.e])")

TINY = st.floats(-1e-3, 1e-3)
NUMBERS = st.one_of(TINY, st.floats(-1e-9, 1e-9), st.floats(-500, 500), st.just(-0.0))
SCORES = st.one_of(st.floats(0, 1), st.floats(0, 1e-3), st.none())
FEW = settings(max_examples=40, deadline=None)


def test_what_is_looked_for_is_found() -> None:
    for text in ("-0.000", "| −0.0 |", r"\num{-0.000}", "-0", "-0.0,"):
        assert NEGATIVE_ZERO.search(text), text
    for text in ("-0.001", "0.000", "fold-0.000x1", "-0.0123", "-3.43e-07", "-10.000", "1e-05"):
        assert not NEGATIVE_ZERO.search(text), text


@st.composite
def metrics(draw: st.DrawFn) -> dict[str, float | int | None]:
    found: dict[str, float | int | None] = {name: draw(st.one_of(st.none(), NUMBERS)) for name in METRIC_COLUMNS}
    return {**found, "reference_voxels": 3, "prediction_voxels": 3, "dice": draw(SCORES), "image_diagonal_mm": 50.0}


def texts_of_evaluation(content: dict[str, object]) -> Iterator[str]:
    yield from (evaluation_tables.to_csv(content), evaluation_tables.to_markdown(content))
    yield evaluation_tables.to_latex(content)
    for records in (evaluation_tables.short_records(content), evaluation_tables.interval_records(content)):
        yield from (cell for record in records for cell in record.values())


@FEW
@given(st.lists(metrics(), min_size=1, max_size=8), NUMBERS)
def test_the_tables_of_an_evaluation(cases: Any, low: Any) -> None:
    totals = LabelTotals()
    for found in cases:
        totals.add(found)
    for name in METRIC_COLUMNS:
        totals.set_interval(name, Interval(low, low + 1e-6))
    policy = MetricPolicy({"organ": LabelRule((1,))}, (0, 1))
    evaluation = Evaluation("x", policy, 8, len(cases), ("fold_0",), (), {"organ": totals}, ())
    for text in (*texts_of_evaluation(evaluation.to_json()), evaluation.headline()):
        assert not NEGATIVE_ZERO.search(text), text
    (row,), (numbers,) = (
        evaluation_tables.short_records(evaluation.to_json()),
        evaluation_tables.label_numbers(evaluation.to_json()),
    )
    mean: Any = numbers["dice_mean"]
    assert row["Dice"].startswith("undefined" if mean is None else fixed(mean))
    assert row["cases"] == f"{numbers['dice_n_defined']} of {numbers['n_cases']}"
    (ends,) = evaluation_tables.interval_numbers(evaluation.to_json())
    if numbers["nsd_n_defined"]:
        assert (ends["nsd_ci95_low"], ends["nsd_ci95_high"]) == (low, low + 1e-6)


@FEW
@given(st.dictionaries(st.text("abc", min_size=1, max_size=4), st.tuples(SCORES, SCORES), min_size=1, max_size=7))
@example({"a": (-0.0, None)})
def test_the_tables_of_a_summary(scores: Any) -> None:
    cases = {name: {"A": a, "B": b} for name, (a, b) in scores.items()}
    found = with_intervals(summarize(EXPERIMENT, ["fold_0", "fold_1"], [build_fold_result("fold_0", cases)]), None)
    for text in (
        summary_tables.to_csv(found),
        summary_tables.to_markdown(found),
        summary_tables.to_latex(found),
        found.headline(),
    ):
        assert not NEGATIVE_ZERO.search(text), text
    shown = summary_tables.to_short_records(found)
    pairs: Any = zip(shown, summary_tables.dice_numbers(found), strict=True)
    for row, numbers in pairs:
        mean = numbers["mean_pooled"]
        assert row["Dice, pooled"].startswith("undefined" if mean is None else fixed(mean))
        assert row["cases"] == f"{numbers['n_cases_defined']} of {numbers['n_cases']}"


@FEW
@given(NUMBERS, NUMBERS, st.sampled_from(GAP_METRICS))
@example(0.5, 0.5, "dice")
@example(0.1, 0.10000001, "volume_error_ml")
def test_the_tables_of_a_gap(test: Any, validation: Any, metric: Any) -> None:
    sides = [Estimate(mean, abs(mean), 3, 3, interval=Interval(mean, mean)) for mean in (test, validation)]
    whole = Gap(None, "dice", Estimate(test, None, 1, 1), Estimate(validation, None, 1, 1))
    gaps = [whole, Gap("A", metric, sides[0], sides[1])]
    cells = [cell for record in gap_tables.gap_records(gaps) for cell in record.values()]
    for text in (gap_tables.gaps_to_csv(gaps), gap_tables.gap_headline(gaps), *cells):
        assert not NEGATIVE_ZERO.search(text), text
    pairs: Any = zip(gap_tables.gap_records(gaps), gap_tables.gap_numbers(gaps), strict=True)
    for row, numbers in pairs:
        assert row["test cases"] == f"{numbers['test_n_defined']} of {numbers['test_n']}"
        assert numbers["difference"] == numbers["test_mean"] - numbers["cv_mean"]


@FEW
@given(st.lists(NUMBERS, min_size=1, max_size=3))
def test_the_tables_of_fold_means(means: Any) -> None:
    folds = [FoldMeans(f"fold_{k}", "run", None, {"dice": Means(mean, {"A": mean})}) for k, mean in enumerate(means)]
    found = summarize_means(None, "x", [fold.fold for fold in folds], folds, "no cases")
    for text in (fold_means_tables.to_csv(found), fold_means_tables.to_latex(found), found.headline()):
        assert not NEGATIVE_ZERO.search(text), text


@pytest.mark.parametrize("volume_ml", [3.43e-07, 2.5e-05, 0.0421])
def test_a_small_volume_keeps_its_digits(volume_ml: float) -> None:
    totals = LabelTotals()
    totals.add({**dict.fromkeys(METRIC_COLUMNS), "dice": 0.5, "volume_error_ml": -volume_ml})
    policy = MetricPolicy({"organ": LabelRule((1,))}, (0, 1))
    evaluation = Evaluation("x", policy, 1, 1, ("fold_0",), (), {"organ": totals}, ())
    content = evaluation.to_json()
    shown = evaluation_tables.short_records(content)[0]["Volume error [ml]"]
    assert float(shown) == pytest.approx(-volume_ml, rel=0.005)
    assert rf"\num{{{shown}}}" in evaluation_tables.to_latex(content)
    figure = draw_bland_altman({"organ": [(1.0, 1.0 + volume_ml), (2.0, 2.0 + volume_ml)]})
    (title,) = [axes.get_title() for axes in figure.axes if axes.get_title()]
    bias = re.search(r"bias (\S+) ml", title)
    assert bias is not None
    assert float(bias.group(1)) == pytest.approx(volume_ml, rel=0.005)
