"""What nnU-Net's reader makes of the files of a case that are no NIfTI, and what nnU-Net's integrity check asks of it.

That check runs when a dataset is planned, in processes that load torch. Its readers load without; so the same questions
are put to the same arrays here: one grid for all files, one channel for each name, and label values that are declared.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from nnunet_assets.core.dataset.case_files import CaseFiles
from nnunet_assets.nnunet.images.image_reader import TIFF_READER, reader_class
from nnunet_assets.nnunet.images.label_image import silence
from nnunet_assets.nnunet.images.nifti import shape_text
from nnunet_assets.nnunet.images.reader_placement import ITK_READERS, ITK_READING
from nnunet_assets.nnunet.images.reader_voxels import unreadable

Problem = tuple[str, str, str]
"""A finding's code, its message, and the file."""


@dataclass
class ReaderLook:
    """A case as nnU-Net's reader has it.

    Attributes:
        problems: Why nnU-Net's integrity check would refuse it.
        label: The label image's voxels, 32-bit floats, axes (channel, Z, Y, X); None where it was not read.
    """

    problems: list[Problem] = field(default_factory=list)
    label: np.ndarray | None = None


def look_by_reader(files: CaseFiles, names: dict[Path, str], reader: str, n_channels: int) -> ReaderLook:
    """Reads every file of a case once, one at a time in memory.

    Args:
        files: The case's; with a label.
        names: How messages call each file.
        reader: Name of nnU-Net's reader.
        n_channels: Channels that dataset.json declares.
    """
    look = ReaderLook()
    grids: list[_Grid] = []
    opened = reader_class(reader)()
    for path in files.images:
        read = _read(partial(opened.read_images, (str(path),)), reader)
        if isinstance(read, Exception):
            look.problems.append(("D049", unreadable(names[path], read), names[path]))
        else:
            grids.append(_Grid.of(names[path], *read))
            if np.isnan(read[0]).any():
                look.problems.append(("D031", _has_nan(names[path]), names[path]))
    if files.label:
        read = _read(partial(opened.read_seg, str(files.label)), reader)
        name = names[files.label]
        if isinstance(read, Exception):
            look.problems.append(("D049", unreadable(name, read), name))
        else:
            grids.append(_Grid.of(name, *read, is_label=True))
            look.label = read[0]
    look.problems += _apart(grids)
    n_found = sum(grid.n_channels for grid in grids if not grid.is_label)
    if not look.problems and n_found != n_channels:
        look.problems.append(("D022", _wrong_number(grids, n_found, n_channels), grids[0].name))
    return look


@dataclass(frozen=True)
class _Grid:
    """A file as it was read: name, channels, voxels and their size in mm along Z, Y and X."""

    name: str
    n_channels: int
    shape: tuple[int, ...]
    spacing_mm: tuple[float, ...]
    is_label: bool = False

    @property
    def shape_text(self) -> str:
        """The shape along X, Y and Z; along X and Y of a picture."""
        return shape_text(self.shape[:0:-1] if self.shape[0] == 1 else self.shape[::-1])

    @classmethod
    def of(cls, name: str, voxels: np.ndarray, properties: dict[str, Any], *, is_label: bool = False) -> "_Grid":
        spacing = tuple(float(mm) for mm in np.ravel(np.asarray(properties["spacing"], float)))
        return cls(name, len(voxels), voxels.shape[1:], spacing, is_label)


def _read(read: Callable[[], tuple[np.ndarray, dict[str, Any]]], reader: str) -> Any:
    """Returns voxels and properties, or the error with which the reader refuses the file."""
    try:
        # It prints where a TIFF has no sidecar, and SimpleITK is not for two threads at once.
        with (
            silence() if reader == TIFF_READER else nullcontext(),
            ITK_READING if reader in ITK_READERS else nullcontext(),
        ):
            return read()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 (its libraries raise anything on a file that they cannot read)
        return error


def _apart(grids: list[_Grid]) -> Iterator[Problem]:
    for other in grids[1:]:
        first = grids[0]
        if other.shape != first.shape:
            yield (
                "D041",
                f"{other.name} has the shape {other.shape_text}, but {first.name} has {first.shape_text}, as nnU-Net "
                "reads them. All files of a case must lie on one grid; "
                "resample or export it again.",
                other.name,
            )
        elif not np.allclose(other.spacing_mm, first.spacing_mm):
            yield (
                "D042",
                f"{other.name} has the spacing {other.spacing_mm[::-1]} mm, but {first.name} has "
                f"{first.spacing_mm[::-1]} mm, as nnU-Net reads them. Correct the one that is wrong.",
                other.name,
            )


def _has_nan(name: str) -> str:
    return f"{name} holds NaN, with which nnU-Net refuses it. Put a value that makes sense for the image."


def _wrong_number(grids: list[_Grid], n_found: int, n_channels: int) -> str:
    files = [f"{grid.name} ({grid.n_channels})" for grid in grids if not grid.is_label]
    return (
        f"{', '.join(files)}: nnU-Net's reader finds {n_found} channel{'' if n_found == 1 else 's'}, but dataset.json "
        f"declares {n_channels}. Colours count as channels; save the image in grey, or name each channel in "
        "channel_names."
    )
