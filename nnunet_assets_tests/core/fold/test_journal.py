import json
import math
import resource
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.fold.journal import (
    Record,
    append_record,
    journal_path,
    last_epoch,
    n_saved_epochs,
    read_records,
    readable_until_epoch,
    saved_epochs_path,
    settled_records,
    truncate_after_epoch,
    write_records,
)


def write_journal(path: Any, n_epochs: int = 3, *, with_end: bool = False) -> Any:
    append_record(path, "start", {"attempt": "a"})
    for epoch in range(n_epochs):
        append_record(path, "epoch", {"train_loss": -0.1 * epoch}, epoch)
    if with_end:
        append_record(path, "end", {"val_dice_mean": 0.5})
    return path


def kinds(path: Any) -> Any:
    return [(record.kind, record.epoch) for record in read_records(path)]


@pytest.fixture
def path(tmp_path: Path) -> Any:
    return journal_path(tmp_path / "fold_0")


def test_records_come_back_in_order_with_their_values(path: Any) -> None:
    write_journal(path, 2, with_end=True)
    records = list(read_records(path))
    assert [(record.kind, record.epoch) for record in records] == [
        ("start", None),
        ("epoch", 0),
        ("epoch", 1),
        ("end", None),
    ]
    assert records[2].values == {"train_loss": -0.1}
    assert [record.time_ms for record in records] == sorted(record.time_ms for record in records)
    assert [record.epoch for record in read_records(path, start=2)] == [1, None]


def test_no_journal_yields_nothing(path: Any) -> None:
    assert list(read_records(path)) == []


def test_what_is_no_number_is_missing_also_deep_inside(path: Any) -> None:
    append_record(path, "start", {"a": math.nan, "params": {"b": math.inf, "c": [1.0, -math.inf], "d": (2,)}})
    (record,) = read_records(path)
    assert record.values == {"a": None, "params": {"b": None, "c": [1.0, None], "d": [2]}}


def test_text_of_any_kind_stays_on_one_line(path: Any) -> None:
    text = "line\nline\r\u2028\x85\x0b é 患者"
    append_record(path, "start", {"text": text})
    append_record(path, "epoch", {}, 0)
    first, second = read_records(path)
    assert (first.values["text"], second.epoch) == (text, 0)


@pytest.mark.parametrize("n_bytes", [1, 2, 9, 40])
def test_a_cut_line_is_never_taken_for_a_record(path: Any, n_bytes: int) -> None:
    write_journal(path, 3)
    path.write_bytes(path.read_bytes()[:-n_bytes])
    assert kinds(path) == [("start", None), ("epoch", 0), ("epoch", 1)]


@pytest.mark.parametrize("change", [b"\x00", b"9", b"\n"])
def test_a_damaged_line_ends_the_reading(path: Any, change: bytes) -> None:
    write_journal(path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2][:30] + change + lines[2][31:]
    path.write_bytes(b"".join(lines))
    assert kinds(path) == [("start", None), ("epoch", 0)]


@pytest.mark.parametrize("content", [b"", b"\n", b"\n\n", b"{}\n", b"\xff" * 50 + b"\n", b"00000000 \n"])
def test_another_file_holds_no_record(path: Any, content: Any) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    assert kinds(path) == []


@pytest.mark.parametrize(("n_epochs", "kept"), [(0, []), (1, [0]), (2, [0, 1]), (3, [0, 1, 2]), (9, [0, 1, 2])])
def test_a_resumed_fold_keeps_the_epochs_of_its_checkpoint_and_drops_the_end(
    path: Any, n_epochs: int, kept: list[Any]
) -> None:
    before = write_journal(path, 3, with_end=True).read_bytes().splitlines()
    truncate_after_epoch(path, n_epochs)
    assert kinds(path) == [("start", None), *(("epoch", epoch) for epoch in kept)]
    assert path.read_bytes().splitlines() == before[: 1 + len(kept)]  # what was sent is not written anew


def test_a_cut_line_is_cut_off_before_records_are_appended(path: Any) -> None:
    write_journal(path, 2)
    path.write_bytes(path.read_bytes()[:-5])
    truncate_after_epoch(path, 1)
    append_record(path, "epoch", {}, 1)
    assert kinds(path) == [("start", None), ("epoch", 0), ("epoch", 1)]


@pytest.mark.parametrize(
    ("damaged", "n_epochs", "kept", "n_lost"),
    [
        ([3], 6, [0, 1, 3, 4, 5], 1),
        ([1, 7], 6, [1, 2, 3, 4, 5], 1),  # the last line is of an epoch that is trained again
        ([0], 6, [0, 1, 2, 3, 4, 5], 0),  # the start, whose values the fold's process knows
        ([5, 6], 9, [0, 1, 2, 3, 6], 2),
    ],
)
def test_damaged_lines_cost_a_resumed_fold_their_own_epochs_only_and_are_counted(
    path: Any, damaged: list[int], n_epochs: int, kept: list[int], n_lost: int
) -> None:
    lines = write_journal(path, 7).read_bytes().splitlines(keepends=True)
    for number in damaged:
        lines[number] = lines[number][:30] + b"\x00" + lines[number][31:]
    path.write_bytes(b"".join(lines))
    records, n_found_lost = readable_until_epoch(path, n_epochs)
    assert [record.epoch for record in records if record.kind == "epoch"] == kept
    assert n_found_lost == n_lost
    truncate_after_epoch(path, n_epochs)
    assert list(read_records(path)) == records  # nothing is left that hides what follows


