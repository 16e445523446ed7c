"""A search as it is read from the disk."""

from pathlib import Path

from nnunet_assets.workflows.search.status import search_status
from nnunet_assets_tests.search_builders import begun_book, finish, project_with_search


def test_trials_have_their_curves_and_those_that_were_validated_their_dice(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    book = begun_book(config, settings, [0.1, 0.2], [0.4] * 9)
    book.end(0, "stopped", 2)
    finish(config, settings, 1, dice=0.75)
    book.end(1, "finished", 9)
    report = search_status(settings, config)
    assert [(one.name, one.score, one.dice) for one in report.trials] == [("lr_000", 0.2, None), ("lr_001", 0.4, 0.75)]
    assert (report.n_wanted, report.max_epochs, list(report.stopped_at)) == (4, 9, [2, 4, 8])
    assert list(report.settings) == ["initial_lr", "optimizer_name"]


def test_a_search_that_was_not_begun_has_no_trials(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    assert search_status(settings, config).trials == []


def test_of_a_trial_whose_scores_cannot_be_read_no_dice_is_said(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    book = begun_book(config, settings, [0.1])
    finish(config, settings, 0)
    (book.fold_folder(0) / "validation" / "summary.json").write_text("[")
    (report,) = search_status(settings, config).trials
    assert (report.score, report.dice) == (0.1, None)
