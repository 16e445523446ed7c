"""A slice of a validation case as a row of four pictures: image, reference, prediction, and where these two differ."""

from dataclasses import dataclass

import numpy as np

SIDE, GAP = 192, 4
"""Pixels of the longer side of a slice, and between two pictures."""

TITLES = ("image", "reference", "prediction", "difference")

ONLY_PREDICTED, MISSED, OTHER_LABEL = (213, 94, 0), (0, 114, 178), (240, 228, 66)
"""What a difference is: something where nothing is, nothing where something is, or another label."""
IGNORED = (110, 110, 110)

_LABELS = ((0, 158, 115), (230, 159, 0), (204, 121, 167), (86, 180, 233), (213, 94, 0), (0, 114, 178))
"""Okabe and Ito's, told apart with any colour vision; label after label."""
_SHARE = 0.55
"""How much of a label's colour there is over the image."""


@dataclass(frozen=True)
class Panel:
    """A slice, (rows, columns) each.

    Attributes:
        case: Its case.
        image: Intensities of the first channel.
        reference: Labels.
        prediction: Labels.
        pixel_mm: Size of a pixel, along rows and columns.
        ignore_label: Value in the reference that counts for nothing; None: there is none.
    """

    case: str
    image: np.ndarray
    reference: np.ndarray
    prediction: np.ndarray
    pixel_mm: tuple[float, float]
    ignore_label: int | None = None


def panel_pixels(panel: Panel) -> np.ndarray:
    """Returns the row, (rows, columns, RGB) of bytes, in which a millimetre is as long in both directions."""
    rows, columns = _sampling(panel.image.shape, panel.pixel_mm)
    image, reference, prediction = (part[rows][:, columns] for part in (panel.image, panel.reference, panel.prediction))
    grey = _grey(image)
    is_ignored = reference == panel.ignore_label if panel.ignore_label is not None else np.zeros(grey.shape[:2], bool)
    labelled = np.where(is_ignored, 0, reference)
    shown = _coloured(grey, labelled)
    shown[is_ignored] = IGNORED
    pictures = [grey, shown, _coloured(grey, prediction), _difference(grey, labelled, prediction, is_ignored)]
    gap = np.full((grey.shape[0], GAP, 3), 255, np.uint8)
    row = [part for picture in pictures for part in (picture, gap)][:-1]
    return np.concatenate(row, axis=1)


def _sampling(shape: tuple[int, ...], pixel_mm: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    extent = [n * mm for n, mm in zip(shape, pixel_mm, strict=True)]
    sizes = [max(16, round(SIDE * mm / max(extent))) for mm in extent]
    rows, columns = ((np.arange(size) * n) // size for size, n in zip(sizes, shape, strict=True))
    return rows, columns


def _grey(image: np.ndarray) -> np.ndarray:
    finite = np.nan_to_num(image.astype(np.float32), posinf=0.0, neginf=0.0)
    low, high = np.percentile(finite, [1, 99])
    pixels = (np.clip((finite - low) / max(float(high - low), 1e-6), 0, 1) * 255).astype(np.uint8)
    return np.repeat(pixels[..., None], 3, axis=2)


def _coloured(grey: np.ndarray, labels: np.ndarray) -> np.ndarray:
    pixels = grey.copy()
    for value in np.unique(labels[labels > 0]):
        colour = np.array(_LABELS[(int(value) - 1) % len(_LABELS)], np.float32)
        place = labels == value
        pixels[place] = (pixels[place] * (1 - _SHARE) + colour * _SHARE).astype(np.uint8)
    return pixels


def _difference(grey: np.ndarray, reference: np.ndarray, prediction: np.ndarray, is_ignored: np.ndarray) -> np.ndarray:
    pixels: np.ndarray = grey // 2
    differs = (reference != prediction) & ~is_ignored
    pixels[differs & (reference == 0)] = ONLY_PREDICTED
    pixels[differs & (prediction == 0)] = MISSED
    pixels[differs & (reference != 0) & (prediction != 0)] = OTHER_LABEL
    pixels[is_ignored] = IGNORED
    return pixels
