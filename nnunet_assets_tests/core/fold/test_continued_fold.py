from pathlib import Path

import pytest

from nnunet_assets.core.fold.continued_fold import ContinuedFold, continues_other

FOLD = ContinuedFold("Dataset001_A / short / x, fold_0", "short", Path("/secret/fold_0"), "abc", 7, "settings")


def test_what_is_recorded_says_what_was_continued_and_not_where_it_lies() -> None:
    assert FOLD.described == {
        "experiment": "Dataset001_A / short / x, fold_0",
        "variant": "short",
        "checkpoint_sha256": "abc",
        "n_epochs": 7,
    }
    assert FOLD.checkpoint == Path("/secret/fold_0/checkpoint_final.pth")


@pytest.mark.parametrize(
    ("recorded", "now", "is_same"),
    [
        (None, None, True),
        (FOLD.described, FOLD, True),
        (FOLD.described, None, False),
        (None, FOLD, False),
        ({**FOLD.described, "checkpoint_sha256": "def"}, FOLD, False),
        ({**FOLD.described, "experiment": "renamed"}, FOLD, True),
    ],
)
def test_its_checkpoint_alone_names_what_is_continued(
    recorded: dict[str, object] | None, now: ContinuedFold | None, is_same: bool
) -> None:
    assert continues_other(recorded, now) == ([] if is_same else ["the fold that it continues"])
