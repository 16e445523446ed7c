"""The tables, the manifest and the pictures beside masks; the volumes are worked out by hand."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.nnunet.predictions.written_mask import MaskRecord
from nnunet_assets.workflows.model import predicted_files
from nnunet_assets.workflows.model.predicted_files import (
    Previews,
    draw_preview,
    preview_file,
    write_files,
    write_image_table,
    write_table,
)
from nnunet_assets_tests.recorded_progress import RecordedProgress

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


def test_files_are_listed_by_case_and_channel_whatever_their_names_hold(tmp_path: Path) -> None:
    write_image_table(tmp_path / "t.csv", {"a": ["x, y.png", "z.png"], "b": [], "c": ["\udce4.png"]})
    assert (tmp_path / "t.csv").read_text().splitlines() == [
        "case,channel,file",
        'a,0,"x, y.png"',
        "a,1,z.png",
        "c,0,\\udce4.png",
    ]


class Folder:
    """An output folder with the masks of `RECORDS`, which remembers nothing from before."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.warned: Mapping[str, Sequence[str]] = {}

    def file(self, case: str) -> Path:
        return self.folder / f"{case}.png"

    def finished(self) -> Mapping[str, MaskRecord]:
        return RECORDS

    def keep_warnings(self, codes: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
        self.warned = codes
        return codes

    def keep_images(self, images: Mapping[str, Sequence[str]]) -> Mapping[str, Sequence[str]]:
        return images

    def images_hash(self, case: str) -> str:
        return f"images of {case}"


def written(folder: Path, reader: str | None) -> Folder:
    kept: Any = Folder(folder)
    lowres = Member(Experiment("Dataset001_Tiny", "3d_lowres"), folder, ("fold_0",), "checkpoint_best.pth")
    cascade = replace(lowres, experiment=Experiment("Dataset001_Tiny", "3d_cascade"), previous=lowres)
    model: Any = SimpleNamespace(description=REGIONS, usable=SimpleNamespace(members=[cascade]))
    made_by: Any = SimpleNamespace(title="A model", settings={"tta": True})
    cases: Any = [SimpleNamespace(name="b", images=(Path("b_0.png"), Path("b_1.png")))]
    found: Any = [SimpleNamespace(case=case, code=code) for case, code in (("b", "D072"), ("a", "D054"), ("b", "D054"))]
    write_files(kept, model, made_by, "digest", cases=cases, warnings=found, reader=reader)
    return kept  # type: ignore[no-any-return]


def test_what_was_made_is_written_with_its_tables_and_a_manifest(tmp_path: Path) -> None:
    folder = written(tmp_path, "SimpleITKIO")
    assert folder.warned == {"b": ["D072", "D054"]}
    assert (tmp_path / "images.csv").read_text().splitlines() == ["case,channel,file", "b,0,b_0.png", "b,1,b_1.png"]
    assert (tmp_path / "predictions.csv").read_text().splitlines()[1:] == [
        "a,2000,6,1500,4.5,,digest",
        "b,0,0,0,0,D072 D054,digest",
    ]
    content = json.loads((tmp_path / "predictions.json").read_text())
    assert content["cases"]["a"] == {
        "images": "images of a",
        "sha256": "0" * 64,
        "device": "cpu",
        "voxels": {"1": 500, "2": 1500},
    }
    assert (content["model"], content["made_by"], content["tta"]) == ("A model", "digest", True)
    stage = {"folds": ["fold_0"], "checkpoint": "checkpoint_best.pth"}
    assert content["members"] == [
        {
            "experiment": "Dataset001_Tiny/nnUNetTrainer__nnUNetPlans__3d_cascade",
            **stage,
            "previous": {"experiment": "Dataset001_Tiny/nnUNetTrainer__nnUNetPlans__3d_lowres", **stage},
        }
    ]
    assert content["versions"]["nnunetv2"] == version("nnunetv2")


@pytest.mark.parametrize(("reader", "has_volumes"), [("NaturalImage2DIO", False), ("NibabelIO", True), (None, True)])
def test_volumes_are_written_where_the_reader_knows_the_size_of_a_voxel(
    tmp_path: Path, reader: str | None, has_volumes: bool
) -> None:
    written(tmp_path, reader)
    row = (tmp_path / "predictions.csv").read_text().splitlines()[1]
    assert row == f"a,2000,{'6' if has_volumes else ''},1500,{'4.5' if has_volumes else ''},,digest"


def test_pictures_are_drawn_once_their_masks_are_there_and_where_they_are_older(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn: list[str] = []

    def draw(_: Path, case: str, image: Any, mask: Path, __: Any) -> None:
        drawn.append(f"{case} {image} {mask.name}")

    monkeypatch.setattr(predicted_files, "draw_preview", draw)
    folder: Any = Folder(tmp_path)
    names = ["none yet", "new", "older", "same", "newer"]
    cases: Any = [SimpleNamespace(name=name, images=(f"{name}_0", f"{name}_1")) for name in names]
    (tmp_path / "previews").mkdir()
    for name, seconds in (("older", -1), ("same", 0), ("newer", 1)):
        preview_file(tmp_path, name).touch()
        os.utime(preview_file(tmp_path, name), (1000 + seconds, 1000 + seconds))
    for name in names[1:]:
        folder.file(name).touch()
        os.utime(folder.file(name), (1000, 1000))
    previews = Previews(folder, cases, REGIONS)
    previews.draw_next()
    assert drawn == ["new new_0 new.png"]
    progress = RecordedProgress()
    previews.draw_all(progress)
    assert drawn[1:] == ["older older_0 older.png"]
    assert progress.steps == [("previews drawn", n, 4) for n in (1, 2, 3, 4)]
    folder.file("none yet").touch()
    previews.draw_next()
    assert drawn[2:] == ["none yet none yet_0 none yet.png"]
    previews.draw_all(progress)
    assert len(progress.steps) == 4


def test_a_value_is_shown_as_the_narrowest_label_that_holds_it() -> None:
    assert predicted_files._value_names(REGIONS) == {1: "whole", 2: "core"}
    other_order = replace(REGIONS, labels={"background": 0, "core": (2,), "whole": (1, 2)})
    assert predicted_files._value_names(other_order) == {1: "whole", 2: "core"}
