"""A second library finds the same surface metrics: MONAI, on shapes of anisotropic voxels and on 20 real cases."""

from collections.abc import Callable, Sequence
from typing import Any

import nibabel
import numpy as np
import pytest

from nnunet_assets.core.evaluation.case_metrics import LabelMetrics, mask_metrics
from nnunet_assets.core.evaluation.metric_policy import LabelRule
from nnunet_assets_tests.raw_builders import REAL_DATA

# MONAI passes an argument to itself that it has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:monai.metrics.utils get_mask_edges:FutureWarning")

Metrics = tuple[float, float, float]
"""HD95 and ASSD in mm, and NSD."""


@pytest.fixture(scope="module")
def monai() -> Callable[[np.ndarray, np.ndarray, Sequence[float], float], Metrics]:
    """MONAI's metrics of two masks; its import takes seconds."""
    metrics = pytest.importorskip("monai.metrics")
    import torch

    def compute(
        reference: np.ndarray, prediction: np.ndarray, spacing_mm: Sequence[float], tolerance_mm: float
    ) -> Metrics:
        pair = [torch.from_numpy(mask[None, None].astype(np.float32)) for mask in (prediction, reference)]
        options = {"include_background": True, "spacing": list(spacing_mm)}
        hd95_mm = metrics.compute_hausdorff_distance(*pair, percentile=95, **options)
        assd_mm = metrics.compute_average_surface_distance(*pair, symmetric=True, **options)
        nsd = metrics.compute_surface_dice(*pair, class_thresholds=[tolerance_mm], **options)
        return hd95_mm.item(), assd_mm.item(), nsd.item()

    return compute


def surface(found: LabelMetrics) -> tuple[float | None, ...]:
    return found.hd95_mm, found.assd_mm, found.nsd


def ellipsoid(center: Sequence[float], radii: Sequence[float], shape: Sequence[int] = (14, 24, 30)) -> np.ndarray:
    grid = np.indices(shape)
    distance = sum(((axis - c) / r) ** 2 for axis, c, r in zip(grid, center, radii, strict=True))
    mask: np.ndarray = distance <= 1
    return mask


SHAPES = {
    "moved": (ellipsoid((6, 11, 14), (4, 7, 9)), ellipsoid((7, 12, 17), (4, 7, 9))),
    "smaller": (ellipsoid((6, 11, 14), (4, 7, 9)), ellipsoid((6, 11, 14), (2, 5, 8))),
    "apart": (ellipsoid((3, 5, 6), (2, 3, 4)), ellipsoid((9, 17, 22), (3, 4, 5))),
    "two parts": (ellipsoid((3, 5, 6), (2, 3, 4)) | ellipsoid((9, 17, 22), (3, 4, 5)), ellipsoid((3, 6, 7), (2, 3, 4))),
    "at the border": (ellipsoid((0, 0, 0), (4, 9, 8)), ellipsoid((0, 2, 29), (5, 12, 12))),
    "one voxel": (ellipsoid((6, 11, 14), (0.5, 0.5, 0.5)), ellipsoid((6, 11, 14), (4, 7, 9))),
}


@pytest.mark.parametrize("spacing_mm", [(5.0, 2.0, 1.0), (0.7, 3.0, 0.9), (1.0, 1.0, 1.0)])
@pytest.mark.parametrize("name", SHAPES)
def test_shapes_of_anisotropic_voxels_score_the_same(monai: Any, name: str, spacing_mm: Sequence[float]) -> None:
    reference, prediction = SHAPES[name]
    for tolerance_mm in (1.5, 4.5):
        found = mask_metrics(reference, prediction, spacing_mm, LabelRule((1,), tolerance_mm))
        assert surface(found) == pytest.approx(monai(reference, prediction, spacing_mm, tolerance_mm), rel=1e-5)


def perturbed(mask: np.ndarray, seed: int) -> np.ndarray:
    """Returns what a network might predict: the mask moved by a voxel or so, grown or shrunk, with a ragged rim."""
    from scipy import ndimage

    random = np.random.default_rng(seed)
    moved = ndimage.shift(mask.astype(float), random.uniform(-1.5, 1.5, mask.ndim), order=1)
    noise = ndimage.gaussian_filter(random.normal(size=mask.shape), 1.5)
    likely: np.ndarray = ndimage.gaussian_filter(moved, 0.7) + noise > random.uniform(0.35, 0.65)
    return likely


@pytest.mark.real_data
@pytest.mark.skipif(not REAL_DATA.is_dir(), reason=f"the hippocampus cases are not at {REAL_DATA}")
def test_twenty_real_cases_score_the_same(monai: Any) -> None:
    files = sorted((REAL_DATA / "labelsTr").glob("hippocampus_*.nii.gz"))[:20]
    assert len(files) == 20
    # The cases' own voxels are cubes of 1 mm; these sides let a swap of axes fail.
    spacing_mm = (1.0, 1.5, 0.8)
    n_close = 0
    for seed, file in enumerate(files):
        reference = np.asarray(nibabel.load(file).dataobj) == 1 + seed % 2  # anterior and posterior in turn
        prediction = perturbed(reference, seed)
        found = mask_metrics(reference, prediction, spacing_mm, LabelRule((1,), 1.2))
        assert surface(found) == pytest.approx(monai(reference, prediction, spacing_mm, 1.2), rel=1e-5), file.name
        n_close += found.dice is not None and 0.6 < found.dice < 0.97
    assert n_close >= 17, "the perturbed references no longer look like predictions"
