"""When a file counts as unchanged."""

import os
from pathlib import Path

import pytest

from nnunet_assets.core.files.file_stats import FileStat, now_ns, stat_of

SECOND = 1_000_000_000


@pytest.mark.parametrize(
    ("mtime_s", "ctime_s", "is_settled"),
    [
        (90, 97.9, True),
        # So short a time before it was looked at, it may change again in the same tick of a clock.
        (90, 98, False),
        (98, 90, False),
        (90, 99.9, False),
        # The clock of a server may be ahead.
        (105, 90, False),
    ],
)
def test_a_change_shows_two_seconds_after_the_last(mtime_s: float, ctime_s: float, is_settled: bool) -> None:
    stat = FileStat(3, int(mtime_s * SECOND), int(ctime_s * SECOND), 7)
    assert stat.is_settled(100 * SECOND) == is_settled


def test_another_file_in_its_place_shows_even_with_its_times_put_back(tmp_path: Path) -> None:
    file, other = tmp_path / "file", tmp_path / "other"
    for path in (file, other):
        path.write_text("abc")
        os.utime(path, ns=(5 * SECOND, 5 * SECOND))
    before = stat_of(file)
    assert before == stat_of(file)
    assert (before.size, before.mtime_ns) == (3, 5 * SECOND)
    other.replace(file)
    assert stat_of(file) != before
    assert stat_of(file).inode != before.inode


def test_links_are_followed_and_what_is_not_there_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("abc")
    (tmp_path / "link").symlink_to(tmp_path / "file")
    assert stat_of(tmp_path / "link") == stat_of(tmp_path / "file")
    with pytest.raises(FileNotFoundError):
        stat_of(tmp_path / "no")


def test_the_time_is_that_of_files(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert abs(now_ns() - stat_of(tmp_path / "file").mtime_ns) < 60 * SECOND
