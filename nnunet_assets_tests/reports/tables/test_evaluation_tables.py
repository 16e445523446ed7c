"""What labels come to as CSV, Markdown and LaTeX: numbers worked by hand, and names that nobody may run."""

import csv
import io
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.evaluation.evaluation import Evaluation
from nnunet_assets.core.evaluation.evaluation_intervals import add_intervals
from nnunet_assets.core.evaluation.label_totals import METRIC_COLUMNS, LabelTotals
from nnunet_assets.core.evaluation.metric_policy import LabelRule, MetricPolicy
from nnunet_assets.reports.tables.evaluation_tables import (
    interval_records,
    notes,
    to_csv,
    to_latex,
    to_markdown,
    write_label_tables,
)
from nnunet_assets_tests.reports.tables.test_summary_tables import NASTY_NAMES, PACKAGES, compile_with_pdflatex

POLICY = MetricPolicy({"organ": LabelRule((1,), 1.5), "lesion": LabelRule((2,))}, (0, 1, 2))


def evaluation(n_cases: int = 6, policy: MetricPolicy = POLICY) -> Evaluation:
    """Every label scores 0.5 in Dice; HD95 is 2 mm in all cases but the first, which misses it."""
    labels = {name: LabelTotals() for name in policy.labels}
    for k in range(n_cases):
        for totals in labels.values():
            voxels = {"reference_voxels": 10, "prediction_voxels": 10}
            totals.add({**dict.fromkeys(METRIC_COLUMNS), **voxels, "dice": 0.5, "hd95_mm": 2.0 if k else None})
    drawn = add_intervals(labels, [f"c{k}" for k in range(n_cases)], None)
    return Evaluation("the model", policy, 8, n_cases, ("fold_0",), ("fold_1",), labels, (), drawn)


def rows(content: Mapping[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(to_csv(content), newline="")))


def test_csv_has_a_row_a_label_and_metric_and_empty_cells_for_what_is_undefined() -> None:
    found = rows(evaluation().to_json())
    metrics = ["dice", "hd95_mm", "reference_voxels", "prediction_voxels"]
    assert [(row["label"], row["metric"]) for row in found[:4]] == [("organ", metric) for metric in metrics]
    assert list(found[0].values())[:7] == ["organ", "dice", "0.5", "0.0", *["0.5"] * 3]
    assert float(found[0]["ci95_low"]) < 0.5 < float(found[0]["ci95_high"])
    assert (found[0]["n_cases"], found[0]["n_cases_defined"]) == ("6", "6")
    # Five cases with an HD95 are too few for an interval.
    assert list(found[1].values())[:11] == ["organ", "hd95_mm", "2.0", "0.0", *["2.0"] * 3, "", "", "6", "5"]


def test_intervals_are_a_short_table_of_their_own_where_there_is_one() -> None:
    interval = evaluation().labels["lesion"].estimate("dice").interval
    assert interval_records(evaluation().to_json())[1] == {
        "label": "lesion",
        "Dice": f"{interval.low:.3f} to {interval.high:.3f}",
        "IoU": "none",
        "HD95 [mm], where both have it": "none",
        "ASSD [mm], where both have it": "none",
        "NSD": "none",
        "Volume error [ml]": "none",
    }
    assert interval_records(evaluation(5).to_json()) == []


def test_notes_say_tolerances_and_what_was_drawn() -> None:
    _, tolerances, surfaces, drawn, unknown = notes(evaluation().to_json())
    assert tolerances == "NSD at a tolerance of 1.5 mm (organ), 2 mm (lesion)."
    assert "between the centres of surface voxels" in surfaces
    assert "Bayesian bootstrap of 6 cases (9999 resamples)" in drawn
    assert "one set of 6 in 20 does not hold a failure that befalls 39 % of all cases." in unknown


def test_markdown_and_latex_have_a_row_a_label_and_shown_metric() -> None:
    markdown, latex = to_markdown(evaluation(7).to_json()), to_latex(evaluation(7).to_json())
    assert "**the model**: 7 of 8 cases (fold\\_1 missing)." in markdown
    interval = evaluation(7).labels["organ"].estimate("dice").interval
    low, high = f"{interval.low:.3f}", f"{interval.high:.3f}"
    assert f"| organ | Dice | 0.500 ± 0.000 | {low} to {high} | 0.500 \\[0.500, 0.500\\] | 7 of 7 |" in markdown
    cells = rf"\num{{0.500}} $\pm$ \num{{0.000}} & \num{{{low}}} to \num{{{high}}} & 7 of 7 \\"
    assert rf"    organ & Dice & {cells}" in latex
    assert r"     & HD95 {[}mm], where both have it & \num{2.000} $\pm$ \num{0.000} & none & 6 of 7 \\" in latex
    assert r"    lesion & Dice" in latex
    assert latex.count(r"\midrule") == 2  # one before each label


def test_files_are_removed_where_the_folds_must_not_be_taken_together(tmp_path: Path) -> None:
    write_label_tables(evaluation().to_json(), tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"labels.csv", "labels.md", "labels.tex"}
    apart = replace(evaluation(), labels=None, bootstrap=None).to_json()
    write_label_tables(apart, tmp_path)
    assert list(tmp_path.iterdir()) == []
    assert notes(apart) == []


def nasty() -> Mapping[str, Any]:
    return evaluation(policy=MetricPolicy({name: LabelRule((1,)) for name in NASTY_NAMES[:12]}, (0, 1))).to_json()


def test_csv_runs_no_name() -> None:
    assert not any(row["label"][:1] in {*"=+-@\t\r\n\0"} for row in rows(nasty()))


@pytest.mark.parametrize("content", [evaluation().to_json(), nasty()], ids=["plain", "nasty"])
@pytest.mark.parametrize("packages", PACKAGES)
def test_pdflatex_sets_the_table_with_booktabs_alone_and_with_siunitx(
    tmp_path: Path, content: Mapping[str, Any], packages: list[str]
) -> None:
    compile_with_pdflatex(tmp_path, to_latex(content), packages)
    assert (tmp_path / "table.pdf").is_file()
