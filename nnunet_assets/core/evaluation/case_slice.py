"""One slice of a case as a figure shows it, and which slice tells most."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class CaseSlice:
    """One slice of a case.

    Attributes:
        title: Which case this is, and how it scored.
        image: Intensities, (rows, columns).
        reference: Label values, likewise.
        predicted: Label values, likewise.
        pixel_mm: Height and width of a pixel.
    """

    title: str
    image: "np.ndarray"
    reference: "np.ndarray"
    predicted: "np.ndarray"
    pixel_mm: tuple[float, float]


def telling_slice(reference: "np.ndarray", predicted: "np.ndarray", axis: int = 2) -> int:
    """Returns the slice with the most voxels in which reference and prediction differ; without any, the most labelled.

    Args:
        reference: Label values, (X, Y, Z).
        predicted: Likewise.
        axis: Slices go along this axis.

    Without any label in both it is the middle slice.
    """
    others = tuple(n for n in range(reference.ndim) if n != axis)
    for counted in (reference != predicted, (reference > 0) | (predicted > 0)):
        by_slice = counted.sum(axis=others)
        if by_slice.any():
            return int(by_slice.argmax())
    return int(reference.shape[axis]) // 2
