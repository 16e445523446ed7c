"""What a fold's process is asked where nobody asks for more than a training."""

from pathlib import Path

from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets_tests.builders import EXPERIMENT, INPUTS, build_attempt


def test_is_to_go_on_with_nothing_that_another_version_began() -> None:
    asked = FoldRequest(EXPERIMENT, "fold_0", {}, "cpu", INPUTS, None)
    assert (asked.options, asked.asked_by, asked.despite_changes) == (TrainingOptions(), None, False)


def test_an_attempt_holds_the_request_and_where_the_fold_lies() -> None:
    attempt = build_attempt(Path("results/fold_0"))
    assert isinstance(attempt, FoldRequest)
    assert (attempt.fold, attempt.fold_folder, attempt.despite_changes) == ("fold_0", Path("results/fold_0"), False)
