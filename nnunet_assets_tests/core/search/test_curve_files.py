"""Curves of trials, and which is the better one."""

from pathlib import Path

import pytest

from nnunet_assets.core.fold.journal import Record, append_record, journal_path
from nnunet_assets.core.search.curve_files import Curve, CurveReader, best_first


def epoch(number: int, score: float | None, seconds: float | None = 2.0, time_ms: int = 0) -> Record:
    return Record("epoch", time_ms, number, {"pseudo_dice_ema": score, "epoch_seconds": seconds})


def test_a_curve_counts_epochs_from_one_and_leaves_out_what_is_undefined() -> None:
    start = Record("start", 0, None, {})
    curve = Curve.of([start, epoch(0, None), epoch(1, 0.25), epoch(2, 0.5, None)])
    assert (dict(curve.scores), curve.n_epochs, curve.seconds) == ({2: 0.25, 3: 0.5}, 3, 4.0)
    assert curve.last == (3, 0.5)


def test_of_an_epoch_that_was_trained_again_the_last_values_count() -> None:
    curve = Curve.of([epoch(0, 0.1), epoch(1, 0.2, 5.0), epoch(1, 0.3, 7.0)])
    assert (curve.scores[2], curve.n_epochs, curve.seconds) == (0.3, 2, 9.0)


def test_no_epoch_is_an_empty_curve() -> None:
    assert Curve.of([]) == Curve()
    assert Curve().last is None


def test_a_reader_reads_a_journal_again_only_where_it_was_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read, whole = list[Path](), Curve.read

    def noted(folder: Path) -> Curve:
        read.append(folder)
        return whole(folder)

    monkeypatch.setattr(Curve, "read", noted)
    reader, folders = CurveReader(), [tmp_path / name for name in ("a", "b", "none")]
    for folder in folders[:2]:
        append_record(journal_path(folder), "epoch", {"pseudo_dice_ema": 0.1}, 0)
    for _ in range(3):
        assert [reader.read(folder) for folder in folders] == [Curve({1: 0.1}, 1), Curve({1: 0.1}, 1), Curve()]
    append_record(journal_path(folders[1]), "epoch", {"pseudo_dice_ema": 0.2}, 1)
    assert [reader.read(folder).n_epochs for folder in folders] == [1, 2, 0]
    assert read == [*folders[:2], folders[1]]


def test_longer_ones_are_better_and_scores_are_compared_at_equal_lengths_alone() -> None:
    curves = {
        0: Curve({3: 0.9}, 3),
        1: Curve({9: 0.5}, 9),
        2: Curve({9: 0.6}, 9),
        3: Curve(),
        4: Curve({3: 0.95}, 3),
    }
    assert best_first(curves) == [2, 1, 4, 0, 3]
