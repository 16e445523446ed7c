"""The surface of a mask as elements with an area, as google-deepmind/surface-distance measures it.

An element lies where eight voxels meet (in a plane: four), of which some belong to the mask and some do not. Its area
is that of the surface that parts them: each edge of the cube between the eight centres that leaves the mask is cut in
its middle, and the polygons through the cuts are divided into triangles. So a flat face of n voxels counts as n, a
corner that is cut off counts less, and a slice of 5 mm does not weigh as one of 1 mm. Where diagonals cross, the side
with fewer voxels is taken apart. In a plane the elements are pieces of contour with a length.

Polygons of five corners and more are not flat; of their divisions that of the largest area in a cube of side 1 counts,
which is what surface-distance's table has, to the last digit for every spacing that was tried.
"""

from collections.abc import Iterator, Sequence
from functools import cache, lru_cache
from itertools import product

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Corner = tuple[int, ...]
"""Of the cube between the centres of eight voxels, or the square of four: 0 or 1 along each axis."""
Cut = frozenset[Corner]
"""The two ends of an edge that the surface cuts in its middle."""
Piece = tuple[Cut, ...]
"""A triangle, a piece of contour, or in one dimension a point."""

_AREA_DIGITS = 9
"""Areas that differ in their last digit are equal."""


def surface_elements(mask: NDArray[np.bool_], spacing_mm: Sequence[float]) -> tuple[Array, Array]:
    """Returns where the elements lie, `(n, n_axes)` in mm, and their areas in mm² (lengths in mm of a plane), `(n,)`.

    Args:
        mask: One to three axes; what lies around the array is outside.
        spacing_mm: Voxel size along the axes, in their order.
    """
    codes = _neighbour_codes(mask)
    is_surface = (codes != 0) & (codes != 2 ** (2**mask.ndim) - 1)
    areas = element_areas(tuple(map(float, spacing_mm)))[codes[is_surface]]
    return np.argwhere(is_surface) * np.asarray(spacing_mm, float), areas


@lru_cache(maxsize=256)
def element_areas(spacing_mm: tuple[float, ...]) -> Array:
    """Returns the area of each neighbourhood: bit k says whether the k-th of `itertools.product`'s corners is inside.

    Of three axes there are 256, of two 16 (lengths), of one 4 (1 where the ends differ).
    """
    spacing = np.array(spacing_mm)
    pieces_by_code = _pieces_by_code(len(spacing_mm))
    return np.array([sum(_size(piece, spacing) for piece in pieces) for pieces in pieces_by_code], float)


def _neighbour_codes(mask: NDArray[np.bool_]) -> NDArray[np.uint8]:
    padded = np.pad(mask, 1).astype(np.uint8)
    codes = np.zeros([n + 1 for n in mask.shape], np.uint8)
    for bit, corner in enumerate(_corners(mask.ndim)):
        some = tuple(slice(at, at + n + 1) for at, n in zip(corner, mask.shape, strict=True))
        codes |= padded[some] << np.uint8(bit)
    return codes


def _corners(n_axes: int) -> list[Corner]:
    return list(product((0, 1), repeat=n_axes))


@cache
def _pieces_by_code(n_axes: int) -> list[list[Piece]]:
    n_corners = 2**n_axes
    codes = range(2**n_corners)
    # A neighbourhood and its complement share their surface.
    return [_pieces(min(code, 2**n_corners - 1 - code, key=int.bit_count), n_axes) for code in codes]


def _pieces(code: int, n_axes: int) -> list[Piece]:
    inside = {corner: bool(code >> bit & 1) for bit, corner in enumerate(_corners(n_axes))}
    if n_axes == 1:
        return [(frozenset(inside),)] if inside[(0,)] != inside[(1,)] else []
    square = [(0, 0), (0, 1), (1, 1), (1, 0)]
    if n_axes == 2:
        return list(_segments(square, inside))
    segments: list[Piece] = []
    for axis, side in product(range(3), (0, 1)):
        around = [(*corner[:axis], side, *corner[axis:]) for corner in square]
        segments += _segments(around, inside)
    return [triangle for loop in _loops(segments) for triangle in _largest_division(loop)]


def _segments(around: Sequence[Corner], inside: dict[Corner, bool]) -> Iterator[Piece]:
    """Yields what parts the corners of a square, given in turn, that are inside from those outside."""
    edges = [frozenset((around[k - 1], around[k])) for k in range(4)]
    cut = [edge for k, edge in enumerate(edges) if inside[around[k - 1]] != inside[around[k]]]
    if len(cut) == 2:
        yield tuple(cut)
    elif cut:  # two corners that are inside lie across; each is cut off
        yield from ((edges[k], edges[(k + 1) % 4]) for k in range(4) if inside[around[k]])


def _loops(segments: Sequence[Piece]) -> Iterator[list[Cut]]:
    """Yields the closed polygons of segments, of which two end in each cut."""
    left = list(segments)
    while left:
        loop = list(left.pop())
        while following := next((segment for segment in left if loop[-1] in segment), None):
            left.remove(following)
            loop.append(following[1] if following[0] == loop[-1] else following[0])
        yield loop[:-1]  # the last is the first again


def _largest_division(loop: Sequence[Cut]) -> tuple[Piece, ...]:
    unit = np.ones(3)

    def area(triangles: tuple[Piece, ...]) -> float:
        return round(sum(_size(triangle, unit) for triangle in triangles), _AREA_DIGITS)

    return max(_divisions(loop, 0, len(loop) - 1), key=area)


def _divisions(loop: Sequence[Cut], first: int, last: int) -> list[tuple[Piece, ...]]:
    """Returns every way of dividing the polygon from the first to the last of these corners into triangles."""
    if last - first < 2:
        return [()]
    return [
        (*one, *other, (loop[first], loop[middle], loop[last]))
        for middle in range(first + 1, last)
        for one in _divisions(loop, first, middle)
        for other in _divisions(loop, middle, last)
    ]


def _size(piece: Piece, spacing_mm: Array) -> float:
    first, *others = [np.mean([np.array(corner) for corner in sorted(cut)], axis=0) * spacing_mm for cut in piece]
    sides = [point - first for point in others]
    if len(sides) == 2:
        return float(np.linalg.norm(np.cross(*sides)) / 2)
    return float(np.linalg.norm(sides)) if sides else 1.0
