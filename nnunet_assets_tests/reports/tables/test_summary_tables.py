import csv
import io
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.summary.intervals import with_intervals
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.errors import ConfigError
from nnunet_assets.reports.tables.case_scores import case_records, cases_to_csv, cases_to_parquet
from nnunet_assets.reports.tables.summary_tables import (
    to_csv,
    to_latex,
    to_markdown,
    to_parquet,
    to_records,
    to_short_records,
    to_spread_records,
)
from nnunet_assets.reports.text.escaping import defuse_csv, escape_latex, escape_markdown
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result

DATA = Path(__file__).parents[2] / "data"
"""The tables as they should read, of the three folds below."""

# Labels of cases: A in all, B in a1 alone, `never` in none. Three folds are expected, fold_1 is missing.
FOLD_0 = {"a1": {"A": 0.9, "B": 0.6, "never": None}, "a2": {"A": 0.6, "B": None, "never": None}}
FOLD_2 = {"c1": {"A": 0.3, "B": None, "never": None}}

NASTY_NAMES = (
    "=HYPERLINK(\"http://x\")",
    "+1", "-1", "@SUM(A1)", "\tx", "\rx", "\0x", "  =1", "＝1",
    "a|b", "<img src=x onerror=alert(1)>", "[x](javascript:y)", "a_b*c`d`", "x\ny",
    r"\input{/etc/passwd}", r"\write18{touch hit}", "100% of {x} & $y$ #1 ~ ^", r"\\", "\\end{table}", "[2pt]", "*",
    "a--b ''c'' ``d``", "Größe naïve Łódź čaj İ", "μ-opioid β2 λ Ω ς", "海马体", "\U0001f9e0 \u202e \ufeff",
)  # fmt: skip


def summary_of_three_folds() -> Any:
    folds = [build_fold_result("fold_0", FOLD_0), build_fold_result("fold_2", FOLD_2)]
    return summarize(EXPERIMENT, ["fold_0", "fold_1", "fold_2"], folds)


HOLD_OUT_FORMS: dict[str, Callable[..., str]] = {
    "markdown": to_markdown,
    "latex": to_latex,
    "short": lambda summary: str(to_short_records(summary)),
}


