"""A pipe or a device in the place of a file keeps nobody waiting, whatever reads it."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.regular_file import open_regular, refuse_what_never_ends, regular_text
from nnunet_assets.core.fold.journal import read_records
from nnunet_assets.nnunet.checkpoints.checkpoint_content import read_checkpoint_content
from nnunet_assets.nnunet.checkpoints.checkpoint_limits import refuse_oversized
from nnunet_assets.nnunet.images.nifti import VolumeError, read_header
from nnunet_assets.nnunet.images.other_formats import file_geometry


def test_a_file_says_how_much_there_is_to_read_and_a_pipe_or_a_device_is_refused(tmp_path: Path) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.write_text("abc")
    os.mkfifo(pipe)
    assert refuse_what_never_ends(file) == 3
    with open_regular(file) as opened:
        assert opened.read() == b"abc"
    for path in (pipe, Path("/dev/zero")):
        for look in (refuse_what_never_ends, open_regular):
            with pytest.raises(OSError, match=f"It is a pipe, a socket or a device, and no file: '{path}'"):
                look(path)


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
