"""What Tune is told, and what is noted of what it tells."""

from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.search.trial_files import STOP_FILE
from nnunet_assets.workflows.search import direction as module
from nnunet_assets.workflows.search.book import Book
from nnunet_assets.workflows.search.direction import Direction
from nnunet_assets_tests.search_builders import begun_book, project_with_search


@pytest.fixture(autouse=True)
def _points(monkeypatch: pytest.MonkeyPatch) -> None:
    """Points without Optuna."""

    def point(space: Any, sampler: str, seed: int, trials: Any, curves: Any, **_: Any) -> dict[str, Any]:
        return {"initial_lr": 0.001 * (len(trials) + 1), "optimizer_name": "AdamW"}

    monkeypatch.setattr(module, "next_point", point)


def test_trials_that_were_begun_go_on_before_new_ones_and_those_that_ended_do_not(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    book = begun_book(config, settings, [0.1], [0.2, 0.3], [0.3])
    book.end(0, "stopped", 1)
    book.end(2, "failed", 1, failure="killed", problem="")
    direction = Direction(book)
    assert direction.book.n_to_run == 3
    assert list(direction.ended_before()) == [0]
    begun = [direction.next_trial(name) for name in "abcd"]
    assert [one.number if one else None for one in begun] == [1, 2, 3, None]
    assert [trial.state for trial in book.record.trials] == ["stopped", "begun", "begun", "begun"]
    assert book.record.trials[3].point["initial_lr"] == 0.004
    assert dict(direction.earlier_scores(1)) == {1: 0.2, 2: 0.3}
    assert dict(direction.earlier_scores(3)) == {}


def test_trials_outside_of_the_space_as_it_is_now_count_for_nothing_that_is_owed(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    book = begun_book(config, settings, [0.1], [0.2], [0.3])  # at 0.01, 0.02, 0.03
    book.end(0, "failed", 1, failure="bad_input", problem="")
    book.end(1, "failed", 1, failure="bad_input", problem="")
    # The third is begun, and outside too.
    space = {"initial_lr": {"log": [1e-4, 9e-3]}, "optimizer_name": {"choice": ["SGD", "AdamW"]}}
    direction = Direction(Book(config.model_copy(update={"space": space}), settings.roots))
    assert direction.book.n_to_run == 4
    assert list(direction.ended_before()) == [0, 1, 2]  # all of them are compared
    begun = [direction.next_trial(name) for name in "abcde"]
    assert [one.number if one else None for one in begun] == [3, 4, 5, 6, None]
    direction.completed("a", {"ended": "failed", "failure": "bad_input", "problem": ""}, is_error=False)
    assert direction.stop_reason is None


def test_how_each_trial_ends_is_noted_once(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    book = begun_book(config, settings, [0.1, 0.2], [], [], [])
    direction = Direction(book)
    for name in "abcd":
        direction.next_trial(name)
    direction.stopped("a", {"epochs_trained": 2})
    direction.completed("a", {"epochs_trained": 2}, is_error=False)
    direction.completed("b", {"ended": "finished"}, is_error=False)
    direction.completed("c", {"ended": "failed", "failure": "diverged", "problem": "no number"}, is_error=False)
    direction.completed("d", {"ended": "interrupted"}, is_error=False)
    assert [(one.state, one.n_epochs, one.failure) for one in book.record.trials] == [
        ("stopped", 2, None),
        ("finished", 0, None),
        ("failed", 0, "diverged"),
        ("begun", 0, None),
    ]
    direction.completed("d", None, is_error=True)
    assert book.record.trials[3].failure == "killed"


def test_the_search_stops_when_its_hours_are_over_and_counts_no_epoch_twice(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path, budget="{trials: 4, max_epochs: 9, hours: 0.01}")  # 36 s
    direction = Direction(begun_book(config, settings, [0.1, 0.2]))  # 20 s
    direction.next_trial("a")
    for n_epochs in (1, 2, 3):  # the first two were known
        direction.reported("a", {"epochs_trained": n_epochs, "epoch_seconds": 10.0})
    assert direction.stop_reason is None
    direction.reported("a", {"epochs_trained": 4, "epoch_seconds": 10.0})
    assert direction.stop_reason == "the epochs of all trials have taken 0.011 hours, and budget.hours is 0.01"
    assert direction.next_trial("b") is None
    assert (direction.book.folder / STOP_FILE).is_file()


def test_where_the_first_trials_are_all_given_something_wrong_the_search_ends(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    direction = Direction(begun_book(config, settings, [], [], []))
    for name in "abc":
        direction.next_trial(name)
        assert direction.stop_reason is None
        direction.completed(name, {"ended": "failed", "failure": "bad_input", "problem": "No."}, is_error=False)
    assert direction.stop_reason == "each of the first 3 trials was given something wrong: No."


def test_hours_that_are_over_end_the_search_before_another_trial_begins(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path, budget="{trials: 4, max_epochs: 9, hours: 0.005}")  # 18 s
    direction = Direction(begun_book(config, settings, [0.1, 0.2]))  # 20 s
    assert direction.next_trial("a") is None
    assert direction.stop_reason is not None


def test_trials_that_fail_alike_in_a_row_for_no_reason_of_their_points_end_the_search(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    direction = Direction(begun_book(config, settings, [], [], [], []))
    failures = ("disk_full", "disk_full", "diverged", "disk_full")
    for name, failure in zip("abcd", failures, strict=True):
        direction.next_trial(name)
        direction.completed(name, {"ended": "failed", "failure": failure, "problem": "No."}, is_error=False)
    assert direction.stop_reason is None
    again = Direction(direction.book)
    for name in "abc":
        assert again.stop_reason is None
        again.next_trial(name)
        again.completed(name, None, is_error=True)
    assert again.stop_reason == (
        "3 trials in a row failed for a reason that is not their points' (killed): The process that supervised the "
        "trial ended again and again."
    )


def test_at_its_last_epoch_nobody_stops_a_trial(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    direction = Direction(begun_book(config, settings))
    assert [direction.is_last_epoch({"epochs_trained": n}) for n in (8, 9)] == [False, True]
