"""One file on its way into nnUNet_raw: as it is, split into channels, or compressed."""

import gzip
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nnunet_assets.nnunet.images.nifti import packed, read_volume, write_nifti

Link = Literal["copy", "hardlink", "symlink"]
"""How a file gets there that needs no conversion."""

LINKED = {"copy": "copied", "hardlink": "hard-linked", "symlink": "linked"}


@dataclass(frozen=True)
class Transfer:
    """One source file and where it goes, relative to the new dataset.

    Attributes:
        source: The file.
        targets: One name, or, where the file holds channels as fourth axis, one a channel.
        change: `split`: it holds channels as fourth axis; `compress`: `.nii` becomes `.nii.gz`; None: as it is.
    """

    source: Path
    targets: tuple[str, ...]
    change: Literal["split", "compress"] | None = None

    def run(self, folder: Path, link: Link) -> None:
        """Brings the file there.

        Raises:
            VolumeError: A file to be converted is damaged.
            OSError: It cannot be read or written, or not linked.
        """
        targets = [folder / target for target in self.targets]
        targets[0].parent.mkdir(exist_ok=True)
        if self.change == "split":
            _split_channels(self.source, targets)
        elif self.change == "compress":
            targets[0].write_bytes(_compressed(self.source))
        elif link == "copy":
            shutil.copyfile(self.source, targets[0])
        elif link == "symlink":
            targets[0].symlink_to(self.source.resolve())
        else:
            os.link(self.source.resolve(), targets[0])

    def n_bytes(self, link: Link) -> int | None:
        """Returns what a file takes on the disk that is brought as it is; None: it is converted."""
        if self.change:
            return None
        return self.source.stat().st_size if link == "copy" else 0

    def rehearse(self, link: Link) -> int:
        """Does in memory what `run` does, and returns how many bytes that would write.

        Raises:
            VolumeError: As `run`.
            OSError: The file cannot be read.
        """
        if self.change == "split":
            return sum(len(packed(image)) for image in _channels(self.source, len(self.targets)))
        if self.change == "compress":
            return len(_compressed(self.source))
        return len(self.source.read_bytes()) if link == "copy" else 0


def _split_channels(source: Path, targets: Sequence[Path]) -> None:
    for target, image in zip(targets, _channels(source, len(targets)), strict=True):
        write_nifti(target, image)


def _channels(source: Path, n_channels: int) -> Iterator[Any]:
    """Yields the fourth axis as images; voxels are never scaled, so that every number stays exactly the same."""
    import nibabel

    volume = read_volume(source)
    kind = nibabel.Nifti2Image if isinstance(volume.header, nibabel.Nifti2Header) else nibabel.Nifti1Image
    for channel in range(n_channels):
        # Without an affine the header's own forms stay as they are.
        image = kind(volume.stored[..., channel], None, volume.header)
        # The header of a single file begins its voxels right behind itself, now without extensions.
        image.header.set_data_offset(0)
        image.header.set_slope_inter(volume.slope, volume.intercept)
        yield image


def _compressed(source: Path) -> bytes:
    read_volume(source)  # a damaged one must not get a checksum that says it is whole
    return gzip.compress(source.read_bytes(), compresslevel=6, mtime=0)
