import hashlib
import math
import os
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.digests import FileStat, file_sha256, json_sha256, now_ns, stat_of


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_the_digest_of_json_does_not_depend_on_the_order_of_keys() -> None:
    assert json_sha256({"a": 1, "b": [1, 2]}) == json_sha256({"b": [1, 2], "a": 1})
    # It names folds on disk, so it must stay what it is.
    assert json_sha256({"a": "Ü"}) == hashlib.sha256('{"a":"Ü"}'.encode()).hexdigest()


@pytest.mark.parametrize("other", [{"a": 2}, {"a": "1"}, {"a": 1.5}, {"a": [1]}, {"a": None}, {}])
def test_other_json_has_another_digest(other: dict[str, Any]) -> None:
    assert json_sha256(other) != json_sha256({"a": 1})


def test_nan_counts_as_itself_in_a_digest() -> None:
    assert json_sha256({"a": math.nan}) == json_sha256({"a": math.nan}) != json_sha256({"a": None})


# --- when a file counts as unchanged ---------------------------------------------------------------------------------

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
