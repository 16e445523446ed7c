"""The table of a comparison in all its formats: the same numbers, the best in bold, every name as text."""

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.core.comparison.comparison import compare
from nnunet_assets.errors import ConfigError
from nnunet_assets.reports.figures import style
from nnunet_assets.reports.figures.forest import MAX_PAIRS, draw_forest
from nnunet_assets.reports.tables.comparison_rows import difference_records
from nnunet_assets.reports.tables.comparison_table import to_csv, to_latex, to_markdown, to_parquet, to_records
from nnunet_assets.reports.text.experiment_names import short_names
from nnunet_assets_tests.reports.figures.test_figures import texts
from nnunet_assets_tests.reports.tables.test_summary_tables import NASTY_NAMES, PACKAGES, compile_with_pdflatex

MODEL = "nnUNetTrainer__nnUNetPlans__2d"
DICES = [0.5 + k / 20 for k in range(8)]


def experiment(name: Any, labels: Any) -> Any:
    """Labels to the Dice of eight cases."""
    scores = {label: {f"c{k}": dice for k, dice in enumerate(dices)} for label, dices in labels.items()}
    return ComparedExperiment(name, "raw", "splits", {"dice": scores})


def three(repeats: Any = ()) -> Any:
    """`long` is the best, seed7 is not told from it, the plain one is worse; and it draws a B, which is nowhere."""
    lower, nowhere = [dice - 0.05 for dice in DICES], [None] * 8
    experiments = [
        experiment(MODEL, {"A": lower, "B": [*nowhere[:7], 0.0]}),
        experiment(f"long/{MODEL}", {"A": DICES, "B": nowhere}),
        experiment(f"seed7/{MODEL}", {"A": DICES[:4] + lower[4:], "B": nowhere}),
    ]
    return compare("Dataset001_X", experiments, {"late": "its summary is incomplete"}, repeats)


def nasty() -> Any:
    labels = {name: [dice + n / 1000 for dice in DICES] for n, name in enumerate(NASTY_NAMES)}
    worse = {name: [dice - 0.1 for dice in dices] for name, dices in labels.items()}
    return compare(
        "Dataset_$x^", [experiment(r"\input{a} & _b%", labels), experiment("=1 | *<b>", worse)], {"#": "late"}
    )


def many(n: Any) -> Any:
    return compare("Dataset001_X", [experiment(f"e{k}", {"A": [d + k / 1000 for d in DICES]}) for k in range(n)], {})


def test_a_row_an_experiment_with_mean_spread_and_verdict_by_label() -> None:
    plain, long, seed7 = to_records(three())
    assert list(plain) == [
        "experiment",
        *(f"{column}/{label}" for label in "AB" for column in ("dice_mean_pooled", "dice_sd_pooled", "verdict")),
        *("dice_mean_pooled", "dice_sd_pooled", "verdict"),
    ]
    assert [row["experiment"] for row in (plain, long, seed7)] == [MODEL, f"long/{MODEL}", f"seed7/{MODEL}"]
    assert [row["verdict/A"] for row in (plain, long, seed7)] == ["worse", "best", "not_worse"]
    assert (plain["dice_mean_pooled/A"], long["dice_mean_pooled/A"]) == (pytest.approx(0.625), pytest.approx(0.675))
    assert plain["dice_mean_pooled"] == pytest.approx(0.625 / 2)
    assert (plain["dice_mean_pooled/B"], plain["verdict/B"]) == (0.0, "not_tested")
    assert (seed7["verdict/B"], seed7["dice_mean_pooled/B"]) == (None, None)
    # Declared as repeats of one another, seed7 and the best are not tested.
    assert [row["verdict/A"] for row in to_records(three([frozenset({f"long/{MODEL}", f"seed7/{MODEL}"})]))] == [
        *("worse", "best", "not_tested")
    ]


def test_csv_and_parquet_have_every_number_in_full() -> None:
    import pyarrow.parquet

    rows = list(csv.DictReader(io.StringIO(to_csv(three()), newline="")))
    assert [float(row["dice_sd_pooled"]) for row in rows] == [row["dice_sd_pooled"] for row in to_records(three())]
    assert rows[2]["dice_mean_pooled/B"] == rows[2]["verdict/B"] == ""
    assert pyarrow.parquet.read_table(pyarrow.BufferReader(to_parquet(three()))).to_pylist() == to_records(three())
    bad = io.StringIO(to_csv(nasty()), newline="")
    cells = [cell for row in csv.reader(bad) for cell in row]
    assert len(cells) == 3 * (4 + 3 * len(NASTY_NAMES))
    assert not any(cell[:1] in {*"=+-@\t\r\n\0"} for cell in cells if not re.fullmatch(r"-?[\d.e-]+", cell))


