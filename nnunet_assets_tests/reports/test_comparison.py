import csv
import io
import re
from dataclasses import replace

from nnunet_assets.core.comparison import Comparison, compare
from nnunet_assets.core.contenders import Contender
from nnunet_assets.reports.comparison import (
    difference_records,
    differences_to_csv,
    notes,
    rank_records,
    ranks_to_csv,
    to_markdown,
)
from nnunet_assets_tests.reports.test_tables import NASTY_NAMES

DICES = {f"c{k}": 0.5 + k / 20 for k in range(8)}


def contender(name, shift, labels=("A",)):
    moved = {case: dice + shift * (1 + dice) for case, dice in DICES.items()}
    return Contender(name, "raw", "splits", {"dice": dict.fromkeys(labels, moved)})


def compared() -> Comparison:
    contenders = [contender("one", 0.0), contender("two", 0.01), contender("again", 0.001)]
    return compare("Dataset001_X", contenders, {"late": "its summary is incomplete"}, [frozenset({"one", "again"})])


def parsed(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_the_noise_stands_beside_each_difference():
    first, second = difference_records(compared())
    assert (first["left"], first["right"]) == ("one", "two")
    assert first["Dice, left − right"] in {"-0.0167", "-0.0168"}  # 0.01675
    assert re.fullmatch(r"-0\.01\d\d to -0\.01\d\d", first["95 % interval"])
    assert (first["p (corrected)"], first["effect"], first["cases"]) == ("0.016", "-0.03", "8")
    # Two means 0.0017 apart, t of one degree of freedom: 12.7 * 0.0017.
    assert first["noise between seeds"] == "smaller than the noise between seeds (0.0213)"
    assert (second["left"], second["right"]) == ("two", "again")


def test_ranks_stand_the_best_first():
    assert [(row["rank"], row["experiment"]) for row in rank_records(compared())] == [
        ("1", "two"),
        ("2", "again"),
        ("3", "one"),
    ]
    assert rank_records(compared())[0]["rank in 95 % of halves"] == "1 to 1"
    assert rank_records(compared())[0]["first in"] == "100%"


def test_csv_has_every_number_in_full_and_an_empty_cell_where_it_is_undefined():
    row = parsed(differences_to_csv(compared()))[-1]
    assert (row["level"], row["label"], row["is_within_noise"]) == ("foreground", "foreground mean", "True")
    assert float(row["mean_difference"]) == compared().differences[-1].mean
    assert row["no_p_because"] == ""
    assert len(parsed(ranks_to_csv(compared()))) == 6


def test_what_was_left_out_and_how_it_was_tested_is_said():
    found = notes(compared())
    assert found[0] == "Left out: late: its summary is incomplete"
    assert "Repeats, which differ in their seed alone: one, again." in found
    alone = compare("Dataset001_X", [contender("one", 0.0)], {})
    assert notes(alone) == []
    assert "nothing to compare yet" in to_markdown(alone)


def test_nasty_names_stay_in_their_cells():
    found = compare(
        "Dataset001_X", [contender(name, k / 100, NASTY_NAMES) for k, name in enumerate(NASTY_NAMES[:6])], {}
    )
    lines = [line for line in to_markdown(found).splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) - 1 for line in lines} == {6, 8}
    rows = parsed(differences_to_csv(found))
    assert {row["label"].removeprefix("'") for row in rows} == {*NASTY_NAMES, "foreground mean"}
    texts = [row[column] for row in rows for column in ("left", "right", "label")]
    assert not any(text[:1] in {*"=+-@\t\r\n\0"} for text in texts)


def test_what_all_are_compared_with_is_named_with_the_reason():
    many = replace(compared(), reference="second")
    assert any(
        "compared with one alone, second: the first in the order of the declarations that" in n for n in notes(many)
    )