@pytest.mark.parametrize("form", HOLD_OUT_FORMS)
def test_a_hold_out_is_called_one_and_has_nothing_over_folds(form: Any) -> None:
    summary = summarize(EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", FOLD_0)])
    text = HOLD_OUT_FORMS[form](replace(summary, training_only=("t1",)))
    assert "ver folds'" not in text
    assert "Over folds" not in text
    assert "Cross-validation of" not in text
    if form != "short":
        assert "old-out" in text
        assert "The fold trains on 1 case (t1)." in text
    assert "ver folds" in HOLD_OUT_FORMS[form](summary_of_three_folds())


def test_cases_that_only_train_are_named_in_the_notes() -> None:
    text = to_markdown(replace(summary_of_three_folds(), training_only=("t1", "t2")))
    assert r"In training alone: 2 cases (t1, t2); no fold validates them" in text


def summary_of_nasty_names() -> Any:
    cases = {name: dict.fromkeys(NASTY_NAMES, 0.5) for name in NASTY_NAMES}
    return summarize(EXPERIMENT, ["fold_0", "fold_1"], [build_fold_result("fold_0", cases)])


def parsed(text: str) -> Any:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_records_hold_one_row_a_label_and_metric_with_both_estimands_and_their_counts() -> None:
    records = to_records(summary_of_three_folds())
    assert [(row["level"], row["label"], row["metric"]) for row in records] == [
        ("label", "A", "dice"),
        ("label", "A", "iou"),
        ("label", "B", "dice"),
        ("label", "B", "iou"),
        ("label", "never", "dice"),
        ("label", "never", "iou"),
        ("foreground", "foreground mean", "dice"),
        ("foreground", "foreground mean", "iou"),
    ]
    # A: cases 0.9, 0.6, 0.3; fold means 0.75 and 0.3.
    assert records[0] == {
        "level": "label",
        "label": "A",
        "metric": "dice",
        "mean_pooled": pytest.approx(0.6),
        "sd_pooled": pytest.approx(0.3),
        "median_pooled": 0.6,
        "q1_pooled": pytest.approx(0.45),
        "q3_pooled": pytest.approx(0.75),
        "ci95_low_pooled": None,
        "ci95_high_pooled": None,
        "n_cases": 3,
        "n_cases_defined": 3,
        "mean_over_folds": pytest.approx(0.525),
        "sd_over_folds": pytest.approx(0.45 / 2**0.5),
        "n_folds": 2,
        "n_folds_defined": 2,
        "mean_fold_0": pytest.approx(0.75),
        "mean_fold_1": None,
        "mean_fold_2": 0.3,
        "missing_folds": "fold_1",
    }


def test_what_is_undefined_is_an_empty_cell_and_never_0() -> None:
    (row,) = [
        row for row in parsed(to_csv(summary_of_three_folds())) if (row["label"], row["metric"]) == ("never", "dice")
    ]
    assert [row[column] for column in ("mean_pooled", "sd_pooled", "mean_over_folds", "mean_fold_0")] == [""] * 4
    assert (row["n_cases"], row["n_cases_defined"]) == ("3", "0")


def test_numbers_in_csv_read_back_as_the_same_floats() -> None:
    summary = summarize(EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", {"a": {"x": 1 / 3}, "b": {"x": 0.1}})])
    row = parsed(to_csv(summary))[0]
    assert float(row["mean_pooled"]) == summary.labels["x"].dice.pooled.mean
    assert float(row["sd_pooled"]) == summary.labels["x"].dice.pooled.sd
    assert float(parsed(cases_to_csv(summary))[0]["dice"]) == 1 / 3


def test_the_case_table_has_a_row_a_case_and_label() -> None:
    rows = parsed(cases_to_csv(summary_of_three_folds()))
    assert len(rows) == 9
    first = {"fold": "fold_0", "case": "a1", "patient": "", "label": "A", "dice": "0.9", "iou": repr(0.9 / 1.1)}
    assert rows[0] == first
    assert rows[4] == {**first, "case": "a2", "label": "B", "dice": "", "iou": ""}


def test_the_case_table_in_parquet_has_the_same_rows_with_their_types_and_names_as_they_are() -> None:
    import pyarrow.parquet

    summary = replace(summary_of_three_folds(), patients={"a1": "=p", "a2": "=p", "c1": "q"})
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(cases_to_parquet(summary)))
    assert [str(kind) for kind in table.schema.types] == ["string"] * 4 + ["double"] * 2
    assert table.to_pylist() == case_records(summary)
    assert table.to_pylist()[4] == {
        "fold": "fold_0",
        "case": "a2",
        "patient": "=p",
        "label": "B",
        "dice": None,
        "iou": None,
    }


def test_the_table_in_parquet_has_the_rows_of_the_csv_with_their_types_and_names_as_they_are() -> None:
    import pyarrow.parquet

    summary = summary_of_three_folds()
    table = pyarrow.parquet.read_table(pyarrow.BufferReader(to_parquet(summary)))
    assert table.to_pylist() == to_records(summary)
    kinds = {name: str(kind) for name, kind in zip(table.schema.names, table.schema.types, strict=True)}
    # A column of nulls alone has its type, too: no summary without intervals reads differently from one with them.
    assert (kinds["label"], kinds["n_cases"], kinds["ci95_low_pooled"]) == ("string", "int64", "double")
    nasty = pyarrow.parquet.read_table(pyarrow.BufferReader(to_parquet(summary_of_nasty_names())))
    assert set(nasty.column("label").to_pylist()) == {*NASTY_NAMES, "foreground mean"}


def test_an_interval_is_shown_with_what_was_drawn() -> None:
    cases = {f"c{k}": {"A": 0.5 + k / 20} for k in range(8)}
    summary = with_intervals(summarize(EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", cases)]), None)
    interval = summary.foreground.dice.pooled.interval
    (row, _) = to_spread_records(summary)
    assert row == {
        "label": "A",
        "Dice, pooled": "0.675",
        "95 % interval": f"{interval.low:.3f} to {interval.high:.3f}",
        "median [quartiles]": "0.675 [0.587, 0.762]",
    }
    assert (to_records(summary)[0]["ci95_low_pooled"], to_records(summary)[0]["ci95_high_pooled"]) == (
        interval.low,
        interval.high,
    )
    assert "Bayesian bootstrap of 8 cases (9999 resamples)" in to_markdown(summary)


@pytest.mark.parametrize("name", ["=1", "+1", "-1", "@x", "\tx", "\rx", "\nx", "\0x", " =1", "\0=1", "＝1", "＠x"])
def test_a_cell_that_a_spreadsheet_would_run_is_defused(name: str) -> None:
    assert defuse_csv(name) == f"'{name}"


@pytest.mark.parametrize("name", ["", "a=1", "hippocampus_001", "0.5", " x", "'=1"])
def test_other_cells_stay_as_they_are(name: str) -> None:
    assert defuse_csv(name) == name


def test_nasty_names_stay_one_cell_each_in_csv() -> None:
    rows = parsed(cases_to_csv(summary_of_nasty_names()))
    assert len(rows) == len(NASTY_NAMES) ** 2
    assert {row["label"].removeprefix("'") for row in rows} == set(NASTY_NAMES)
    assert not any(cell[:1] in {*"=+-@\t\r\n\0"} for row in rows for cell in row.values() if cell)


def test_markdown_says_estimands_counts_missing_folds_and_what_was_left_out() -> None:
    assert to_markdown(summary_of_three_folds()) == (DATA / "cv_table.md").read_text()


def test_markdown_tables_keep_their_columns_whatever_the_names() -> None:
    lines = to_markdown(summary_of_nasty_names()).splitlines()
    # An escaped pipe is text.
    columns = [len(re.findall(r"(?<!\\)\|", line)) - 1 for line in lines if line.startswith("|")]
    n_rows = len(NASTY_NAMES) + 3
    assert columns == [7] * n_rows + [4] * n_rows + [3] * n_rows


def test_html_links_and_line_ends_in_names_are_text_in_markdown() -> None:
    assert escape_markdown("<b>\n[x](y) a|b") == r"\<b\> \[x\](y) a\|b"


def test_latex_is_a_whole_table_with_estimands_counts_missing_folds_and_what_was_left_out() -> None:
    assert to_latex(summary_of_three_folds(), label="tab:cv_1") == (DATA / "cv_table.tex").read_text()


def latex_numbers(text: str) -> Any:
    """Returns of every tabular of a LaTeX table the numbers of each cell, by the name at the head of its row."""
    tabulars = []
    for tabular in text.split(r"\begin{tabular}")[1:]:
        _, *groups = tabular.split(r"\midrule")
        lines = [line.removesuffix(r" \\") for line in "".join(groups).splitlines() if line.endswith(r" \\")]
        rows = ([cell.strip() for cell in line.split("&")] for line in lines)
        tabulars.append({name: [tuple(re.findall(r"-?\d+\.?\d*", cell)) for cell in cells] for name, *cells in rows})
    return tabulars


def test_numbers_read_back_from_latex_are_those_of_the_csv() -> None:
    summary = with_intervals(
        summarize(
            EXPERIMENT,
            ["fold_0", "fold_1"],
            [
                build_fold_result(f"fold_{k}", {f"c{k}{n}": {"A": n / 7, "B": k / 3 + n / 17} for n in range(4)})
                for k in range(2)
            ],
        ),
        None,
    )
    rows = {(row["label"], row["metric"]): row for row in parsed(to_csv(summary))}

    def numbers(label: Any, metric: str, *columns: Any) -> Any:
        return tuple(f"{float(rows[label, metric][column]):.3f}" for column in columns)

    pooled, over_folds, spreads = latex_numbers(to_latex(summary).replace("Foreground mean", "foreground mean"))
    assert list(pooled) == list(over_folds) == list(spreads) == ["A", "B", "foreground mean"]
    for estimand, found, what in (("pooled", pooled, "cases"), ("over_folds", over_folds, "folds")):
        for label, (dice, iou, count) in found.items():
            assert dice == numbers(label, "dice", f"mean_{estimand}", f"sd_{estimand}")
            assert iou == numbers(label, "iou", f"mean_{estimand}", f"sd_{estimand}")
            assert count == (rows[label, "dice"][f"n_{what}_defined"], rows[label, "dice"][f"n_{what}"])
    for label, (mean, interval, median) in spreads.items():
        assert mean == numbers(label, "dice", "mean_pooled")
        assert interval == numbers(label, "dice", "ci95_low_pooled", "ci95_high_pooled")
        assert median == numbers(label, "dice", "median_pooled", "q1_pooled", "q3_pooled")


def test_a_caption_replaces_the_default_and_its_latex_is_text() -> None:
    table = to_latex(summary_of_three_folds(), caption=r"100% \input{x}")
    assert r"\caption{100\% \textbackslash{}input\{x\}}" in table
    assert r"\label" not in table


@pytest.mark.parametrize("label", ["", "a b", r"a\b", "a}b", "a%b", "a#b", "ä"])
def test_a_label_that_latex_cannot_take_is_refused(label: str) -> None:
    with pytest.raises(ConfigError, match="cannot be a LaTeX label"):
        to_latex(summary_of_three_folds(), label=label)


# Every command and escape that escape_latex may write.
LATEX_WORDS = re.compile(
    r"\\(text[a-z]+|ldots|ss|ae|AE|oe|OE|o|O|l|L|i)\{\}|\$(\\[a-zA-Z]+|\^\\(?:circ|d?dagger)|-)\$|\\[{}%#&$_]|\\[`'^~=.\"uvrcH](?=\{)|\{[\[*]\}"
)


@given(st.text())
def test_escaped_latex_is_ascii_in_which_only_our_own_commands_are_active(text: Any) -> None:
    escaped = escape_latex(text)
    assert escaped.isascii()
    rest = LATEX_WORDS.sub("", escaped)
    # What is left are accents' braces around a letter, and the empty braces between hyphens.
    assert re.sub(r"\{+[A-Za-z]?\}+", "", rest).translate(str.maketrans("", "", "]")).isprintable()
    assert not set(re.sub(r"\{+[A-Za-z]?\}+", "", rest)) & set("\\{}%#&$_~^<>|`[*\n")
    assert "--" not in escaped
    assert "''" not in escaped


@pytest.mark.parametrize(
    ("text", "latex"),
    [
        ("hippocampus_1", r"hippocampus\_1"),
        ("Größe", r"Gr\"{o}\ss{}e"),
        ("β2", r"$\beta$2"),
        ("Ω", r"$\Omega$"),
        ("µ", r"$\mu$"),
        ("海", "{[}U+6D77]"),
        ("a\nb", "a b"),
    ],
)
def test_latex_shows_what_the_text_says(text: str, latex: str) -> None:
    assert escape_latex(text) == latex


PACKAGES = [["booktabs"], ["booktabs", "siunitx"]]


def compile_with_pdflatex(folder: Any, body: str, packages: Any = PACKAGES[0]) -> None:
    pdflatex = shutil.which("pdflatex")
    if pdflatex is None:
        pytest.skip("pdflatex is not installed")
    for package in packages:
        if subprocess.run(["kpsewhich", f"{package}.sty"], check=False, capture_output=True).returncode:
            pytest.skip(f"the LaTeX package {package} is not installed")
    header = "".join(f"\\usepackage{{{package}}}\n" for package in packages)
    document = f"\\documentclass{{article}}\n{header}\\begin{{document}}\n{body}\\end{{document}}\n"
    (folder / "table.tex").write_text(document, encoding="ascii")
    command = [pdflatex, "-no-shell-escape", "-interaction=nonstopmode", "-halt-on-error", "table.tex"]
    result = subprocess.run(command, cwd=folder, check=False, capture_output=True, timeout=120)
    assert result.returncode == 0, result.stdout[-2000:].decode(errors="replace")


def test_the_table_is_no_wider_than_a_line(tmp_path: Path) -> None:
    summary = summarize(
        EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", {f"c{k}": {"A": k / 7} for k in range(7)})]
    )
    compile_with_pdflatex(tmp_path, to_latex(with_intervals(summary, None), caption="Long names wrap."))
    assert "Overfull" not in (tmp_path / "table.log").read_text()


@pytest.mark.parametrize("summary", [summary_of_three_folds(), summary_of_nasty_names()], ids=["plain", "nasty"])
@pytest.mark.parametrize("packages", PACKAGES)
def test_pdflatex_sets_the_table_with_booktabs_alone_and_with_siunitx(
    tmp_path: Path, summary: Any, packages: list[str]
) -> None:
    compile_with_pdflatex(tmp_path, to_latex(summary, label="tab:cv"), packages)
    assert (tmp_path / "table.pdf").is_file()


def test_pdflatex_sets_every_latin_and_greek_letter_and_ascii_sign(tmp_path: Path) -> None:
    characters = [*range(0x20, 0x530), *range(0x1E00, 0x2200)]
    compile_with_pdflatex(tmp_path, "\n\n".join(escape_latex(chr(code)) for code in characters))


def test_a_title_that_a_user_chose_is_escaped_everywhere() -> None:
    summary = replace(summary_of_three_folds(), experiment=replace(EXPERIMENT, variant="a_b"))
    assert r"a\_b" in to_latex(summary)
    assert r"a\_b" in to_markdown(summary)
