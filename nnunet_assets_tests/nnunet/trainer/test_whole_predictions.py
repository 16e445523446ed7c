"""A prediction that the disk has no room for ends the process that wrote it, whatever the library behind it says."""

import importlib
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.nnunet.trainer.whole_predictions import read_back_predictions, score_predictions_alone
from nnunet_assets.processes.child import ChildFailure

SILENT = (".nii.gz", ".nii", ".nrrd")
"""SimpleITK's, with a disk that is full."""


READER_WRITERS = {
    "simpleitk_reader_writer.SimpleITKIO": (".nii.gz", ".nii", ".nrrd", ".mha"),
    "nibabel_reader_writer.NibabelIO": (".nii.gz", ".nii"),
    "nibabel_reader_writer.NibabelIOWithReorient": (".nii.gz",),
    "natural_image_reader_writer.NaturalImage2DIO": (".png", ".tif", ".bmp"),
    "tif_reader_writer.Tiff3DIO": (".tif",),
}
"""nnU-Net's, in `nnunetv2.imageio`, and what they write."""


def properties() -> Any:
    spacing = {"spacing": (2.0, 3.0, 1.0), "origin": (1.0, 2.0, 3.0), "direction": tuple(np.eye(3).ravel())}
    affine = np.diag([3.0, -1.0, 2.0, 1.0])
    nibabel = {"original_affine": affine, "reoriented_affine": np.diag([3.0, 1.0, 2.0, 1.0])}
    return {"sitk_stuff": spacing, "nibabel_stuff": nibabel, "spacing": [1.0, 3.0, 2.0]}


def segmentation(ending: Any) -> Any:
    shape = (1, 30, 40) if ending in (".png", ".bmp") else (7, 30, 40)
    return np.random.default_rng(0).integers(0, 3, shape).astype(np.uint8)


@pytest.fixture(
    params=[(name, ending) for name, endings in READER_WRITERS.items() for ending in endings],
    ids=lambda param: f"{param[0].partition('.')[2]}{param[1]}",
)
def writer(request: pytest.FixtureRequest) -> Iterator[Any]:
    name, ending = request.param
    module, _, kind = name.partition(".")
    io = getattr(importlib.import_module(f"nnunetv2.imageio.{module}"), kind)
    own = io.write_seg
    # In 2D a TIFF holds one slice.
    seg = segmentation(ending)[:1] if io.__name__ == "NaturalImage2DIO" else segmentation(ending)
    read_back_predictions(io)
    read_back_predictions(io)
    assert io.write_seg.__wrapped__ is own
    yield io(), ending, seg
    io.write_seg = own


def test_what_fits_on_the_disk_is_written_as_ever(writer: Any, tmp_path: Path) -> None:
    io, ending, seg = writer
    io.write_seg(seg, str(tmp_path / f"case{ending}"), properties())
    assert (io.read_seg(str(tmp_path / f"case{ending}"))[0].reshape(seg.shape) == seg).all()


def outcome(write: Any, room: Any) -> Any:
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        write()
    except ChildFailure as failure:
        return failure.code.name
    except (OSError, RuntimeError) as error:  # the library's own word
        return type(error).__name__
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    return "taken"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_where_the_disk_ends_within_the_file_nothing_is_taken_for_a_prediction(writer: Any, tmp_path: Path) -> None:
    io, ending, seg = writer
    file = tmp_path / f"case{ending}"

    def write() -> None:
        io.write_seg(seg, str(file), properties())

    write()
    n_bytes = file.stat().st_size
    seen = {}
    for n_missing in (*range(1, 41), *range(41, 301, 13), n_bytes // 2):
        seen[n_missing] = outcome(write, n_bytes - n_missing)
        assert seen[n_missing] != "NO_SPACE" or not file.exists()
    assert "taken" not in seen.values(), seen
    if ending in SILENT and type(io).__name__ == "SimpleITKIO":
        assert set(seen.values()) == {"NO_SPACE"}  # else this shows nothing: the library raises by itself


def test_what_a_mac_leaves_beside_a_prediction_is_not_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from nnunetv2.evaluation import evaluate_predictions

    monkeypatch.setattr(evaluate_predictions, "subfiles", evaluate_predictions.subfiles)
    for name in ("a.nii.gz", "._a.nii.gz"):
        (tmp_path / name).touch()
    score_predictions_alone()
    score_predictions_alone()
    assert evaluate_predictions.subfiles(str(tmp_path), suffix=".nii.gz", join=False) == ["a.nii.gz"]
    assert evaluate_predictions.subfiles(str(tmp_path)) == [str(tmp_path / "a.nii.gz")]
