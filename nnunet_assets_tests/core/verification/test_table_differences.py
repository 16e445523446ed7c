"""Which cells of a table are not as they should be."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from nnunet_assets.core.verification.table_differences import (
    CellDifference,
    is_same_number,
    line_differences,
    table_differences,
    text_differences,
)

TABLE = [
    ["label", "metric", "mean", "n"],
    ["organ", "dice", "0.8712345678901234", "20"],
    ["organ", "iou", "0.5", "20"],
    ["lesion", "dice", "", "0"],
]

NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.floats(0, 1) | st.integers(0, 10**6)


def changed(row: int, column: int, cell: str) -> list[list[str]]:
    rows = [list(one) for one in TABLE]
    rows[row][column] = cell
    return rows


def test_the_same_table_has_none() -> None:
    assert table_differences(TABLE, TABLE) == []


def test_a_cell_is_named_with_what_is_there_and_what_should_be() -> None:
    (found,) = table_differences(changed(1, 2, "0.8812345678901234"), TABLE)
    assert found == CellDifference("organ, dice, mean", "0.8812345678901234", "0.8712345678901234")
    assert found.sentence() == "organ, dice, mean is 0.8812345678901234, and should be 0.8712345678901234."


def test_a_row_without_a_name_is_told_by_its_number() -> None:
    numbers = [["n", "dice"], ["1", "0.5"], ["2", "0.75"]]
    (found,) = table_differences([*numbers[:2], ["2", "0.25"]], numbers)
    assert found.where == "row 2, dice"


def test_a_changed_name_is_a_cell_too() -> None:
    (found,) = table_differences(changed(3, 0, "lesions"), TABLE)
    assert (found.found, found.expected) == ("lesions", "lesion")


def test_what_is_undefined_is_not_a_number() -> None:
    (found,) = table_differences(changed(3, 2, "0.0"), TABLE)
    assert found.sentence() == "lesion, dice, mean is 0.0, and should be empty."


def test_a_table_that_was_sorted_or_whose_columns_were_moved_says_the_same() -> None:
    moved = [[row[2], row[0], row[3], row[1]] for row in [TABLE[0], TABLE[3], TABLE[2], TABLE[1]]]
    assert table_differences(moved, TABLE) == []


@pytest.mark.parametrize("place", [1, 2, 4])
def test_a_second_row_of_the_same_name_never_hides_behind_the_right_one(place: int) -> None:
    rows = [*TABLE]
    rows.insert(place, ["organ", "dice", "0.99", "20"])
    assert "the row of organ, dice" in [one.where for one in table_differences(rows, TABLE)]


def test_a_second_column_of_the_same_name_and_a_cell_beyond_the_header_are_named() -> None:
    twice = [[row[0], row[1], "mean" if not number else "0.99", *row[2:]] for number, row in enumerate(TABLE)]
    assert [one.where for one in table_differences(twice, TABLE)] == ["column 'mean'"]
    longer = [TABLE[0], [*TABLE[1], "0.99"], *TABLE[2:]]
    (found,) = table_differences(longer, TABLE)
    assert found.found == "organ, dice, 0.8712345678901234, 20, 0.99"


def test_rows_and_columns_that_are_gone_or_were_added_are_named() -> None:
    assert [one.where for one in table_differences(TABLE[:3], TABLE)] == ["the row of lesion, dice"]
    assert [one.where for one in table_differences([*TABLE, ["x", "dice", "1", "1"]], TABLE)] == ["the row of x, dice"]
    assert [one.where for one in table_differences([row[:3] for row in TABLE], TABLE)] == ["column 'n'"]
    extra = [[*row, "more"] for row in TABLE]
    assert table_differences(extra, TABLE)[0].sentence() == "column 'more' should not be there: it says a column."
    assert table_differences([], TABLE)[0].sentence() == "the table is missing; it should be one of 4 rows."


@pytest.mark.parametrize("text", ["0.87", "0.871", "0.87123456789012", "0.87123456789012340", "8.712345678901234e-1"])
def test_a_number_that_was_written_again_or_rounded_is_the_same(text: str) -> None:
    assert table_differences(changed(1, 2, text), TABLE) == []


@pytest.mark.parametrize("text", ["0.9", "0.88", "0.872", "1", "0", "0.8712345678901235", "x", "", "nan"])
def test_any_other_number_is_another(text: str) -> None:
    assert table_differences(changed(1, 2, text), TABLE) != []


@given(NUMBERS, st.data())
def test_no_other_digit_passes_for_the_number(number: float, data: st.DataObject) -> None:
    text = str(number)
    places = [place for place, letter in enumerate(text) if letter.isdigit()]
    place = data.draw(st.sampled_from(places))
    digit = data.draw(st.sampled_from([one for one in "0123456789" if one != text[place]]))
    other = text[:place] + digit + text[place + 1 :]
    assume(float(other) != float(text) or "e" not in text)
    assert not is_same_number(other, text)
    assert is_same_number(text, text)


@given(st.floats(0.001, 1), st.integers(3, 15))
def test_a_rounded_number_passes(number: float, digits: int) -> None:
    assert is_same_number(f"{number:.{digits}f}", repr(number))


def test_lines_differ_by_cell_where_they_have_as_many() -> None:
    expected = [["\\toprule"], ["organ", "\\num{0.871}", "20 of 20"], ["a note of 5 folds"]]
    found = [["\\toprule"], ["organ", "\\num{0.881}", "20 of 20"], ["a note of 4 folds"], ["more"]]
    assert line_differences(expected, expected) == []
    assert [one.sentence() for one in line_differences(found, expected)] == [
        "line 2, organ is \\num{0.881}, and should be \\num{0.871}.",
        "line 3 is a note of 4 folds, and should be a note of 5 folds.",
        "line 4 should not be there: it says more.",
    ]
    (gone,) = line_differences(expected[:2], expected)
    assert gone.sentence() == "line 3 is missing; it should be a note of 5 folds."


def test_what_is_long_is_cut() -> None:
    (found,) = line_differences([["x" * 500]], [["y"]])
    assert len(found.sentence()) < 200


def test_of_a_page_that_was_changed_the_place_is_shown() -> None:
    page = "<p>\n" + "x" * 300 + "Dice 0.871" + "y" * 300 + "\n</p>\n"
    assert list(text_differences(page, page)) == []
    (found,) = text_differences(page.replace("0.871", "0.881"), page)
    assert found.where == "line 2"
    assert found.found == f"{'x' * 32}Dice 0.881{'y' * 38}"
    assert found.expected == f"{'x' * 32}Dice 0.871{'y' * 38}"
    (gone,) = text_differences("<p>\n", "<p>\n</p>\n")
    assert gone.sentence() == "line 2 is missing; it should be </p>."


def test_rows_that_are_named_alike_are_taken_in_their_order() -> None:
    rows = [["name", "n"], ["a", "1"], ["a", "2"], ["b", "3"]]
    assert table_differences(rows, rows) == []
    found = table_differences([rows[0], rows[3], rows[1], ["a", "5"]], rows)
    assert [(one.where, one.found, one.expected) for one in found] == [("a, n", "5", "2")]
    gone = table_differences(rows[:2], rows)
    assert [(one.where, one.found, one.expected) for one in gone] == [
        ("the row of a", None, "a, 2"),
        ("the row of b", None, "b, 3"),
    ]
    more = table_differences([*rows, ["a", "9"], ["c", "4"]], rows)
    assert [(one.where, one.found, one.expected) for one in more] == [
        ("the row of a", "a, 9", None),
        ("the row of c", "c, 4", None),
    ]


def test_blanks_around_a_cell_and_empty_cells_beyond_the_header_are_none() -> None:
    rows = [["name", "n"], [" a ", " 1", "", " "]]
    assert table_differences(rows, [["name", "n"], ["a", "1"]]) == []
    short = table_differences([["name", "n"], ["a"]], [["name", "n"], ["a", "1"]])
    assert [(one.where, one.found, one.expected) for one in short] == [("a, n", "", "1")]


def test_rows_of_numbers_alone_are_named_by_their_place() -> None:
    numbers = [["n", "dice"], ["1", "0.5"], ["2", "0.75"], ["3", ""]]
    assert [one.where for one in table_differences(numbers[:3], numbers)] == ["the row of row 3"]
    assert [one.where for one in table_differences([*numbers, ["4", "1"]], numbers)] == ["the row of row 4"]
    # What is no finite number names a row.
    named = [["n", "dice"], ["nan", "0.5"], ["inf", "0.75"]]
    assert [one.where for one in table_differences([*named[:2], ["inf", "0.5"]], named)] == ["inf, dice"]


@pytest.mark.parametrize(
    ("found", "expected", "is_same"),
    [
        ("1", "1.0", True),
        ("1.0", "1", True),
        ("1e1", "10", True),
        ("0.5", "0.50", True),
        # Two digits, or three decimals, are enough to be a rounded number; halves go up, down or to even.
        ("0.12", "0.1249", True),
        ("0.13", "0.125", True),
        ("0.12", "0.125", True),
        ("0.14", "0.135", True),
        ("0.11", "0.125", False),
        ("0.1", "0.1249", False),
        ("0.001", "0.0012", True),
        ("0.01", "0.0121", False),
        ("12", "12.4", True),
        ("2", "2.4", False),
        ("-0.12", "-0.1249", True),
        ("0.1250", "0.125", True),
        ("0.30000000000000004", "0.3", False),
        ("0.1000000000000000055", "0.1", True),
        ("0.2", "0.3", False),
        ("inf", "inf", False),
        ("nan", "nan", False),
        ("1", "inf", False),
        ("x", "1", False),
        ("1", "x", False),
    ],
)
def test_a_number_is_the_same_as_far_as_it_was_written(found: str, expected: str, is_same: bool) -> None:
    assert is_same_number(found, expected) is is_same


def test_lines_that_came_in_or_went_in_the_middle_are_named_by_where_they_are() -> None:
    lines = [[letter] for letter in "abcdef"]
    (came,) = line_differences([*lines[:2], ["x"], *lines[2:]], lines)
    assert (came.where, came.found, came.expected) == ("line 3", "x", None)
    (went,) = line_differences(lines[:2] + lines[3:], lines)
    assert (went.where, went.found, went.expected) == ("line 3", None, "c")
    two = line_differences([["a"], ["x"], ["y"], ["z"], ["f"]], [["a"], ["b"], ["f"]])
    assert [(one.where, one.found, one.expected) for one in two] == [
        ("line 2", "x", "b"),
        ("line 3", "y", None),
        ("line 4", "z", None),
    ]


def test_a_row_of_other_many_cells_is_one_difference_and_its_first_cell_names_the_others() -> None:
    (found,) = line_differences([["a", "b"]], [["a", "b", "c"]])
    assert (found.where, found.found, found.expected) == ("line 1", "a | b", "a | b | c")
    both = line_differences([["x", "1"]], [["a", "2"]])
    assert [one.where for one in both] == ["line 1", "line 1, x"]


def test_of_a_changed_page_forty_letters_on_either_side_are_shown() -> None:
    pairs = {
        ("short", "shirt"): ("short", "shirt"),
        ("a", "ab"): ("a", "ab"),
        ("x" * 40 + "1", "x" * 40 + "2"): ("x" * 40 + "1", "x" * 40 + "2"),
        ("x" * 41 + "1", "x" * 41 + "2"): ("x" * 40 + "1", "x" * 40 + "2"),
    }
    for texts, shown in pairs.items():
        (found,) = text_differences(*texts)
        assert (found.where, found.found, found.expected) == ("line 1", *shown)
    (came,) = text_differences("a\nb\nc", "a\nc")
    assert (came.where, came.found, came.expected) == ("line 2", "b", None)


@pytest.mark.parametrize(("length", "shown"), [(120, "x" * 120), (121, "x" * 117 + "...")])
def test_a_hundred_and_twenty_letters_are_shown_whole(length: int, shown: str) -> None:
    assert CellDifference("a", "x" * length, "y").sentence() == f"a is {shown}, and should be y."
    assert CellDifference("a", "", "y").sentence() == "a is empty, and should be y."


def test_in_a_long_text_of_lines_alike_the_one_that_differs_is_found() -> None:
    alike = [["same"]] * 250
    assert len(line_differences([*alike, ["one"]], [*alike, ["other"]])) == 1
    same = "same\n" * 250
    (found,) = text_differences(f"{same}one", f"{same}other")
    assert found.where == "line 251"
