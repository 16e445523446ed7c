"""The numbers of an image from which `core.dataset.intensity_rules` tells what normalization makes of it, in one pass.

An odd voxel is one of a few that lie far from all others: farther from the median than 20 times the range of the middle
nine tenths, three times as far as the next one, and at most one in ten thousand, or twenty. What is more frequent, or
the end of a long tail, is a part of the image: vessels, contrast medium, the bladder in a PET.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from nnunet_assets.core.dataset.intensity_rules import MOST, Extremes, Range
from nnunet_assets.nnunet.images.nifti import Volume
from nnunet_assets.nnunet.images.reader_voxels import PlainVoxels

_BLOCK = 1 << 16
"""Stays in a processor's cache: three times as fast as 1 << 20."""
_SAMPLE = 200_000
_FAR = 20.0
_GAP = 3.0
_MOST_ODD_PART = 1e-4
_MOST_ODD = 20
_KEPT = 1000
"""Places of voxels that are looked up in the label image."""


Voxels = Volume | PlainVoxels


class ExtremesOfCase:
    """Takes the images of a case one by one, and then its label image, so that no two are in memory at once."""

    def __init__(self) -> None:
        self._looks: dict[Path, tuple[Extremes, tuple[int, ...], np.ndarray, np.ndarray]] = {}

    def add_image(self, path: Path, volume: Voxels) -> None:
        """Looks at an image."""
        look = _Look(volume)
        self._looks[path] = (look.extremes(), volume.shape, *look.odd)

    def add_label(self, volume: Voxels) -> None:
        """Notes which of the odd voxels are in a label, where images and label have one shape."""
        labels = volume.stored.ravel(order="K")
        for path, (image, shape, places, values) in self._looks.items():
            if shape == volume.shape and places.size:
                in_label = values[labels[places] > 0]
                finite = in_label[np.isfinite(in_label)]
                found = replace(
                    image,
                    # The farthest are the first.
                    odd_in_label=float(finite[0]) if finite.size else None,
                    is_too_large_in_label=finite.size < in_label.size,
                )
                self._looks[path] = (found, shape, places, values)

    def of(self, images: Sequence[Path]) -> tuple[Extremes | None, ...]:
        """Returns those of each image; None of one that was not looked at."""
        return tuple(self._looks[path][0] if path in self._looks else None for path in images)


@dataclass
class _Sums:
    """Sums of voxels, taken from a centre so that large offsets cost no digits."""

    centre: float
    n: int = 0
    n_zeros: int = 0
    total: float = 0.0
    squares: float = 0.0
    lowest: float = np.inf
    highest: float = -np.inf

    def add(self, values: np.ndarray) -> None:
        if not values.size:
            return
        apart = values - self.centre
        self.n += values.size
        self.n_zeros += values.size - int(np.count_nonzero(values))
        self.total += float(apart.sum())
        # Not `apart @ apart`: BLAS would start threads for each block, in each of the threads that read cases.
        self.squares += float(np.square(apart, out=apart).sum())
        self.lowest, self.highest = min(self.lowest, float(values.min())), max(self.highest, float(values.max()))

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(
            self.centre,
            self.n + other.n,
            self.n_zeros + other.n_zeros,
            self.total + other.total,
            self.squares + other.squares,
            min(self.lowest, other.lowest),
            max(self.highest, other.highest),
        )

    def without_zeros(self) -> "_Sums":
        """Returns the sums of the other voxels; lowest and highest stay those of all."""
        return replace(
            self,
            n=self.n - self.n_zeros,
            n_zeros=0,
            total=self.total + self.n_zeros * self.centre,
            squares=self.squares - self.n_zeros * self.centre**2,
        )

    def range(self) -> Range:
        if not self.n:
            return Range()
        mean = self.total / self.n
        # Of equal values, nothing but rounding would be left.
        variance = max(self.squares / self.n - mean**2, 0.0) if self.lowest < self.highest else 0.0
        ends = (float(np.float32(self.lowest)), float(np.float32(self.highest)))
        return Range(self.n, self.centre + mean, variance**0.5, *ends)


