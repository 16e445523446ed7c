"""Tables at the widths of terminals."""

import io
import itertools

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from nnunet_assets.cli.tables import print_table, with_letters

WIDTHS = (60, 80, 120)
PARTS = st.sampled_from(
    ["nnUNet", "Trainer", "Plans", "ResEncUNet", "M", "L", "_", "__", "3d_fullres", "2d", "seed", "1"]
)
NAMES = st.lists(PARTS, min_size=1, max_size=14).map("".join)
CELLS = st.text(st.characters(codec="ascii", exclude_categories=["C"]), max_size=70)


def printed(rows: list[dict[str, str]], names: list[str], width: int, encoding: str = "utf-8") -> list[str]:
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    print_table(Console(file=file, width=width, highlight=False, markup=False), rows, names)
    file.flush()
    assert isinstance(file.buffer, io.BytesIO)
    return file.buffer.getvalue().decode(encoding).splitlines()


def first_cells(lines: list[str]) -> list[str]:
    """What stands in the first column of the first block, a name a line."""
    return [cell for line in first_body(lines) if (cell := line.split("│")[1].strip())]


def first_body(lines: list[str]) -> list[str]:
    below_head = itertools.dropwhile(lambda line: not line.startswith("┡"), lines)
    return [*itertools.takewhile(lambda line: not line.startswith("└"), below_head)][1:]


@hypothesis_settings(database=None, deadline=None, max_examples=60)
@given(st.lists(NAMES, min_size=1, max_size=6, unique=True), st.sampled_from(WIDTHS), st.data())
def test_names_that_differ_are_different_in_lines_that_fit(names: list[str], width: int, data: st.DataObject) -> None:
    columns = data.draw(st.lists(st.text("abcdef ", min_size=1, max_size=40), max_size=6, unique=True))
    rows = [{"experiment": name, **{f"c{column}": data.draw(CELLS) for column in columns}} for name in names]

    lines = printed(rows, ["experiment"], width)

    assert all(cell_len(line) <= width for line in lines)
    assert len(set(first_cells(lines))) == len(names)


@hypothesis_settings(database=None, deadline=None, max_examples=40)
@given(st.lists(NAMES, min_size=2, max_size=5, unique=True), st.sampled_from(WIDTHS))
def test_pairs_of_names_are_different_in_lines_that_fit(names: list[str], width: int) -> None:
    pairs = list(itertools.combinations(names, 2))
    rows = [
        {"left": left, "right": right, "difference": "+0.0123", "interval": "-0.01 to 0.02"} for left, right in pairs
    ]

    lines = printed(rows, ["left", "right"], width)

    assert all(cell_len(line) <= width for line in lines)
    shown = [tuple(line.split("│")[1:3]) for line in first_body(lines)]
    assert len(set(shown)) == len(pairs)


ROWS = [
    {
        "experiment": f"nnUNetTrainer__nnUNetResEncUNet{size}Plans__3d_fullres",
        "Dice, pooled": "0.871",
        "cases at the worst value": "2",
        "why": "since nothing else was there to see",
    }
    for size in "ML"
]


@pytest.mark.parametrize("width", WIDTHS)
def test_what_differs_between_experiments_is_seen(width: int) -> None:
    first, second = first_cells(printed(ROWS, ["experiment"], width))
    assert ("UNetMPlans" in first, "UNetLPlans" in second) == (True, True)


def test_columns_without_room_go_on_below_with_the_names_again() -> None:
    def blocks(width: int) -> list[str]:
        return "\n".join(printed(ROWS, ["experiment"], width)).split("└")[:-1]

    first, second = blocks(60)
    assert ("0.871" in first, "since nothing" in first) == (True, False)
    assert ("0.871" in second, "since nothing" in second) == (False, True)
    assert ("UNetMPlans" in first, "UNetMPlans" in second) == (True, True)
    (whole,) = blocks(200)
    assert ROWS[0]["experiment"] in whole


def test_no_cell_but_a_name_is_cut() -> None:
    rows = [{"label": "organ", "remark": "a-word-without-a-gap-" * 6}]
    text = "".join(line.split("│")[2].strip() for line in printed(rows, ["label"], 60) if line.startswith("│"))
    assert text == rows[0]["remark"]


def test_a_terminal_without_unicode_gets_names_cut_by_another_sign() -> None:
    text = "\n".join(printed(ROWS, ["experiment"], 60, "ascii"))
    assert "UNetMPlans" in text
    assert "~" in text


PAIRS = [{"left": ROWS[0]["experiment"], "right": ROWS[1]["experiment"], "difference": "+0.01", "cases": "40"}]


def test_letters_stand_for_the_names_of_a_pair_where_these_have_no_room() -> None:
    narrow, wide = (Console(file=io.StringIO(), width=width) for width in (80, 200))

    rows, letters = with_letters(narrow, PAIRS, ("left", "right"))
    assert rows == [{"left − right": "A − B", "difference": "+0.01", "cases": "40"}]
    assert letters == {"A": ROWS[0]["experiment"], "B": ROWS[1]["experiment"]}

    rows, letters = with_letters(wide, PAIRS, ("left", "right"))
    assert rows[0]["left − right"] == f"{ROWS[0]['experiment']} − {ROWS[1]['experiment']}"
    assert letters == {}
    assert with_letters(wide, [], ("left", "right")) == ([], {})


def test_there_are_letters_for_any_number_of_names() -> None:
    rows = [{"left": f"{'x' * 80}{k}", "right": f"{'x' * 80}{k + 1}"} for k in range(100)]
    letters = [*with_letters(Console(file=io.StringIO(), width=80), rows, ("left", "right"))[1]]
    assert len(letters) == 101
    assert letters[25:28] == ["Z", "AA", "AB"]
