"""A search as it is read from the disk."""

from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.search.trial_files import write_record
from nnunet_assets.errors import ConfigError
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


def test_trials_of_an_earlier_space_are_shown_with_what_they_varied(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    book = begun_book(config, settings, [0.1], [0.2])  # at 0.01 and 0.02
    write_record(book.folder, replace(book.record, extended=2))
    narrower = config.model_copy(
        update={"space": {"initial_lr": {"log": [1e-3, 1e-1]}, "weight_decay": {"choice": [0]}}}
    )
    report = search_status(settings, narrower)
    assert report.settings == ["initial_lr", "weight_decay", "optimizer_name"]
    assert [one.is_counted for one in report.trials] == [False, False]
    assert report.headline().startswith(
        "0 of 4 trials (none begun); 2 epochs, 0.0056 h. The space was changed 2 times after trials began: 2 of them"
    )
    config = config.model_copy(
        update={"space": {"initial_lr": {"log": [0.015, 1e-1]}, "optimizer_name": {"choice": ["SGD", "AdamW"]}}}
    )
    assert [one.is_counted for one in search_status(settings, config).trials] == [False, True]
    assert "1 of them lies outside of it now" in search_status(settings, config).changes()


def test_trials_of_another_fold_are_not_shown_as_those_of_this_one(tmp_path: Path) -> None:
    _, config, settings = project_with_search(tmp_path)
    begun_book(config, settings, [0.1])
    with pytest.raises(ConfigError, match=r"was changed under its 1 trials: fold \(0, now 1\)"):
        search_status(settings, config.model_copy(update={"fold": 1}))


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