@pytest.mark.parametrize("between", [Record("epoch", 3, 5, {}), Record("end", 3, None, {})])
def test_what_follows_an_end_or_a_later_epoch_is_of_no_checkpoint(path: Any, between: Record) -> None:
    write_records(path, [Record("epoch", 2, 0, {}), between, Record("epoch", 4, 1, {})])
    records, n_lost = readable_until_epoch(path, 2)
    assert ([record.epoch for record in records], n_lost) == ([0], 0)


def test_an_epoch_stays_once_a_checkpoint_holds_it(path: Any) -> None:
    write_journal(path, 3, with_end=True)
    folder = path.parents[1]
    assert n_saved_epochs(folder) is None
    assert [record.epoch for record in settled_records(folder)] == [None, 0, 1, 2, None]
    for n_saved, kept in ((0, []), (2, [0, 1]), (3, [0, 1, 2])):
        saved_epochs_path(folder).write_text(f"{n_saved}\n")
        assert n_saved_epochs(folder) == n_saved
        assert [record.epoch for record in settled_records(folder)] == [None, *kept, None]


def test_no_journal_is_cut_back_to_an_empty_one(path: Any) -> None:
    truncate_after_epoch(path, 5)
    assert path.read_bytes() == b""


def test_a_full_disk_loses_one_record_and_not_those_after_it(path: Any) -> None:
    write_journal(path, 1)
    # A limit on the file's size cuts a write in the middle, as a full disk does; it is lifted for the last record.
    code = """
import resource, sys
from pathlib import Path
from nnunet_assets.core.fold.journal import append_record
path = Path(sys.argv[1])
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 20, hard))
try:
    append_record(path, "epoch", {}, 1)
except OSError as error:
    print(error.errno)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
append_record(path, "epoch", {}, 2)
"""
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip()
    assert kinds(path) == [("start", None), ("epoch", 0), ("epoch", 2)]
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] == resource.RLIM_INFINITY


def test_a_line_is_a_checksum_and_json(path: Any) -> None:
    append_record(path, "epoch", {"val_loss": 0.25}, 4)
    checksum, text = path.read_text().split(" ", 1)
    assert len(checksum) == 8
    content = json.loads(text)
    assert {key: content[key] for key in ("kind", "epoch", "values")} == {
        "kind": "epoch",
        "epoch": 4,
        "values": {"val_loss": 0.25},
    }


SET_CLOCK = """
import itertools, sys, time
from pathlib import Path
real, jumps = time.time_ns, itertools.cycle([0, 3600, -3600, -7200, 1])
time.time_ns = lambda: real() + next(jumps) * 10**9
from nnunet_assets.core.fold.journal import append_record
for epoch in range(int(sys.argv[2]), int(sys.argv[3])):
    append_record(Path(sys.argv[1]), "epoch", {}, epoch)
"""


def test_times_grow_whatever_is_done_to_the_clock_and_between_processes(path: Any) -> None:
    before = time.time_ns() // 1_000_000
    append_record(path, "start", {})
    ahead = Record("epoch", before + 3_600_000, 0, {})  # by a process before the clock was set back
    write_records(path, [*read_records(path), ahead])
    for first in (1, 21):
        subprocess.run([sys.executable, "-c", SET_CLOCK, str(path), str(first), str(first + 20)], check=True)
    times = [record.time_ms for record in read_records(path)]
    assert len(times) == 42
    assert times == sorted(set(times))
    assert times[-1] - ahead.time_ms < 1000  # and what has passed is not what the clock says


@pytest.mark.parametrize("length", [0, 100, 1000, 1900, 2000, 2100, 3900, 4100, 50_000])
def test_times_grow_behind_lines_of_any_length_whole_or_cut(path: Any, length: int) -> None:
    ahead = time.time_ns() // 1_000_000 + 3_600_000
    write_records(path, [Record("start", ahead, None, {"text": "x" * length})])
    append_record(path, "epoch", {"text": "y" * length}, 0, flushes=False)
    with path.open("ab") as file:
        file.write(b'0123abcd {"kind"' + b"z" * length)
    path.write_bytes(path.read_bytes() + b"\n")
    append_record(path, "epoch", {}, 1)
    (whole,) = [line for line in path.read_bytes().splitlines() if b'"epoch": 1,' in line]
    assert json.loads(whole[9:])["time_ms"] == ahead + 2


def test_the_last_epoch_is_found_behind_any_number_of_validations_and_a_line_that_was_cut(path: Any) -> None:
    assert last_epoch(path) is None
    append_record(path, "start", {})
    assert last_epoch(path) is None
    write_journal(path, 3)
    for _ in range(6):
        append_record(path, "end", {"val_dice_mean": 0.5})
    path.write_bytes(path.read_bytes() + b'0123abcd {"kind')
    assert last_epoch(path).epoch == 2


def test_the_last_epoch_of_a_long_journal_is_read_from_its_end(path: Any) -> None:
    append_record(path, "start", {"params": {"text": "x" * 2_000_000}})
    append_record(path, "epoch", {"val_loss": -0.5}, 7)
    assert last_epoch(path).values == {"val_loss": -0.5}
