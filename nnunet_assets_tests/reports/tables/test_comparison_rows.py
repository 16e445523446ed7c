import csv
import io
import re
from dataclasses import replace
from typing import Any

import pytest

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.core.comparison.comparison import Comparison, compare
from nnunet_assets.core.statistics.estimate import Bootstrap, Interval
from nnunet_assets.core.statistics.halves import Halves
from nnunet_assets.core.statistics.scoring import counted, scale_of
from nnunet_assets.core.text.numbers import fixed, signed
from nnunet_assets.reports.tables.comparison_rows import (
    difference_numbers,
    difference_records,
    differences_to_csv,
    halves_text,
    notes,
    rank_numbers,
    rank_records,
    ranks_to_csv,
    to_markdown,
)
from nnunet_assets_tests.reports.tables.test_summary_tables import NASTY_NAMES

DICES = {f"c{k}": 0.5 + k / 20 for k in range(8)}


def experiment(name: Any, shift: Any, labels: Any = ("A",)) -> Any:
    moved = {case: dice + shift * (1 + dice) for case, dice in DICES.items()}
    return ComparedExperiment(name, "raw", "splits", {"dice": dict.fromkeys(labels, moved)})


def compared() -> Comparison:
    experiments = [experiment("one", 0.0), experiment("two", 0.01), experiment("again", 0.001)]
    return compare("Dataset001_X", experiments, {"late": "its summary is incomplete"}, [frozenset({"one", "again"})])


def parsed(text: str) -> Any:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_noise_stands_beside_each_difference() -> None:
    first, second = difference_records(compared())
    assert (first["left"], first["right"]) == ("one", "two")
    assert first["Dice, left − right"] in {"-0.0167", "-0.0168"}  # 0.01675
    assert re.fullmatch(r"-0\.01\d\d to -0\.01\d\d", first["95 % interval"])
    assert (first["p (corrected)"], first["effect"], first["cases"]) == ("0.016", "-0.03", "8")
    # Two means 0.0017 apart, t of one degree of freedom: 12.7 * 0.0017.
    assert first["noise between seeds"] == "smaller than the noise between seeds (0.0213)"
    assert (second["left"], second["right"]) == ("two", "again")


def test_the_exact_numbers_are_those_of_the_row_that_people_read() -> None:
    found = compared()
    ranks: Any = zip(rank_records(found), rank_numbers(found), strict=True)
    for row, numbers in ranks:
        assert (row["rank"], row["Dice, pooled"]) == (str(numbers["rank"]), fixed(numbers["mean_pooled"]))
    pairs: Any = zip(difference_records(found), difference_numbers(found), strict=True)
    for row, numbers in pairs:
        assert row["cases"] == str(numbers["n_cases"])
        assert row["effect"] == signed(numbers["effect"], 2)
        assert float(row["Dice, left − right"]) == pytest.approx(numbers["mean_difference"], abs=1e-4)
        assert float(row["95 % interval"].split()[0]) == pytest.approx(numbers["ci95_low"], abs=1e-4)


def test_ranks_stand_the_best_first() -> None:
    assert [(row["rank"], row["experiment"]) for row in rank_records(compared())] == [
        ("1", "two"),
        ("2", "again"),
        ("3", "one"),
    ]
    assert rank_records(compared())[0]["rank in 95 % of halves"] == "1 to 1"
    assert rank_records(compared())[0]["first in"] == "100%"


def test_csv_has_every_number_in_full_and_an_empty_cell_where_it_is_undefined() -> None:
    row = parsed(differences_to_csv(compared()))[-1]
    assert (row["level"], row["label"], row["is_within_noise"]) == ("foreground", "foreground mean", "True")
    assert float(row["mean_difference"]) == compared().differences[-1].mean
    assert row["no_p_because"] == ""
    assert len(parsed(ranks_to_csv(compared()))) == 6


def test_what_was_left_out_and_how_it_was_tested_is_said() -> None:
    found = notes(compared())
    assert found[0] == "Left out: late: its summary is incomplete"
    assert "Repeats, which differ in their seed alone: one, again." in found
    alone = compare("Dataset001_X", [experiment("one", 0.0)], {})
    assert notes(alone) == []
    assert "nothing to compare yet" in to_markdown(alone)


def test_nasty_names_stay_in_their_cells() -> None:
    found = compare(
        "Dataset001_X", [experiment(name, k / 100, NASTY_NAMES) for k, name in enumerate(NASTY_NAMES[:6])], {}
    )
    lines = [line for line in to_markdown(found).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) - 1 for line in lines} == {6, 8}
    rows = parsed(differences_to_csv(found))
    assert {row["label"].removeprefix("'") for row in rows} == {*NASTY_NAMES, "foreground mean"}
    texts = [row[column] for row in rows for column in ("left", "right", "label")]
    assert not any(text[:1] in {*"=+-@\t\r\n\0"} for text in texts)


def test_what_all_are_compared_with_is_named_with_the_reason() -> None:
    many = replace(compared(), reference="second")
    assert any(
        "compared with one alone, second: the first in the order of the declarations that" in n for n in notes(many)
    )


