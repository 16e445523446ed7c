"""Summaries that become baselines."""

import getpass
import os
import pwd

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.summary.summary_files import baseline_path, read_baseline
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.results.accept import AcceptedSummary, accept_summary
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.workflows.results.exports import EXPERIMENT, FOLDS


def accept(roots: Roots, *, incomplete: bool = False, progress: RecordedProgress | None = None) -> AcceptedSummary:
    return accept_summary(
        roots, EXPERIMENT, FOLDS, incomplete=incomplete, note="why", progress=progress or RecordedProgress()
    )


def test_one_that_lacks_a_fold_is_made_and_not_accepted(finished: Settings) -> None:
    progress = RecordedProgress()

    accepted = accept(finished.roots, progress=progress)

    assert (accepted.missing_folds, accepted.baseline) == (("fold_1",), None)
    assert "is made now: 1 of 2 folds" in progress.said[0]
    assert accepted.file == baseline_path(finished.roots, EXPERIMENT)
    assert not accepted.file.exists()


def test_unless_that_is_asked_for(finished: Settings) -> None:
    accepted = accept(finished.roots, incomplete=True)

    assert accepted.missing_folds == ("fold_1",)
    assert accepted.baseline == read_baseline(accepted.file)
    assert accepted.baseline is not None
    assert (accepted.baseline.folds, accepted.baseline.note) == (("fold_0",), "why")
    assert accepted.baseline.accepted_by == getpass.getuser()


def test_a_complete_one_is_accepted_and_says_who_where_the_user_has_no_name(
    finished: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def nobody(_uid: int) -> None:
        raise KeyError

    monkeypatch.setattr(pwd, "getpwuid", nobody)
    monkeypatch.setattr(os, "getuid", lambda: 1234)
    write_fold(finished.roots, EXPERIMENT, "fold_1", {"c": HIGHER})

    accepted = accept(finished.roots)

    assert accepted.missing_folds == ()
    assert accepted.baseline is not None
    assert accepted.baseline.accepted_by == "uid 1234"
