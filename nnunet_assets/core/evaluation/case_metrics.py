"""How well one label image repeats another: overlap, surface distances, volumes and lesions, label by label.

Knows arrays and their spacing; files, and which labels there are, it does not know.

Surface distances are measured in the two ways that published numbers are; each metric's name says which.

`hd95_mm`, `assd_mm` and `nsd` are those between boundary voxels: MONAI's (`use_subvoxels=False`) and MetricsReloaded's
definition. A surface voxel belongs to the mask and has a face on its outside; the image's border is outside. Distances
go from centre to centre in mm, so that two masks that differ by one layer are one voxel apart along the axis of that
layer. Each surface voxel counts the same whatever area it stands for.

* HD95 is the larger of the two directed 95th percentiles, with linear interpolation. (MedPy takes one percentile of
  both directions together.)
* ASSD is the mean over both directions' distances together. (MedPy takes the mean of the two directed means.)
* NSD is the part of both surfaces' voxels that lies within the tolerance of the other surface.

`hausdorff95_surface_mm`, `assd_surface_mm` and `nsd_surface` are those between surface elements, which count by their
area: google-deepmind/surface-distance's definition (`surface_elements`). They lie between the voxels. The values
differ, most for thin objects, tolerances of about a voxel, and voxels that are no cubes.

* HD95 is the larger of the two directed distances within which 95 % of a surface's area lies.
* ASSD is the mean over both surfaces' area together. (surface-distance gives the two directed means.)
* NSD is the part of both surfaces' area that lies within the tolerance of the other surface.

SciPy computes the geometry: erosion, connected components and a k-d tree, whose memory grows with the surfaces and not
with the space between them as a distance transform's does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from nnunet_assets.core.evaluation.metric_policy import LabelRule, MetricPolicy
from nnunet_assets.core.evaluation.surface_elements import surface_elements

HD_PERCENTILE = 95

SurfaceOf = Callable[[np.ndarray, Sequence[float]], tuple[np.ndarray, np.ndarray | None]]
"""Takes a mask and its spacing; returns the points of its surface in mm and what each weighs, None: all the same."""

_HEADER_ROUNDING = 1e-6
"""Headers keep spacings in 32 bits: 5 voxels of 0.6 mm are 3.0000001 mm, which a tolerance of 3 mm includes."""

_SLAB_VOXELS = 1 << 20
"""Voxels looked at together: what a step needs beside the images stays small."""


@dataclass(frozen=True)
class LabelMetrics:
    """How well one label of one case was predicted; None where a number is undefined.

    Attributes:
        dice: In [0, 1]; None where both masks are empty.
        iou: Intersection over union, as `dice`.
        sensitivity: Found part of the reference, in [0, 1]; None where the reference is empty.
        precision: Right part of the prediction, in [0, 1]; None where the prediction is empty.
        hd95_mm: See the module; None where a mask is empty.
        assd_mm: As `hd95_mm`.
        nsd: In [0, 1]; 0 where one mask is empty, None where both are.
        hausdorff95_surface_mm: As `hd95_mm`, by surface elements.
        assd_surface_mm: As `assd_mm`, by surface elements.
        nsd_surface: As `nsd`, by surface elements.
        reference_voxels: Size of the reference; 0: it is empty.
        prediction_voxels: Size of the prediction; 0: it is empty.
        reference_ml: Volume in millilitres; None for an image of two axes, which has no volume.
        prediction_ml: As `reference_ml`.
        volume_error_ml: Prediction minus reference; None as `reference_ml`.
        volume_error_relative: The same divided by the reference; None where that is empty.
        lesions_reference: Connected components of the reference; None where lesions are not counted, as the next three.
        lesions_found: Those of them that the prediction touches.
        lesions_prediction: Connected components of the prediction.
        lesions_false: Those of them that the reference does not touch.
        image_diagonal_mm: Of the whole image, along the axes that distances are measured along: no surface distance of
            the case can be larger. None where only masks are known.
    """

    dice: float | None
    iou: float | None
    sensitivity: float | None
    precision: float | None
    hd95_mm: float | None
    assd_mm: float | None
    nsd: float | None
    hausdorff95_surface_mm: float | None
    assd_surface_mm: float | None
    nsd_surface: float | None
    reference_voxels: int
    prediction_voxels: int
    reference_ml: float | None
    prediction_ml: float | None
    volume_error_ml: float | None
    volume_error_relative: float | None
    lesions_reference: int | None = None
    lesions_found: int | None = None
    lesions_prediction: int | None = None
    lesions_false: int | None = None
    image_diagonal_mm: float | None = None


def case_metrics(
    reference: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float], policy: MetricPolicy
) -> dict[str, LabelMetrics]:
    """Returns the metrics of each label of a case.

    Memory: beside the images one or two bytes a voxel for each of them, and the box around one label.

    Args:
        reference: Voxel values, whole numbers, only those that the policy knows; two or three axes.
        prediction: Likewise, of the same shape.
        spacing_mm: Voxel size along the arrays' axes, in their order: (z, y, x) for arrays (z, y, x).
        policy: Which labels there are, and how they are measured.
    """
    from scipy.ndimage import find_objects

    voxel_ml = float(np.prod(spacing_mm)) / 1000 if len(spacing_mm) == 3 else None
    # An image of one slice is a plane: with that axis every voxel would lie on the surface.
    axes = [axis for axis, n in enumerate(reference.shape) if n > 1] or [reference.ndim - 1]
    in_plane_mm = [spacing_mm[axis] for axis in axes]
    shape = [reference.shape[axis] for axis in axes]
    diagonal_mm = float(np.linalg.norm(np.multiply(shape, in_plane_mm)))
    pair = [_encoded(image, policy).reshape(shape) for image in (reference, prediction)]
    boxes = [find_objects(codes, len(policy.voxel_values)) for codes in pair]
    metrics = {}
    for name, rule in policy.labels.items():
        codes = [policy.voxel_values.index(value) for value in rule.values]
        box = _union([image_boxes[code] for image_boxes in boxes for code in codes])
        masks = _masks(pair[0][box], pair[1][box], codes, policy)
        found = mask_metrics(*masks, in_plane_mm, rule, voxel_ml=voxel_ml)
        metrics[name] = replace(found, image_diagonal_mm=diagonal_mm)
    return metrics


def mask_metrics(
    reference: np.ndarray,
    prediction: np.ndarray,
    spacing_mm: Sequence[float],
    rule: LabelRule,
    *,
    voxel_ml: float | None = None,
) -> LabelMetrics:
    """Returns the metrics of two masks.

    Args:
        reference: Boolean. What lies around the array counts as outside.
        prediction: Boolean, of the same shape.
        spacing_mm: Voxel size along the arrays' axes, in their order.
        rule: How the label is measured; its values are not looked at.
        voxel_ml: Volume of a voxel; None: volumes are undefined.
    """
    n_reference, n_prediction = int(np.count_nonzero(reference)), int(np.count_nonzero(prediction))
    n_both = int(np.count_nonzero(reference & prediction))
    by_voxels = _surface_metrics(reference, prediction, spacing_mm, rule.nsd_tolerance_mm, voxel_surface)
    by_elements = _surface_metrics(reference, prediction, spacing_mm, rule.nsd_tolerance_mm, surface_elements)
    lesions = _lesions(reference, prediction) if rule.counts_lesions else (None, None, None, None)
    return LabelMetrics(
        dice=_ratio(2 * n_both, n_reference + n_prediction),
        iou=_ratio(n_both, n_reference + n_prediction - n_both),
        sensitivity=_ratio(n_both, n_reference),
        precision=_ratio(n_both, n_prediction),
        hd95_mm=by_voxels[0],
        assd_mm=by_voxels[1],
        nsd=by_voxels[2],
        hausdorff95_surface_mm=by_elements[0],
        assd_surface_mm=by_elements[1],
        nsd_surface=by_elements[2],
        reference_voxels=n_reference,
        prediction_voxels=n_prediction,
        reference_ml=None if voxel_ml is None else n_reference * voxel_ml,
        prediction_ml=None if voxel_ml is None else n_prediction * voxel_ml,
        volume_error_ml=None if voxel_ml is None else (n_prediction - n_reference) * voxel_ml,
        volume_error_relative=None if voxel_ml is None else _ratio(n_prediction - n_reference, n_reference),
        lesions_reference=lesions[0],
        lesions_found=lesions[1],
        lesions_prediction=lesions[2],
        lesions_false=lesions[3],
    )


def voxel_surface(mask: np.ndarray, spacing_mm: Sequence[float]) -> tuple[np.ndarray, None]:
    """Returns where the surface voxels lie, `(n, n_axes)` in mm; none weighs more than another."""
    from scipy.ndimage import binary_erosion

    return np.argwhere(mask & ~binary_erosion(mask)) * np.asarray(spacing_mm, float), None


def surface_distances_mm(reference: np.ndarray, prediction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the distance of each point of a surface to the other surface: the reference's, then the prediction's.

    Args:
        reference: `(n, n_axes)` in mm, at least one point.
        prediction: Likewise.
    """
    from scipy.spatial import KDTree

    # The points lie on a grid, where the balanced tree's medians cost more than they save.
    trees = [
        KDTree(points, leafsize=32, balanced_tree=False, compact_nodes=False) for points in (reference, prediction)
    ]
    return trees[1].query(reference)[0], trees[0].query(prediction)[0]


