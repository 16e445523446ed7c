import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from nnunet_assets.core.files import partial_folder as module
from nnunet_assets.core.files.partial_folder import partial_folder, remove_abandoned, scratch_folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_takes_its_name_when_it_is_whole(tmp_path: Path) -> None:
    with partial_folder(tmp_path / "below/whole") as partial:
        (partial / "file").write_text("content")
        assert not (tmp_path / "below/whole").exists()
    assert names(tmp_path / "below") == ["whole"]
    assert (tmp_path / "below/whole/file").read_text() == "content"


def test_an_error_leaves_nothing(tmp_path: Path) -> None:
    def interrupted() -> None:
        with partial_folder(tmp_path / "whole") as partial:
            (partial / "file").write_text("content")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == []


def test_a_folder_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "whole").mkdir()
    (tmp_path / "whole/mine").write_text("mine")
    with pytest.raises(OSError, match="not empty"), partial_folder(tmp_path / "whole") as partial:
        (partial / "file").write_text("content")
    assert (names(tmp_path), names(tmp_path / "whole")) == (["whole"], ["mine"])


def test_what_a_killed_process_left_is_removed_and_a_living_ones_is_not(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys; from pathlib import Path; from nnunet_assets.core.files.partial_folder import *\n"
        "with partial_folder(Path(sys.argv[1])) as partial:\n"
        "    (partial / 'half').mkdir(); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, tmp_path / "dead"], check=False, env=dict(os.environ))
    assert killed.returncode == -signal.SIGKILL
    (left,) = [name for name in names(tmp_path) if not name.endswith(".lock")]
    with partial_folder(tmp_path / "alive"):
        assert remove_abandoned(tmp_path) == [left]
        assert len(names(tmp_path)) == 2  # the living folder and its lock
    assert names(tmp_path) == ["alive"]


def test_a_folder_without_a_lock_is_nobodys(tmp_path: Path) -> None:
    (tmp_path / ".Dataset004_X.partial-0123abcd").mkdir()
    (tmp_path / ".Dataset004_X.partial-notes").mkdir()
    assert remove_abandoned(tmp_path) == [".Dataset004_X.partial-0123abcd"]
    assert names(tmp_path) == [".Dataset004_X.partial-notes"]


def test_an_old_lock_without_a_folder_goes_and_a_new_one_stays(tmp_path: Path) -> None:
    for name in (".X.partial-00000000.lock", ".X.partial-11111111.lock"):
        (tmp_path / name).touch()
    os.utime(tmp_path / ".X.partial-00000000.lock", (1e9, 1e9))
    assert remove_abandoned(tmp_path) == []
    assert names(tmp_path) == [".X.partial-11111111.lock"]


def test_a_scratch_folder_lies_beside_and_goes_whatever_happens(tmp_path: Path) -> None:
    def interrupted() -> None:
        with scratch_folder(tmp_path / "below/model.zip") as scratch:
            (scratch / "file").write_text("content")
            assert scratch.parent == tmp_path / "below"
            assert remove_abandoned(tmp_path / "below") == []
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with scratch_folder(tmp_path / "below/model.zip"):
        pass
    assert names(tmp_path / "below") == []


def test_a_scratch_folder_that_is_gone_already_is_no_error(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "near") as folder:
        folder.rmdir()
    assert list(tmp_path.iterdir()) == []


def test_folders_above_are_made_however_many_are_missing(tmp_path: Path) -> None:
    with scratch_folder(tmp_path / "a/b/near") as scratch, partial_folder(tmp_path / "c/d/whole"):
        assert scratch.parent == tmp_path / "a/b"
    assert (names(tmp_path / "a/b"), names(tmp_path / "c/d")) == ([], ["whole"])


def test_a_lock_whose_owner_is_done_is_nobodys_to_take(tmp_path: Path) -> None:
    assert not module._is_free(tmp_path / "gone.lock")
    (tmp_path / "left.lock").touch()
    assert module._is_free(tmp_path / "left.lock")


def test_an_error_is_told_also_where_nothing_is_left_to_remove(tmp_path: Path) -> None:
    def fails() -> None:
        with partial_folder(tmp_path / "whole") as partial:
            partial.rmdir()
            raise KeyError

    with pytest.raises(KeyError):
        fails()
    assert names(tmp_path) == []
