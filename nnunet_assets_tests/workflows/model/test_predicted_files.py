"""The table beside masks; the volumes are worked out by hand."""

from pathlib import Path

from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.nnunet.predictions.written_mask import MaskRecord
from nnunet_assets.workflows.model.predicted_files import draw_preview, write_table

REGIONS = DatasetDescription(
    ("CT",), {"background": 0, "whole": (1, 2), "core": (2,), "ignore": 3}, ".png", 3, (1, 2), {}
)
RECORDS = {
    "a": MaskRecord("0" * 64, {"1": 500, "2": 1500}, (0.5, 2.0, 3.0), "cpu"),
    "b": MaskRecord("1", {}, (1, 1, 1), "cpu"),
}


def test_a_region_is_the_sum_of_its_values_and_an_empty_mask_has_zeros(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", RECORDS, REGIONS, {"b": ["D072", "D054", "D072"]}, "digest", is_mm=True)
    # 2000 voxels of 3 mm³ are 6 ml.
    assert (tmp_path / "t.csv").read_text().splitlines() == [
        "case,whole_voxels,whole_ml,core_voxels,core_ml,warnings,model",
        "a,2000,6,1500,4.5,,digest",
        "b,0,0,0,0,D072 D054,digest",
    ]


def test_where_the_format_has_no_voxel_size_there_is_no_volume(tmp_path: Path) -> None:
    write_table(tmp_path / "t.csv", {"a": RECORDS["a"]}, REGIONS, {}, "digest", is_mm=False)
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == "a,2000,,1500,,,digest"


def test_what_cannot_be_shown_has_no_picture(tmp_path: Path) -> None:
    assert draw_preview(tmp_path, "a", tmp_path / "a.png", tmp_path / "b.png", REGIONS) is None
    assert list(tmp_path.iterdir()) == []
