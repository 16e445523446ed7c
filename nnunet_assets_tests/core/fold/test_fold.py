import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from nnunet_assets.core.files.digests import file_sha256, now_ns
from nnunet_assets.core.files.kernel_lock import owner_lock
from nnunet_assets.core.files.layout import FoldPlace, Roots
from nnunet_assets.core.fold import commit
from nnunet_assets.core.fold.commit import commit_fold
from nnunet_assets.core.fold.fold import Fold, finished_siblings, fold_state
from nnunet_assets_tests.builders import EXPERIMENT, build_manifest, summary_entry, write_validation_summary

CHECKPOINT = "checkpoint_final.pth"


@pytest.fixture
def place(tmp_path: Path) -> Any:
    """A finished fold of one case."""
    place = EXPERIMENT.place_of(Roots(tmp_path, tmp_path, tmp_path), "fold_0")
    write_validation_summary(place.folder, [summary_entry("a", {"1": 0.5})])
    (place.folder / CHECKPOINT).write_bytes(b"weights")
    manifest = build_manifest(place.folder)
    files = {**manifest.files, CHECKPOINT: file_sha256(place.folder / CHECKPOINT)}
    commit_fold(place.folder, replace(manifest, files=files))
    return place


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read byte by byte."""
    names: list[str] = []

    def noted(path: Path) -> str:
        names.append(path.name)
        return file_sha256(path)

    monkeypatch.setattr(commit, "file_sha256", noted)
    return names


@pytest.fixture
def _later(monkeypatch: pytest.MonkeyPatch) -> None:
    """Folds are read a while after their files were written: from then on the file system's times tell of a change."""
    now = now_ns
    monkeypatch.setattr(commit, "now_ns", lambda: now() + 10 * 10**9)


def test_a_fold_knows_its_place_what_names_it_and_its_scores(place: Any, tmp_path: Path) -> None:
    fold = Fold.read(place)
    assert place == FoldPlace(EXPERIMENT, "fold_0", tmp_path / EXPERIMENT.dataset / EXPERIMENT.name / "fold_0")
    assert place.title == f"{EXPERIMENT.title}, fold_0"
    assert fold.state == "finished"
    assert fold.finished.sha256 == file_sha256(place.own / "manifest.json")
    assert fold.finished.summary == (place.folder / "validation" / "summary.json").read_bytes()
    assert fold.finished.scores == fold.finished.manifest.scores
    # Of 5,000 cases it has a hundred megabytes.
    assert "metric_per_case" not in repr(fold)


def test_a_checkpoint_is_read_where_that_is_asked_for(place: Any, hashed: Any) -> None:
    assert (Fold.read(place).state, hashed) == ("finished", [])
    (place.folder / CHECKPOINT).write_bytes(b"Weights")
    assert Fold.read(place).state == "finished"
    assert fold_state(place.folder) == Fold.read(place, check_files=True).state == "changed"


def test_a_fold_that_is_not_finished_is_told_by_who_made_it(tmp_path: Path) -> None:
    folder = tmp_path / "fold_0"
    assert fold_state(folder) == "absent"
    folder.mkdir()
    assert fold_state(folder) == "absent"
    (folder / "checkpoint_latest.pth").touch()
    assert fold_state(folder) == "foreign"
    (folder / ".nnunet_assets").mkdir()
    (folder / ".nnunet_assets" / "request.json").touch()
    assert fold_state(folder) == "interrupted"
    (folder / ".nnunet_assets" / "COMMIT").touch()
    assert fold_state(folder) == "changed"


def test_what_was_trained_elsewhere_and_taken_in_is_finished_too(place: Any) -> None:
    manifest = Fold.read(place).finished.manifest
    commit_fold(place.folder, replace(manifest, details={"adopted": "2026-11-20"}))
    assert fold_state(place.folder) == Fold.read(place).state == "adopted"


@pytest.mark.usefixtures("_later")
def test_a_checkpoint_is_not_read_again_while_it_is_the_same_file(place: Any, hashed: Any) -> None:
    known = Fold.read(place, check_files=True)
    assert Fold.read(place, check_files=True, known=Fold.read(place, check_files=True, known=known)) == known
    assert hashed == [CHECKPOINT]


