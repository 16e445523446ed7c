import errno
import fcntl
import os
from pathlib import Path
from typing import Any

import pytest
from filelock import Timeout

from nnunet_assets.core.files.kernel_lock import flock, held_alone, is_owned, kernel_lock, owner_lock
from nnunet_assets.errors import EvaluationError, LockingError

SENTENCE = r"file system of .*lock cannot lock files .*Put the folder on a local disk"


@pytest.fixture(params=[errno.ENOSYS, errno.ENOLCK])
def without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that answers so to a lock."""

    def refuse(*_: Any) -> None:
        raise OSError(request.param, os.strerror(request.param))

    monkeypatch.setattr(fcntl, "flock", refuse)


@pytest.mark.usefixtures("without_locks")
def test_a_file_system_without_locks_is_said_and_no_marker_file_stands_for_one(tmp_path: Path) -> None:
    for lock in (kernel_lock(tmp_path / "a.lock"), kernel_lock(tmp_path / "a.lock", timeout=0, is_singleton=True)):
        with pytest.raises(LockingError, match=SENTENCE), lock:
            pass
        assert not lock.is_locked
        assert type(lock).__name__ != "SoftFileLock"
    with (tmp_path / "b.lock").open("w") as file, pytest.raises(LockingError, match=SENTENCE):
        flock(file, fcntl.LOCK_SH)


def test_what_another_holds_is_told_as_ever(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    with (
        kernel_lock(path),
        path.open() as file,
        pytest.raises(BlockingIOError),
    ):
        flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    with path.open() as file:
        flock(file, fcntl.LOCK_EX)
        with pytest.raises(Timeout):
            kernel_lock(path, timeout=0).acquire()
    kernel_lock(path, timeout=0).acquire().lock.release()


def test_what_one_holds_alone_is_refused_to_the_next_and_free_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.lock"
    refusal = EvaluationError("another holds it")
    with (
        held_alone(path, EvaluationError("first")),
        pytest.raises(EvaluationError, match="another holds it"),
        held_alone(path, refusal),
    ):
        pass
    with held_alone(path, EvaluationError("still held")):
        pass


def test_what_is_owned_is_known_to_others_as_long_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    assert not is_owned(path)
    assert not path.exists()
    lock = owner_lock(path)
    assert (lock.timeout, owner_lock(path) is lock) == (1.0, True)
    with lock, owner_lock(path):
        assert not is_owned(path)  # by another process
    with path.open() as file:
        flock(file, fcntl.LOCK_EX)
        assert is_owned(path)
    assert not is_owned(path)
    with lock:
        pass  # whoever looked has it no more


def test_a_look_whether_a_lock_is_held_leaves_no_trace_and_keeps_no_other_look_out(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    path.write_text("of an older version")
    before = path.stat()
    with path.open("rb") as file:
        flock(file, fcntl.LOCK_SH)  # as a look does
        assert not is_owned(path)
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    assert path.read_text() == "of an older version"


@pytest.mark.usefixtures("without_locks")
def test_where_nobody_can_lock_nobody_is_known_to_own(tmp_path: Path) -> None:
    (tmp_path / "a.lock").touch()
    assert not is_owned(tmp_path / "a.lock")


def test_of_a_disk_that_fails_nobody_is_known_to_own_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    (tmp_path / "a.lock").touch()
    monkeypatch.setattr(fcntl, "flock", fails)
    assert not is_owned(tmp_path / "a.lock")


def test_the_folder_of_a_lock_is_made(tmp_path: Path) -> None:
    for _ in range(2):
        with held_alone(tmp_path / "a/b/c.lock", EvaluationError("held")):
            assert (tmp_path / "a/b/c.lock").exists()


def test_a_lock_is_waited_for_without_an_end_and_each_is_another_unless_it_is_said_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "a.lock"
    assert kernel_lock(path).timeout == -1
    assert kernel_lock(path) is not kernel_lock(path)
    assert kernel_lock(path, is_singleton=True) is kernel_lock(path, is_singleton=True)
