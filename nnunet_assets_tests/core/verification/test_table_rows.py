"""Tables as rows of cells."""

import pytest

from nnunet_assets.core.verification.table_rows import csv_rows, text_rows

ROWS = [["label", "mean"], ["a, b", "0.5"], ["", "1.5e-05"]]


@pytest.mark.parametrize(
    "text",
    [
        'label,mean\r\n"a, b",0.5\r\n,1.5e-05\r\n',
        '\ufefflabel,mean\n"a, b",0.5\n\n,1.5e-05\n',
        "label;mean\na, b;0,5\n;1,5e-05\n",
        "label\tmean\r\na, b\t0.5\r\n\t1.5e-05",
        "sep=;\r\nlabel;mean\r\na, b;0,5\r\n;1,5e-05\r\n;;\r\n",
        '"label,mean"\r\n"""a, b"",0.5"\r\n",1.5e-05"\r\n',
    ],
)
def test_a_csv_is_the_same_whoever_saved_it_again(text: str) -> None:
    assert csv_rows(text) == ROWS


def test_a_line_end_within_quotes_is_part_of_the_cell() -> None:
    assert csv_rows('a,b\r\n"x\r\ny",1\r\n') == [["a", "b"], ["x\r\ny", "1"]]


def test_what_is_no_csv_is_an_error() -> None:
    with pytest.raises(ValueError, match="no CSV"):
        csv_rows('a,b\n"x,1\n')


def test_a_cell_of_more_than_a_mebibyte_is_none() -> None:
    longest = 2**20 * "x"
    assert csv_rows(f"a,b\n{longest},1\n")[1] == [longest, "1"]
    with pytest.raises(ValueError, match="no CSV: field larger than field limit"):
        csv_rows(f"a,b\n{longest}x,1\n")


def test_rows_of_markdown_and_latex_are_cells_and_other_lines_are_one() -> None:
    assert text_rows("**x**\n\n| a\\|b | 1 |\n- note\n", "md") == [["**x**"], ["a\\|b", "1"], ["- note"]]
    broken = "\\begin{table}%\n \\toprule a\\&b\n  & \\num{1} \\\\ c & \\num{2}\\\\ % 5\n\\bottomrule \\end{table}"
    whole = "\\begin{table}\n\\toprule\na\\&b & \\num{1} \\\\\nc & \\num{2} \\\\\n\\bottomrule\n\\end{table}\n"
    assert text_rows(broken, "tex") == text_rows(whole, "tex")
    assert text_rows("  \\toprule\n  a\\&b & \\num{1} \\\\\n", "tex") == [["\\toprule"], ["a\\&b", "\\num{1}"]]


@pytest.mark.parametrize(
    ("line", "ending"),
    [("| a", "md"), ("a |", "md"), ("| a |", "csv"), ("| a |", "tex"), ("a & b", "tex"), (r"a & b \\", "md")],
)
def test_a_line_that_is_no_row_is_one_cell(line: str, ending: str) -> None:
    assert text_rows(line, ending) == [[line]]
