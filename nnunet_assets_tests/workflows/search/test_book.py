"""The book of a search."""

from pathlib import Path

import pytest

from nnunet_assets.errors import ConfigError, SearchError
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


def test_as_many_are_to_run_as_are_wanted_and_have_not_ended_for_good(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)  # 4 trials are wanted
    book = begun_book(config, settings, [0.1], [0.2], [], [], [])
    assert book.n_to_run == 4
    book.end(0, "finished", 1)
    book.end(1, "stopped", 1)
    book.end(2, "failed", 0, failure="diverged", problem="")
    assert book.n_to_run == 1
    book.end(3, "failed", 0, failure="killed", problem="")  # which is tried again
    assert book.n_to_run == 1
    for number in (3, 4):
        book.end(number, "finished", 0)
    assert book.n_to_run == 0
    assert [one.number for one in book.counted] == [0, 1, 2, 3, 4]


def test_what_decides_which_trials_are_stopped_may_not_change_under_them(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    on_gpu = config.model_copy(update={"of": config.of.model_copy(update={"device": "cuda"})})
    longer = config.model_copy(update={"budget": config.budget.model_copy(update={"max_epochs": 27})})
    begun_book(config, settings)
    assert Book(longer, settings.roots).record.trials == ()
    begun_book(config, settings, [0.1])
    assert len(Book(on_gpu, settings.roots).record.trials) == 1
    with pytest.raises(ConfigError, match=r"was changed under its 1 trials: max_epochs \(9, now 27\)\. They cannot be"):
        Book(longer, settings.roots)
    for changes in ({"fold": 1}, {"budget": config.budget.model_copy(update={"reduction": 3.0})}):
        with pytest.raises(ConfigError, match="was changed under its 1 trials"):
            Book(config.model_copy(update=changes), settings.roots)


def test_a_search_that_was_not_begun_has_none(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    with pytest.raises(SearchError, match="was not begun"):
        Book(config, settings.roots)