@pytest.mark.parametrize(
    ("fields", "column", "text"),
    [
        ({"p_corrected": 0.0499}, "p (corrected)", "0.0499"),
        ({"p_corrected": 0.05}, "p (corrected)", "0.050"),
        ({"p_corrected": 0.0499999}, "p (corrected)", "0.0499999"),
        ({"mean": -0.00001}, "Dice, left − right", "0.0000"),
        ({"effect": -0.001}, "effect", "0.00"),
        ({"interval": Interval(-0.00001, 0.02)}, "95 % interval", "-0.00001 to +0.0200"),
        ({"interval": Interval(0.0, 0.02)}, "95 % interval", "0.0000 to +0.0200"),
        (
            {"mean": None, "interval": None, "p": None, "no_p_because": "undefined in one"},
            "p (corrected)",
            "undefined in one",
        ),
    ],
)
def test_no_number_is_rounded_to_the_other_side_of_a_limit_and_zero_has_no_sign(
    fields: dict[str, Any], column: str, text: str
) -> None:
    found = compare("Dataset001_X", [experiment("one", 0.0), experiment("two", 0.01)], {})
    shown = replace(found, differences=tuple(replace(one, **fields) for one in found.differences))
    (record,) = difference_records(shown)
    assert record[column] == text
    assert text.replace("undefined in one", "undefined") in to_markdown(shown).replace("\\", "")


@pytest.mark.parametrize(("mean", "floor"), [(-0.02129, 0.02131), (0.02126, 0.02128), (-0.02132, 0.02131), (0.5, 0.1)])
def test_a_difference_and_the_noise_are_shown_on_their_sides_of_each_other(mean: float, floor: float) -> None:
    found = compared()
    is_within = abs(mean) < floor
    differences = tuple(replace(one, mean=mean, is_within_noise=is_within) for one in found.differences)
    noise = tuple(replace(one, noise=replace(one.noise, floor=floor)) for one in found.noise)
    first = difference_records(replace(found, differences=differences, noise=noise))[0]
    size = float(re.search(r"\(([\d.]+)\)", first["noise between seeds"])[1])
    assert first["noise between seeds"].startswith("smaller" if is_within else "larger")
    assert (abs(float(first["Dice, left − right"])) < size) == is_within


def test_a_comparison_of_an_older_version_says_that_its_differences_are_others() -> None:
    older = replace(compared(), schema=1)
    assert any(note.startswith("An older version made this comparison") for note in notes(older))
    assert not any(note.startswith("Differences: of the pooled means") for note in notes(older))
    assert "not told apart from" in to_markdown(older)


def test_of_a_distance_the_notes_say_what_a_missed_object_counts() -> None:
    moved = {"A": {case: 5 * dice for case, dice in DICES.items()}}
    pair = [ComparedExperiment(name, "raw", "splits", {"hd95_mm": moved}) for name in ("one", "two")]
    found = compare("Dataset001_X", pair, {}, diagonal_mm=123.456)
    assert any("counts 123.456 mm, the diagonal of the largest image." in note for note in notes(found, "hd95_mm"))
    assert rank_records(found, "hd95_mm")[0]["HD95 [mm], missed ones counted, pooled"] == "3.375"


@pytest.mark.parametrize(
    ("metric", "sentences"),
    [
        ("precision", ["drawn where there is none, counts 0.", "A case without it in either mask is left out"]),
        ("sensitivity", ["An object that is missed counts 0.", "A case whose reference does not have it is left out"]),
    ],
)
def test_the_notes_say_of_each_metric_which_failures_count(metric: str, sentences: list[str]) -> None:
    experiments = [ComparedExperiment(name, "raw", "splits", {metric: {"A": DICES}}) for name in ("one", "two")]
    said = " ".join(notes(compare("D", experiments, {}), metric))
    assert all(sentence in said for sentence in sentences)
    # What scoring counts as it is drawn where there is none.
    drawn = {"dice": 0.0, "sensitivity": None, "precision": 0.0}
    assert (counted(metric, drawn, scale_of(metric)) is not None) == ("drawn where there is none, counts 0" in said)


@pytest.mark.parametrize(
    ("share", "text"), [(1.0, "100%"), (0.998, "99.8%"), (0.5, "50%"), (0.0004, "0.04%"), (0, "0%")]
)
def test_a_share_of_first_ranks_is_neither_all_nor_none_where_it_is_not(share: float, text: str) -> None:
    found = compared()
    standings = tuple(replace(one, first_share=share) for one in found.standings)
    assert rank_records(replace(found, standings=standings))[0]["first in"] == text


@pytest.mark.parametrize(
    ("n_patients", "text"), [(8, "all 256 halves of the 8 p"), (15, "all 32768 halves"), (16, "32768 random halves")]
)
def test_halves_are_called_random_only_where_not_all_are_taken(n_patients: int, text: str) -> None:
    halves = Halves([f"p{k}" for k in range(n_patients)])
    drawn = Bootstrap("patient", n_patients, n_resamples=len(halves), seed=1, method="halves")
    assert text in halves_text(drawn)
    assert halves.has_all == halves_text(drawn).startswith("all ")