class _Look:
    """One image. Voxels that are NaN or infinite in the file are findings of their own, and count for nothing here."""

    def __init__(self, volume: Voxels) -> None:
        self._volume = volume
        self._flat = volume.stored.ravel(order="K")
        sample, _ = _as_read(self._flat[:: max(1, self._flat.size // _SAMPLE)], volume)
        sample = sample[np.abs(sample) <= MOST]
        nonzero = sample[sample != 0]
        self._centre = float(np.median(nonzero if nonzero.size else sample)) if sample.size else 0.0
        self._width = _width(nonzero) or _width(sample)
        self._far = _FAR * self._width if self._width else np.inf
        self._n_too_large = 0
        self._near, self._apart = _Sums(self._centre), _Sums(self._centre)
        self._odd = [(np.empty(0, np.int64), np.empty(0))]
        for start in range(0, self._flat.size, _BLOCK):
            self._look(start)

    def _look(self, start: int) -> None:
        """Adds a block to the sums, and places and values of its farthest voxels, infinite where they are not held."""
        values, is_in_file = _as_read(self._flat[start : start + _BLOCK], self._volume)
        least, most = max(self._centre - self._far, -MOST), min(self._centre + self._far, MOST)
        if values.min() >= least and values.max() <= most:
            self._near.add(values)
            return
        is_near = (values >= least) & (values <= most)
        is_held = np.abs(values) <= MOST
        self._near.add(values[is_near])
        self._apart.add(values[is_held & ~is_near])
        self._n_too_large += int((~is_held & is_in_file).sum())
        places = np.flatnonzero(is_in_file & ~is_near)
        found = np.where(is_held[places], values[places], np.inf)
        farthest = self._farthest_first(found)
        self._odd.append((start + places[farthest], found[farthest]))

    def _farthest_first(self, values: np.ndarray) -> np.ndarray:
        return np.argsort(-np.abs(values - self._centre), kind="stable")[:_KEPT]

    @property
    def odd(self) -> tuple[np.ndarray, np.ndarray]:
        """Places and values of the odd voxels and of those that are too large, the farthest first."""
        places, values = self._far_ones()
        kept = np.isinf(values)
        kept[np.flatnonzero(~kept)[: self._n_odd(values)]] = True
        return places[kept], values[kept]

    def _far_ones(self) -> tuple[np.ndarray, np.ndarray]:
        places, values = (np.concatenate(parts) for parts in zip(*self._odd, strict=True))
        farthest = self._farthest_first(values)
        return places[farthest], values[farthest]

    def _n_odd(self, values: np.ndarray) -> int:
        """Returns how many of the finite ones, the farthest first, have a gap between them and all others."""
        distances = np.abs(values[np.isfinite(values)] - self._centre)
        if not distances.size or distances.size < self._apart.n:
            return 0
        ends = [self._near.lowest, self._near.highest] if self._near.n else [self._centre]
        nearer = np.append(distances[1:], max(abs(end - self._centre) for end in ends))
        gaps = np.flatnonzero(distances >= _GAP * nearer)
        n_odd = int(gaps[0]) + 1 if gaps.size else 0
        return n_odd if n_odd <= max(_MOST_ODD, _MOST_ODD_PART * self._flat.size) else 0

    def extremes(self) -> Extremes:
        _, values = self._far_ones()
        n_odd, finite = self._n_odd(values), values[np.isfinite(values)]
        whole = rest = self._near + self._apart
        if n_odd:
            others = _Sums(self._centre)
            others.add(finite[n_odd:])
            rest = self._near + others
        voxel, value = self._farthest()
        return Extremes(
            whole=whole.range(),
            rest=rest.range(),
            nonzero=whole.without_zeros().range(),
            nonzero_rest=rest.without_zeros().range(),
            width=self._width,
            step=float(np.spacing(np.float32(min(max(abs(self._centre), self._width), MOST / 2)))),
            n_too_large=self._n_too_large,
            n_odd=n_odd,
            voxel=voxel,
            value=value,
        )

    def _farthest(self) -> tuple[tuple[int, ...] | None, str]:
        places, _ = self.odd
        if not places.size:
            return None, ""
        voxel = tuple(int(index) for index in np.unravel_index(places[0], self._volume.shape, order="F"))
        (value,), _ = _as_read(self._flat[places[0] : places[0] + 1], self._volume)
        return voxel, f"{value:.6g}"


def _as_read(stored: np.ndarray, volume: Voxels) -> tuple[np.ndarray, np.ndarray]:
    """Returns voxels as 64-bit floats, and which of them are numbers in the file, whatever its slope makes of them."""
    is_number = np.isfinite(stored) if stored.dtype.kind == "f" else np.ones(stored.shape, bool)
    with np.errstate(over="ignore", invalid="ignore"):
        return stored.astype(np.float64) * volume.slope + volume.intercept, is_number


def _width(values: np.ndarray) -> float:
    if not values.size:
        return 0.0
    low, high = np.quantile(values, (0.05, 0.95))
    return float(high) - float(low)
