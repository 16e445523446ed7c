"""What a page shows, whoever wrote its markup."""

import pytest

from nnunet_assets.core.verification.page_words import markup_numbers, page_words


@pytest.mark.parametrize(
    "text",
    [
        "<html><style>td {left: 3px}</style><p>Dice <b>0.5</b> &plusmn; 0.1</p><br/></html>",
        "<HTML>\n  <p class='x'>\n Dice\n  <i>0.5</i> ±\n 0.1\n</p>\n<script>var x = 7;</script>\n</HTML>",
        "<svg><metadata>7</metadata><title>8</title><text>Dice 0.5 ± 0.1</text><path d='M 1 2'/></svg>",
    ],
)
def test_tags_and_blanks_do_not_count(text: str) -> None:
    assert page_words(text) == ["Dice", "0.5", "±", "0.1"]


def test_another_number_is_another_page_and_an_end_too_many_hides_nothing() -> None:
    assert page_words("<p>0.5</p>") != page_words("<p>0.6</p>")
    assert page_words("</style><p>0.5</p>") == ["0.5"]


def test_numbers_of_markup_are_numbers_too() -> None:
    assert markup_numbers("<svg width='3.5'><path d='M1 2'/>4</svg>") == ["3.5", "1", "2", "4"]