def unknown_values(voxels: np.ndarray, policy: MetricPolicy) -> dict[int, int]:
    """Returns the values in a label image that the policy does not know, and how many voxels have each."""
    counts: dict[int, int] = {}
    for slab in _slabs(voxels):
        found, n_voxels = np.unique(slab[_codes_of(slab, policy) == 0], return_counts=True)
        for value, n in zip(found.tolist(), n_voxels.tolist(), strict=True):
            counts[value] = counts.get(value, 0) + n
    return counts


def _ratio(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def _surface_metrics(
    reference: np.ndarray,
    prediction: np.ndarray,
    spacing_mm: Sequence[float],
    tolerance_mm: float,
    surface_of: SurfaceOf,
) -> tuple[float | None, float | None, float | None]:
    """Returns HD95, ASSD and NSD between the surfaces as `surface_of` has them."""
    is_there = bool(reference.any()), bool(prediction.any())
    if not all(is_there):
        return None, None, 0.0 if any(is_there) else None
    surfaces = [surface_of(mask, spacing_mm) for mask in (reference, prediction)]
    weights = [areas for _, areas in surfaces]
    known = [areas for areas in weights if areas is not None]
    distances = surface_distances_mm(surfaces[0][0], surfaces[1][0])
    together, weight = np.concatenate(distances), np.concatenate(known) if known else None
    is_within = together <= tolerance_mm * (1 + _HEADER_ROUNDING)
    return (
        max(_percentile(directed, areas) for directed, areas in zip(distances, weights, strict=True)),
        float(np.average(together, weights=weight)),
        float(np.average(is_within, weights=weight)),
    )


def _percentile(distances_mm: np.ndarray, areas: np.ndarray | None) -> float:
    """Returns the distance within which 95 % of the points lie, or of their area where they have one."""
    if areas is None:
        return float(np.percentile(distances_mm, HD_PERCENTILE))
    order = np.argsort(distances_mm)
    parts = np.cumsum(areas[order]) / areas.sum()
    found = np.searchsorted(parts, HD_PERCENTILE / 100)
    return float(distances_mm[order][min(int(found), len(order) - 1)])


def _lesions(reference: np.ndarray, prediction: np.ndarray) -> tuple[int, int, int, int]:
    """Returns the components of the reference, those found, the components of the prediction, and the false ones."""
    from scipy.ndimage import generate_binary_structure, label

    neighbours = generate_binary_structure(reference.ndim, reference.ndim)
    both = reference & prediction
    (n_reference, n_found), (n_prediction, n_right) = (
        (n, len(np.unique(components[both])))
        for components, n in (label(mask, neighbours) for mask in (reference, prediction))
    )
    return n_reference, n_found, n_prediction, n_prediction - n_right


def _encoded(voxels: np.ndarray, policy: MetricPolicy) -> np.ndarray:
    """Returns each voxel's place among the policy's values, counted from 1: small numbers without gaps."""
    encoded = np.empty(voxels.shape, np.uint8 if len(policy.voxel_values) < 256 else np.uint16)
    for slab, target in zip(_slabs(voxels), _slabs(encoded), strict=True):
        target[...] = _codes_of(slab, policy)
    return encoded


def _codes_of(slab: np.ndarray, policy: MetricPolicy) -> np.ndarray:
    highest = policy.voxel_values[-1]
    # The last entry, 0, stands for every value that is not in the table: those below 0 and above the highest.
    table = np.zeros(highest + 2, np.uint16)
    table[list(policy.voxel_values)] = np.arange(1, len(policy.voxel_values) + 1)
    values = slab.astype(np.int64)
    return table[np.where((values < 0) | (values > highest), highest + 1, values)]


def _slabs(voxels: np.ndarray) -> Iterator[np.ndarray]:
    """Yields the image in views of whole slices along the first axis."""
    n_slices = max(1, _SLAB_VOXELS // max(1, voxels[0].size))
    for start in range(0, len(voxels), n_slices):
        yield voxels[start : start + n_slices]


def _union(boxes: Sequence[tuple[slice, ...] | None]) -> tuple[slice, ...]:
    """Returns the box around boxes; None stands for a value that is nowhere, and nothing but None gives no voxel."""
    found = [box for box in boxes if box is not None]
    if not found:
        return (slice(0, 0),)
    return tuple(
        slice(min(part.start for part in axis), max(part.stop for part in axis)) for axis in zip(*found, strict=True)
    )


def _masks(
    reference: np.ndarray, prediction: np.ndarray, codes: Sequence[int], policy: MetricPolicy
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the masks of the values at these places in `policy.voxel_values`, without the ignored voxels."""
    is_label = np.zeros(len(policy.voxel_values) + 1, bool)
    is_label[[code + 1 for code in codes]] = True
    masks = is_label[reference], is_label[prediction]
    if policy.ignore_value is not None:
        counts = reference != policy.voxel_values.index(policy.ignore_value) + 1
        masks = masks[0] & counts, masks[1] & counts
    return masks
