import errno
import os
import stat
import uuid
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.atomic_files import append_whole, remove_unfinished, write_atomically


def test_a_name_as_long_as_the_disk_takes_is_written(tmp_path: Path) -> None:
    for name in ("x" * 255, "ü" * 127):
        write_atomically(tmp_path / name, b"whole")
        assert [path.name for path in tmp_path.iterdir()] == [name]
        (tmp_path / name).unlink()


def test_a_file_is_written_whole_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    write_atomically(tmp_path / "new" / "a.json", b"one")
    write_atomically(tmp_path / "new" / "a.json", b"two")
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.json"]
    assert (tmp_path / "new" / "a.json").read_bytes() == b"two"


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_atomically(path, "not bytes")  # type: ignore[arg-type]
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_disk_that_is_full_is_named_with_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as caught:
        write_atomically(tmp_path / "a.json", b"new")
    assert caught.value.filename == str(tmp_path / "a.json")


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600), (0o002, 0o664), (0o000, 0o666)])
def test_the_umask_decides_who_may_read(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_atomically(tmp_path / "a", b"")
        append_whole(tmp_path / "b", b"")
    finally:
        os.umask(before)
    assert [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in "ab"] == [mode, mode]


def test_what_is_private_is_its_owners_alone(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", b"", is_private=True)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o600


def test_what_is_appended_begins_where_the_file_ended(tmp_path: Path) -> None:
    path = tmp_path / "new" / "log"
    assert [append_whole(path, content) for content in (b"one", b"", b"two")] == [0, 3, 3]
    assert path.read_bytes() == b"onetwo"


@pytest.mark.parametrize("flushes", [True, False])
def test_what_is_appended_is_flushed_where_that_is_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flushes: bool
) -> None:
    flushed: list[int] = []
    monkeypatch.setattr(os, "fsync", flushed.append)
    append_whole(tmp_path / "log", b"one", flushes=flushes)
    assert bool(flushed) == flushes


def test_what_is_appended_in_part_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    append_whole(tmp_path / "log", b"one")
    write = os.write
    monkeypatch.setattr(os, "write", lambda handle, content: write(handle, content[:1]))
    with pytest.raises(OSError, match="No space left") as caught:
        append_whole(tmp_path / "log", b"two")
    assert (caught.value.filename, (tmp_path / "log").read_bytes()) == (str(tmp_path / "log"), b"one")


def test_what_a_kill_left_of_a_write_is_removed_when_nobody_can_be_at_it_any_more(tmp_path: Path) -> None:
    old, young = (tmp_path / f".run.json.{character * 32}" for character in "ab")
    for path in (old, young, tmp_path / ".run.json", tmp_path / "run.json"):
        path.touch()
    os.utime(old, (1, 1))
    os.utime(tmp_path / ".run.json", (1, 1))
    remove_unfinished(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {young.name, ".run.json", "run.json"}
    remove_unfinished(tmp_path, is_sole_owner=True)
    assert {path.name for path in tmp_path.iterdir()} == {".run.json", "run.json"}
    remove_unfinished(tmp_path / "that is not there", is_sole_owner=True)


def test_a_file_that_another_process_gives_its_name_meanwhile_is_left_alone(tmp_path: Path) -> None:
    vanished = tmp_path / f".run.json.{'a' * 32}"
    vanished.symlink_to("it has its name now")  # found, and not there when it is looked at
    remove_unfinished(tmp_path)
    assert vanished.is_symlink()


def test_what_is_private_is_never_written_into_a_file_that_somebody_put_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=1))
    (tmp_path / f".a.{uuid.UUID(int=1).hex}").touch()
    with pytest.raises(FileExistsError):
        write_atomically(tmp_path / "a", b"secret", is_private=True)
    assert not (tmp_path / "a").exists()


def test_folders_are_made_however_many_are_missing(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a/b/c.json", b"1")
    assert append_whole(tmp_path / "d/e/f.log", b"2") == 0
    assert (tmp_path / "a/b/c.json").read_bytes() + (tmp_path / "d/e/f.log").read_bytes() == b"12"
