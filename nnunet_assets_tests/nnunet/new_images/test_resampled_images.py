"""Images that a header in other units makes huge, or nothing, beside nnU-Net's own sum."""

from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.nnunet.cases.case_check import CaseFacts
from nnunet_assets.nnunet.images.case_geometry import Geometry
from nnunet_assets.nnunet.new_images import resampled_images
from nnunet_assets.nnunet.new_images.resampled_images import resampled_findings
from nnunet_assets_tests.raw_builders import write_json

# nnU-Net's axes are z, y, x; the first of the model's is x.
PLANS = {
    "transpose_forward": [2, 0, 1],
    "configurations": {
        "3d_fullres": {"spacing": [4.0, 2.0, 1.0]},
        "2d": {"spacing": [2.0, 1.0]},
        "3d_lowres": {"spacing": [400.0, 2.0, 1.0]},
    },
}


def facts(shape: tuple[int, ...], spacing_mm: tuple[float, ...]) -> CaseFacts:
    return CaseFacts("a", ("0",), None, geometry=Geometry("a.nii.gz", shape, spacing_mm, ()))


def found(
    folder: Path, shape: tuple[int, ...], spacing_mm: tuple[float, ...], *stages: str, n_channels: int = 1
) -> list[tuple[str, str]]:
    write_json(folder / "plans.json", PLANS)
    member = None
    for stage in stages or ("3d_fullres",):
        member = Member(Experiment("Dataset001_Tiny", stage), folder, ("fold_0",), "checkpoint_final.pth", member)
    assert member is not None
    return [
        (one.severity, one.message)
        for one in resampled_findings([facts(shape, spacing_mm)], [member], n_channels, n_labels=3)
    ]


def test_the_memory_is_that_of_the_voxels_that_the_model_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # x 8 × 2 / 4, z 10 × 4 / 2, y 6 × 3 / 1: 4 × 20 × 18 voxels of 4 bytes and three labels of 2.
    monkeypatch.setattr(resampled_images, "memory_bytes", lambda: 4 * 20 * 18 * 10)
    assert found(tmp_path, (8, 6, 10), (2.0, 3.0, 4.0)) == []
    monkeypatch.setattr(resampled_images, "memory_bytes", lambda: 4 * 20 * 18 * 10 - 1)
    ((severity, message),) = found(tmp_path, (8, 6, 10), (2.0, 3.0, 4.0))
    assert severity == "warning"
    assert "'a' has 8 × 6 × 10 voxels of 2 × 3 × 4 mm, and 3d_fullres makes 4 × 20 × 18 of them" in message
    assert found(tmp_path, (8, 6, 10), (20.0, 30.0, 4.0))[0][0] == "error"
    assert found(tmp_path, (8, 6, 10), (2.0, 3.0, 4.0), "2d") != []  # 8 slices along x stay


def test_an_image_of_which_nothing_is_left_is_refused_whichever_stage_sees_it(tmp_path: Path) -> None:
    ((severity, message),) = found(tmp_path, (8, 6, 10), (0.002, 0.003, 0.004))
    assert severity == "error"
    assert "3d_fullres makes no voxel of them" in message
    ((_, message),) = found(tmp_path, (8, 6, 10), (2.0, 3.0, 4.0), "3d_lowres", "3d_fullres")
    assert "3d_lowres makes no voxel of them" in message


def test_a_plane_counts_with_the_third_axis_that_nnunets_readers_give_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # z is one slice of 999 mm, of which the model makes 500 (it rounds to even); x 8 × 4 / 4, y 6.
    monkeypatch.setattr(resampled_images, "memory_bytes", lambda: 8 * 500 * 6 * 10 - 1)
    ((_, message),) = found(tmp_path, (8, 6), (4.0, 1.0))
    assert "makes 8 × 500 × 6 of them" in message


def test_what_the_plans_or_the_format_do_not_say_is_passed_over(tmp_path: Path) -> None:
    assert found(tmp_path, (8, 6, 10), (1e9, 1e9, 1e9), "unknown") == []
    member = Member(Experiment("Dataset001_Tiny", "3d_fullres"), tmp_path, ("fold_0",), "checkpoint_final.pth")
    assert list(resampled_findings([CaseFacts("a", ("0",), None)], [member], 1, 3)) == []
