import os
import zipfile

import pytest

from nnunet_assets.nnunet.fold_process import newest_checkpoint

FINAL, LATEST, BEST = (f"checkpoint_{name}.pth" for name in ("final", "latest", "best"))


def write_checkpoint(folder, name, written_at, *, torn=False):
    """Writes what torch writes, a zip file; a torn one lacks its end, where a zip file has its directory."""
    path = folder / name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data/0", b"weights" * 1000)
    if torn:
        path.write_bytes(path.read_bytes()[:-500])
    os.utime(path, (written_at, written_at))
    return path


@pytest.mark.parametrize(
    ("written_at", "expected"),
    [
        ({}, None),
        ({BEST: 3}, BEST),
        ({LATEST: 50, BEST: 63}, BEST),  # nnU-Net would resume from the older one
        ({LATEST: 50, BEST: 13}, LATEST),
        ({FINAL: 1, LATEST: 2, BEST: 3}, FINAL),
    ],
)
def test_the_final_checkpoint_or_else_the_newest_is_taken(tmp_path, written_at, expected):
    for name, time in written_at.items():
        write_checkpoint(tmp_path, name, time)
    assert newest_checkpoint(tmp_path, pytest.fail) == (expected and tmp_path / expected)


@pytest.mark.parametrize("torn", [FINAL, BEST])
def test_a_torn_checkpoint_falls_back_to_the_one_before_it_and_says_so(tmp_path, torn):
    write_checkpoint(tmp_path, LATEST, 50)
    write_checkpoint(tmp_path, torn, 63, torn=True)
    said = []
    assert newest_checkpoint(tmp_path, said.append) == tmp_path / LATEST
    assert said == [f"{torn} is damaged and cannot be used; looking for an older checkpoint."]


@pytest.mark.parametrize("content", [b"", b"half", b"PK\x05\x06"])
def test_what_is_no_checkpoint_is_not_taken_for_one(tmp_path, content):
    (tmp_path / BEST).write_bytes(content)
    assert newest_checkpoint(tmp_path, lambda _: None) is None


def test_a_flipped_bit_is_found(tmp_path):
    content = bytearray(write_checkpoint(tmp_path, BEST, 1).read_bytes())
    content[2000] ^= 1
    (tmp_path / BEST).write_bytes(content)
    assert newest_checkpoint(tmp_path, lambda _: None) is None
