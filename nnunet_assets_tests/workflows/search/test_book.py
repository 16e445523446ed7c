"""The book of a search."""

from pathlib import Path

import pytest

from nnunet_assets.errors import SearchError
from nnunet_assets.workflows.search.book import Book
from nnunet_assets_tests.search_builders import begun_book, project_with_search


def test_what_is_noted_is_on_the_disk(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    book = begun_book(config, settings, [0.1, 0.2], [0.3])
    book.end(1, "stopped", 1)
    book.end(0, "failed", 2, failure="killed", problem="gone")
    again = Book(config, settings.roots)
    assert again.record == book.record
    assert [(one.number, one.state, one.n_epochs, one.failure) for one in again.record.trials] == [
        (0, "failed", 2, "killed"),
        (1, "stopped", 1, None),
    ]
    book.begin_again(0)
    assert Book(config, settings.roots).record.trials[0].state == "begun"
    assert {number: curve.n_epochs for number, curve in again.curves().items()} == {0: 2, 1: 1}


def test_a_search_that_was_not_begun_has_none(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    with pytest.raises(SearchError, match="was not begun"):
        Book(config, settings.roots)
