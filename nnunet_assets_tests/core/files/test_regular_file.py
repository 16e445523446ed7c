"""A pipe or a device in the place of a file keeps nobody waiting, whatever reads it or writes to it."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunet_assets.core.files.atomic_files import append_whole
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.regular_file import (
    open_regular,
    open_to_append,
    refuse_what_never_ends,
    regular_text,
)
from nnunet_assets.core.fold.journal import read_records, readable_until_epoch
from nnunet_assets.nnunet.checkpoints.checkpoint_content import read_checkpoint_content
from nnunet_assets.nnunet.checkpoints.checkpoint_limits import refuse_oversized
from nnunet_assets.nnunet.images.nifti import VolumeError, read_header
from nnunet_assets.nnunet.images.other_formats import file_geometry


def test_a_file_is_opened_and_a_pipe_or_a_device_is_refused(tmp_path: Path) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.write_text("abc")
    os.mkfifo(pipe)
    refuse_what_never_ends(file)
    refuse_what_never_ends(tmp_path)
    with open_regular(file) as opened:
        assert opened.read() == b"abc"
    for path in (pipe, Path("/dev/zero")):
        for look in (refuse_what_never_ends, open_regular, open_to_append):
            with pytest.raises(OSError, match=f"It is a pipe, a socket or a device, and no file: '{path}'"):
                look(path)


@pytest.mark.parametrize("opens", [open_regular, open_to_append])
def test_a_folder_is_named_as_one(opens: Callable[[Path], object], tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=f"Is a directory: '{tmp_path}'"):
        opens(tmp_path)


def test_a_pipe_that_somebody_reads_is_no_file_and_a_new_file_is_made_and_continued(
    tmp_path: Path,
) -> None:
    os.mkfifo(tmp_path / "pipe")
    reader = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(OSError, match="It is a pipe"):
        open_to_append(tmp_path / "pipe")
    os.close(reader)
    for content in (b"abc", b"def"):
        with open_to_append(tmp_path / "file") as file:
            assert os.get_blocking(file.fileno())
            file.write(content)
    assert (tmp_path / "file").read_bytes() == b"abcdef"


def test_a_file_that_a_server_lends_to_somebody_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"abc")
    os.mkfifo(tmp_path / "pipe")
    opened = os.open

    def lent(path: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_NONBLOCK:
            raise BlockingIOError(errno.EWOULDBLOCK, "lent")
        return opened(path, flags, mode)

    monkeypatch.setattr(os, "open", lent)
    with open_regular(tmp_path / "file") as file:
        assert file.read() == b"abc"
    with pytest.raises(OSError, match="It is a pipe"):
        open_regular(tmp_path / "pipe")


@pytest.mark.timeout(30)
@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("plans.json", file_sha256),
        ("checkpoint_final.pth", read_checkpoint_content),
        ("checkpoint_final.pth", refuse_oversized),
        ("case.nii.gz", read_header),
        ("case.nii.gz", lambda path: file_geometry(path, "SimpleITKIO")),
        ("journal.jsonl", lambda path: list(read_records(path))),
        ("journal.jsonl", lambda path: readable_until_epoch(path, 1)),
        ("journal.jsonl", lambda path: append_whole(path, b"{}\n")),
        ("cases.csv", regular_text),
        ("case.nrrd", lambda path: file_geometry(path, "SimpleITKIO")),
        ("case.mha", lambda path: file_geometry(path, "SimpleITKIOWithReorient")),
    ],
)
def test_a_pipe_is_told_by_whatever_reads_files(tmp_path: Path, name: str, read: Callable[[Path], object]) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises((OSError, VolumeError)):
        read(tmp_path / name)


def test_a_text_is_read_as_python_reads_one(tmp_path: Path) -> None:
    file = tmp_path / "cases.csv"
    file.write_bytes(b"\xef\xbb\xbfcase,group\r\na,1\rb,2\n")
    assert regular_text(file, "utf-8-sig") == "case,group\na,1\nb,2\n" == file.read_text("utf-8-sig")
