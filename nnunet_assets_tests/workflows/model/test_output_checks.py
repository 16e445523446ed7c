"""Folders that cannot take masks are refused by a sentence, before any image is read."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from nnunet_assets.errors import PredictionError
from nnunet_assets.workflows.model.output_checks import refuse_output


@pytest.fixture
def images(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a_0000.nii.gz").touch()
    return tmp_path / "images"


def test_a_folder_elsewhere_or_below_the_images_takes_masks_whether_it_is_there_or_not(images: Path) -> None:
    for output in (images.parent / "out", images.parent / "not" / "yet", images / "masks"):
        refuse_output(output, [images], None)
        refuse_output(output, [images / "a_0000.nii.gz"], None)
    refuse_output(images.parent / "out", [images], "{case}.nii.gz")


@pytest.mark.parametrize("given", ["images", "images/../images", "images/a_0000.nii.gz"])
def test_masks_do_not_lie_among_the_images(images: Path, given: str) -> None:
    with pytest.raises(PredictionError, match="the masks would lie among them"):
        refuse_output(images, [images.parent / given], None)
    (images.parent / "link").symlink_to(images)
    with pytest.raises(PredictionError, match="the masks would lie among them"):
        refuse_output(images.parent / "link", [images.parent / given], None)


def test_a_pattern_that_looks_below_the_folder_finds_no_masks_there(images: Path) -> None:
    with pytest.raises(PredictionError, match=r"the pattern '\{x\}/\{case\}\.nii' may take masks for images"):
        refuse_output(images / "masks" / "today", [images], "{x}/{case}.nii")


@pytest.mark.parametrize(
    ("output", "said"), [("file", "is a file. Name"), ("file/out", "cannot be made: .*/file is a")]
)
def test_a_file_is_no_folder(images: Path, output: str, said: str) -> None:
    (images.parent / "file").touch()
    with pytest.raises(PredictionError, match=said):
        refuse_output(images.parent / output, [images], None)


def test_a_folder_that_must_not_be_written_is_named(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Root may write everywhere: what the system would say is said for it.
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path) != images.parent)
    with pytest.raises(PredictionError, match=f"out cannot be written: nothing may be written in {images.parent}"):
        refuse_output(images.parent / "out", [images], None)


def test_a_disk_that_is_mounted_for_reading_is_one_of_them(images: Path) -> None:
    (disk := images.parent / "disk").mkdir()
    code = (
        "from pathlib import Path; from nnunet_assets.workflows.model.output_checks import refuse_output;"
        f"refuse_output(Path({str(disk / 'out')!r}), [Path({str(images)!r})], None)"
    )
    script = f'mount -t tmpfs -o ro tmpfs {disk} || exit 77; exec python -c "$1"'
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    found = subprocess.run(
        ["unshare", "-rm", "bash", "-c", script, "bash", code],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if found.returncode == 77:
        pytest.skip("this user may not mount a file system of its own")
    assert "PredictionError" in found.stderr
    assert "nothing may be written in" in found.stderr