@pytest.mark.usefixtures("_later")
def test_a_checkpoint_that_was_written_meanwhile_is_read_again(place: Any, hashed: Any) -> None:
    known, file = Fold.read(place, check_files=True), place.folder / CHECKPOINT
    before = file.stat()
    file.write_bytes(b"Weights")  # of the same size, and at the same time by what it says of itself
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Fold.read(place, check_files=True, known=known).state == "changed"
    assert hashed == [CHECKPOINT, CHECKPOINT]


def test_a_checkpoint_that_was_written_a_moment_before_is_not_believed_to_be_the_same(place: Any, hashed: Any) -> None:
    known = Fold.read(place, check_files=True)
    Fold.read(place, check_files=True, known=known)
    assert hashed == [CHECKPOINT, CHECKPOINT]


@pytest.mark.usefixtures("_later")
def test_a_checkpoint_that_was_not_read_before_is_read(place: Any, hashed: Any) -> None:
    Fold.read(place, check_files=True, known=Fold.read(place))
    assert hashed == [CHECKPOINT]


@pytest.mark.usefixtures("_later")
def test_a_fold_that_was_trained_anew_is_read_whole(place: Any) -> None:
    known = Fold.read(place, check_files=True)
    manifest = known.finished.manifest
    commit_fold(place.folder, replace(manifest, files={**manifest.files, CHECKPOINT: "another"}))
    assert Fold.read(place, check_files=True, known=known).state == "changed"


def test_scores_and_commit_are_read_again_whatever_was_known(place: Any) -> None:
    known = Fold.read(place, check_files=True)
    write_validation_summary(place.folder, [summary_entry("a", {"1": 0.75})])
    assert Fold.read(place, check_files=True, known=known).state == "changed"
    (place.own / "COMMIT").unlink()
    assert Fold.read(place, check_files=True, known=known).state == "foreign"


HOLDS = """
import fcntl, sys
with open(sys.argv[1], "w") as file:
    fcntl.flock(file, fcntl.LOCK_EX)
    print("held", flush=True)
    sys.stdin.read()
"""


@contextmanager
def owned_by_another_process(place: FoldPlace) -> Iterator[None]:
    command = [sys.executable, "-c", HOLDS, str(place.lock)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as owner:
        assert owner.stdin
        assert owner.stdout
        assert owner.stdout.readline() == b"held\n"
        yield
        owner.stdin.close()


def test_a_fold_is_running_while_another_process_owns_it_and_not_while_this_one_does(place: Any) -> None:
    place.lock.parent.mkdir()
    (place.own / "COMMIT").unlink()
    (place.own / "request.json").write_text("{}")
    assert Fold.read(place).state == "trained"
    with owner_lock(place.lock):
        assert Fold.read(place).state == "trained"
    with owned_by_another_process(place):
        assert Fold.read(place).state == "running"
    assert Fold.read(place).state == "trained"


def test_a_finished_fold_stays_finished_whoever_owns_it(place: Any) -> None:
    place.lock.parent.mkdir()
    with owned_by_another_process(place):
        assert Fold.read(place).state == "finished"


def test_a_lock_that_cannot_be_looked_at_owns_no_fold(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    place.lock.parent.mkdir()
    place.lock.touch()
    (place.own / "COMMIT").unlink()

    def refused(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refused)
    assert Fold.read(place).state == "foreign"


def test_the_siblings_of_a_fold_are_the_other_finished_ones_that_were_trained_here(tmp_path: Path) -> None:
    folders = [tmp_path / f"fold_{number}" for number in range(4)]
    for folder in folders[:3]:
        write_validation_summary(folder, [summary_entry("case", {"1": 0.5})])
        manifest = build_manifest(folder)
        commit_fold(folder, replace(manifest, details={"adopted": {}}) if folder.name == "fold_2" else manifest)
    folders[3].mkdir()

    assert [folder for folder, _ in finished_siblings(folders[1])] == [folders[0]]
