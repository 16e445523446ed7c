"""What nnU-Net's integrity check would refuse in files that are no NIfTI, found by its own readers."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.raw.raw_data import inspect_raw_dataset
from nnunet_assets_tests.odd_datasets import Made, plain_dataset, write


def made(root: Path, ending: str) -> Made:
    return plain_dataset(root / "Dataset001_Other", np.random.default_rng(3), ending)


def errors(dataset: Made) -> list[Finding]:
    write(dataset)
    found = inspect_raw_dataset(dataset.folder.parent, dataset.folder.name, 5)
    return [one for one in found.findings if one.severity == "error"]


@pytest.mark.parametrize("ending", [".png", ".bmp", ".tif", ".tiff", ".nrrd", ".mha", ".gipl"])
class TestEveryFormat:
    def test_a_good_dataset_has_no_error(self, tmp_path: Path, ending: str) -> None:
        assert errors(made(tmp_path, ending)) == []

    def test_an_undeclared_label_value_is_named(self, tmp_path: Path, ending: str) -> None:
        dataset = made(tmp_path, ending)
        dataset.labels["case_02"].flat[0] = 9
        [found] = errors(dataset)
        assert (found.code, found.case) == ("D039", "case_02")
        assert "9 (1 voxel)" in found.message

    def test_a_label_of_another_shape_is_named(self, tmp_path: Path, ending: str) -> None:
        dataset = made(tmp_path, ending)
        dataset.labels["case_02"] = dataset.labels["case_02"][:-1]
        [found] = errors(dataset)
        assert (found.code, found.case) == ("D041", "case_02")

    def test_channels_that_are_not_there_are_named(self, tmp_path: Path, ending: str) -> None:
        dataset = made(tmp_path, ending)
        dataset.images = {case: channels[:1] for case, channels in dataset.images.items()}
        dataset.content["channel_names"] = {"0": "R", "1": "G", "2": "B"}
        found = errors(dataset)
        assert {one.code for one in found} == {"D022"}
        assert "finds 1 channel, but dataset.json declares 3" in found[0].message


def _in_colours(path: Path) -> None:
    from PIL import Image

    Image.open(path).convert("RGB").save(path)


def test_colours_are_channels_and_no_labels(tmp_path: Path) -> None:
    dataset = made(tmp_path, ".png")
    dataset.images = {case: channels[:1] for case, channels in dataset.images.items()}
    dataset.content["channel_names"] = {"0": "R", "1": "G", "2": "B"}
    for case in dataset.images:
        dataset.after.append(partial(_in_colours, dataset.image(case)))
    assert errors(dataset) == []


def test_labels_of_which_some_are_in_colour_stop_nnunets_training(tmp_path: Path) -> None:
    dataset = made(tmp_path, ".png")
    dataset.after.append(partial(_in_colours, dataset.label("case_02")))
    [found] = errors(dataset)
    assert (found.code, found.case) == ("D046", "case_02")
    assert "4 label images hold 1 number a voxel, and those of case_02 another" in found.message


def test_labels_that_are_all_in_colour_are_taken(tmp_path: Path) -> None:
    dataset = made(tmp_path, ".png")
    dataset.after += [partial(_in_colours, dataset.label(case)) for case in dataset.labels]
    assert errors(dataset) == []


def test_a_reader_that_does_not_open_the_images_is_named(tmp_path: Path) -> None:
    dataset = made(tmp_path, ".nrrd")
    dataset.content["overwrite_image_reader_writer"] = "NibabelIO"
    found = errors(dataset)
    assert found[0].code == "D079"
    assert "NibabelIO, which does not open case_00_0000.nrrd" in found[0].message
    assert "nnU-Net then takes SimpleITKIO" in found[0].message


def test_the_base_of_nnunets_readers_is_none(tmp_path: Path) -> None:
    dataset = made(tmp_path, ".nii.gz")
    dataset.content["overwrite_image_reader_writer"] = "BaseReaderWriter"
    with pytest.raises(DatasetError, match=r"D079 dataset.json names BaseReaderWriter.* but is none. Name one of"):
        errors(dataset)


@pytest.mark.parametrize(("ending", "code"), [(".NII.GZ", "D020"), (".NII", ""), (".PNG", ""), (".Nii", "D045")])
def test_an_ending_in_capitals_passes_where_nnunet_reads_and_writes_it(tmp_path: Path, ending: str, code: str) -> None:
    assert {one.code for one in errors(made(tmp_path, ending))} == ({code} if code else set())


def test_a_gipl_that_is_cut_is_named_for_itk_makes_up_the_rest(tmp_path: Path) -> None:
    dataset = made(tmp_path, ".gipl")
    dataset.after.append(lambda: _cut(dataset.label("case_02")))
    [found] = errors(dataset)
    assert (found.code, found.case) == ("D047", "case_02")


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_axes_that_span_no_volume_are_named_where_nibabel_reads_them(tmp_path: Path) -> None:
    dataset = made(tmp_path, ".nii")
    dataset.affine["case_02"] = np.diag([1.0, 0.0, 2.0, 1.0])
    found = errors(dataset)
    assert {(one.code, one.case) for one in found} == {("D045", "case_02")}
    assert "cannot write a prediction there" in found[0].message