def test_markdown_marks_the_best_and_what_is_not_told_from_it() -> None:
    head, _, plain, long, seed7, *_ = to_markdown(three()).splitlines()
    assert head == "| Experiment | A | B | Foreground mean |"
    assert re.fullmatch(r"\| \(no variant\) \| 0\.625 ± 0\.122 \| 0\.000‡ \| 0\.312 ± 0\.\d+ \|", plain)
    assert long == "| long | **0.675 ± 0.122** | undefined | **0.675 ± 0.122** |"
    assert re.fullmatch(r"\| seed7 \| 0\.\d+ ± 0\.\d+† \| undefined \| 0\.\d+ ± 0\.\d+† \|", seed7)
    repeats = [frozenset({f"long/{MODEL}", f"seed7/{MODEL}"})]
    assert to_markdown(three(repeats)).count("‡ |") == 3
    assert "- ‡: not tested against that: there are fewer than 6 cases, or the two are not" in to_markdown(
        three(repeats)
    )
    assert "- In all experiments: nnUNetTrainer, nnUNetPlans, 2d." in to_markdown(three())
    assert "- Left out of the comparison: late." in to_markdown(three())
    assert "The first 2 of 3 experiments." in to_markdown(three(), max_rows=2)
    rows = [line for line in to_markdown(nasty()).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {len(NASTY_NAMES) + 3}


def test_latex_has_the_numbers_of_the_csv_rounded() -> None:
    rows = list(csv.DictReader(io.StringIO(to_csv(three()), newline="")))
    columns = ("/A", "/B", "")
    wanted = [
        [(f"{float(row[f'dice_mean_pooled{c}']):.3f}", f"{float(row[f'dice_sd_pooled{c}']):.3f}") for c in columns
         if row[f"dice_sd_pooled{c}"]]
        for row in rows
    ]  # fmt: skip
    latex = to_latex(three()).splitlines()
    body = latex[latex.index(r"    \midrule") + 1 : latex.index(r"    \bottomrule")]
    assert [re.findall(r"\\num{([\d.]{5})} \$\\pm\$ \\num{([\d.]{5})}", line) for line in body] == wanted
    assert body[0].count(r"\num{0.000}$^\ddagger$") == 1
    assert body[1].count(r"\textbf{") == 2
    assert body[2].count(r"$^\dagger$") == 2
    bold = [[verdict == "best" for verdict in (row[f"verdict{c}"] for c in columns)] for row in rows]
    assert [[r"\textbf" in cell for cell in line.split(" & ")[1:]] for line in body] == bold


def test_a_caption_and_a_label_are_text_and_a_wrong_label_is_refused() -> None:
    table = to_latex(three(), caption=r"100% \input{x}", label="tab:all")
    assert r"\caption{100\% \textbackslash{}input\{x\}}" in table
    assert r"\label{tab:all}" in table
    with pytest.raises(ConfigError, match="cannot be a LaTeX label"):
        to_latex(three(), label="a}b")


@pytest.mark.parametrize("made", [three, nasty, lambda: many(1)], ids=["plain", "nasty", "nothing to compare"])
@pytest.mark.parametrize("packages", PACKAGES)
def test_pdflatex_sets_the_table_with_booktabs_alone_and_with_siunitx(
    tmp_path: Path, made: Callable[[], Any], packages: Any
) -> None:
    compile_with_pdflatex(tmp_path, to_latex(made()), packages)


def test_fewer_than_two_experiments_are_a_sentence_in_every_format() -> None:
    assert to_csv(many(1)) == "experiment\r\n"
    assert to_markdown(many(1)).startswith("- Fewer than two experiments can be compared")
    assert to_parquet(many(1))
    assert "fewer than two" in texts(draw_forest(many(1)))[0]


@pytest.mark.parametrize(
    ("names", "short", "in_common"),
    [
        ([MODEL, f"long/{MODEL}"], ["(no variant)", "long"], "nnUNetTrainer, nnUNetPlans, 2d"),
        (["s/T__P__2d", "T__P__3d_fullres", "T__P__2d"], ["s 2d", "3d_fullres", "2d"], "T, P"),
        (["s/T__P__2d", "s/T__Q__2d"], ["P", "Q"], "s, T, 2d"),
        ([MODEL], [MODEL], ""),
        (["one", "two"], ["one", "two"], ""),
    ],
)
def test_names_are_cut_to_what_tells_them_apart(names: list[Any], short: list[Any], in_common: str) -> None:
    assert short_names(names) == (dict(zip(names, short, strict=True)), in_common)


def test_the_forest_names_each_pair_with_its_difference_and_interval_and_the_noise_where_it_is_known() -> None:
    shown = texts(draw_forest(three()))
    assert {"(no variant) − long (n = 8)", "(no variant) − seed7 (n = 8)", "long − seed7 (n = 8)"} <= set(shown)
    first = next(one for one in three().differences if one.label is None)
    assert f"{first.mean:+.4f} [{first.interval.low:+.4f}, {first.interval.high:+.4f}]" in shown
    assert not any("noise" in text for text in shown)
    pair = [
        experiment("a", {"A": DICES}),
        experiment("b", {"A": [*DICES[1:], 0.5]}),
        experiment("c", {"A": DICES[::-1]}),
    ]
    noisy = compare("Dataset001_X", pair, {}, [frozenset({"a", "b"})])
    floor = noisy.noise[-1].noise.floor
    assert f"noise between seeds (±{floor:.4f})" in texts(draw_forest(noisy))


ALIKE = [
    "nnUNetTrainer__nnUNetResEncUNetMPlans__3d_fullres",
    "nnUNetTrainer__nnUNetResEncUNetLPlans__3d_fullres",
    "nnUNetTrainer__nnUNetPlans__2d",
    *(f"a_long_training_with_strong_augmentation_seed{k}/nnUNetTrainer__nnUNetPlans__2d" for k in (1, 2)),
]


def test_experiments_whose_names_are_alike_are_told_apart_in_the_figure_and_in_every_table() -> None:
    comparison = compare("Dataset001_X", [experiment(name, {"A": DICES}) for name in ALIKE], {})
    pairs = [text for text in texts(draw_forest(comparison)) if " − " in text and "(n = 8)" in text]
    assert len(set(pairs)) == len(ALIKE) * (len(ALIKE) - 1) // 2
    assert any("UNetMPlans" in pair and "UNetLPlans" in pair for pair in pairs), pairs
    in_markdown = [line.split("|")[1] for line in to_markdown(comparison).splitlines() if line.startswith("|")]
    in_latex = [line.split("&")[0] for line in to_latex(comparison).splitlines() if "0.675" in line]
    assert len(set(in_markdown[2:])) == len(set(in_latex)) == len(ALIKE)


def test_the_forest_has_the_numbers_of_the_table_where_a_difference_is_all_but_the_noise() -> None:
    pair = [
        experiment("a", {"A": DICES}),
        experiment("b", {"A": [*DICES[1:], 0.5]}),
        experiment("c", {"A": DICES[::-1]}),
    ]
    noisy = compare("Dataset001_X", pair, {}, [frozenset({"a", "b"})])
    floor = noisy.noise[-1].noise.floor
    differences = tuple(replace(one, mean=floor - 1e-6, is_within_noise=True) for one in noisy.differences)
    close = replace(noisy, differences=differences)
    shown = texts(draw_forest(close))
    (noise,) = [text for text in shown if "noise" in text]
    difference = difference_records(close)[0]["Dice, left − right"]
    assert any(text.startswith(f"{difference} [") for text in shown)
    assert float(difference) < float(noise.removeprefix("noise between seeds (±").removesuffix(")"))


def test_the_forest_is_the_same_again_and_shows_the_largest_of_many_differences() -> None:
    assert style.svg(draw_forest(three())) == style.svg(draw_forest(three()))
    n_pairs = 11 * 10 // 2
    shown = texts(draw_forest(many(11)))
    assert f"The {MAX_PAIRS} largest of {n_pairs} differences." in shown
    assert any("e0 − e10 " in text for text in shown)
    assert not any("e0 − e1 " in text for text in shown)
