"""Which reader nnU-Net takes, and that spacing and place are that reader's in the look, the statistics and the page."""

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import ForeignCodeError
from nnunet_assets.nnunet.images.image_reader import dataset_reader, reader_of_model
from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
from nnunet_assets.nnunet.raw.raw_data import RawDataset, inspect_raw_dataset
from nnunet_assets_tests.intake_defects import image_of, label_of
from nnunet_assets_tests.raw_builders import DATASET, tiny_json, write_json, write_tiny_dataset

MM, METRES, MICROMETRES, NO_UNIT = 2, 1, 3, 0
FACTORS = {MM: 1, METRES: 1000, MICROMETRES: 0.001, NO_UNIT: 1}


def rewrite(path: Path, affine: Any = None, ending: str = ".nii.gz", **fields: Any) -> Path:
    """Writes a file of a tiny dataset anew, with another sform and with fields of its header as given."""
    image = nibabel.load(path)
    wanted = image.affine if affine is None else np.asarray(affine, float)
    new = nibabel.Nifti1Image(np.asarray(image.dataobj), wanted)
    for name, value in fields.items():
        new.header[name] = value
    place = path.with_name(path.name.removesuffix(".nii.gz") + ending)
    path.unlink()
    place.write_bytes(gzip.compress(new.to_bytes()) if ending == ".nii.gz" else new.to_bytes())
    return place


def rewrite_all(folder: Path, **how: Any) -> Path:
    for path in sorted(folder.glob("*Tr/*.nii.gz")):
        rewrite(path, **how)
    return folder


def declare(folder: Path, **changes: Any) -> Path:
    write_json(folder / "dataset.json", tiny_json(**changes))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_tiny_dataset(tmp_path)


def inspect(folder: Path) -> RawDataset:
    return inspect_raw_dataset(folder.parent, folder.name, 3)


def found_of(folder: Path, code: str) -> list[Finding]:
    return [finding for finding in inspect(folder).findings if finding.code == code]


SHEARED = [[1, 0.05, 0, 0], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1]]


class TestTheReader:
    def test_is_the_one_that_dataset_json_names(self, folder: Path) -> None:
        declared = {"file_ending": ".nii.gz", "overwrite_image_reader_writer": "NibabelIOWithReorient"}
        assert dataset_reader(declared, image_of(folder, "case_0")) == "NibabelIOWithReorient"

    @pytest.mark.parametrize("name", ["Type", "os.system", "np"])
    def test_is_never_something_else_that_nnunet_would_find_by_the_name(self, folder: Path, name: str) -> None:
        declared = {"file_ending": ".nii.gz", "overwrite_image_reader_writer": name}
        with pytest.raises(ForeignCodeError, match=rf"overwrite_image_reader_writer is '{name}'.*\(NaturalImage2DIO,"):
            dataset_reader(declared, image_of(folder, "case_0"))

    def test_is_the_next_for_the_whole_dataset_where_the_first_image_is_refused_and_this_is_said(
        self, folder: Path
    ) -> None:
        for path in (image_of(folder, "case_0"), label_of(folder, "case_0")):
            rewrite(path, SHEARED)
        (finding,) = found_of(folder, "D045")
        assert (finding.case, finding.severity) == ("case_0", "warning")
        assert "so nnU-Net reads the whole dataset by NibabelIO" in finding.message

    def test_that_refuses_a_later_image_is_named_with_the_remedies(self, folder: Path) -> None:
        rewrite(image_of(folder, "case_3"), SHEARED)
        (finding,) = found_of(folder, "D045")
        assert (finding.case, finding.file) == ("case_3", "imagesTr/case_3_0000.nii.gz")
        assert "the axes of its sform are not perpendicular, they differ from a right angle by 2.9°" in finding.message
        assert '"overwrite_image_reader_writer": "NibabelIO"' in finding.message
        declare(folder, overwrite_image_reader_writer="NibabelIO")
        assert not found_of(folder, "D045")

    def test_of_a_model_is_the_one_of_its_plans(self, tmp_path: Path) -> None:
        assert reader_of_model(tmp_path) is None
        for name, wanted in (("NibabelIO", "NibabelIO"), (None, None)):
            write_json(tmp_path / "plans.json", {"image_reader_writer": name})
            assert reader_of_model(tmp_path) == wanted
        write_json(tmp_path / "plans.json", {"image_reader_writer": "Union"})
        with pytest.raises(ForeignCodeError):
            reader_of_model(tmp_path)


class TestUnits:
    @pytest.mark.parametrize("unit", FACTORS)
    def test_are_converted_as_simpleitk_does_in_spacings_and_volumes(self, folder: Path, unit: int) -> None:
        before = inspect(folder)
        found = inspect(rewrite_all(folder, xyzt_units=unit))
        factor = FACTORS[unit]
        assert found.findings == before.findings
        assert [axis.median for axis in found.spacing_mm or ()] == pytest.approx([factor, factor, 2 * factor])
        volume, was = (next(iter(one.labels.values())).volume_ml for one in (found, before))
        assert volume is not None
        assert was is not None
        assert volume.median == pytest.approx(was.median * factor**3)

    def test_that_differ_within_a_case_are_one_place_where_they_come_to_the_same(self, folder: Path) -> None:
        # An image in micrometres, and its label as nnU-Net writes one.
        affine = np.diag([1000.0, 1000.0, 2000.0, 1.0])
        rewrite(image_of(folder, "case_1"), affine, xyzt_units=MICROMETRES)
        assert inspect(folder).findings == ()

    @pytest.mark.parametrize("unit", [METRES, MICROMETRES])
    @pytest.mark.parametrize(("ending", "reader"), [(".nii", "None"), (".nii.gz", "NibabelIO")])
    def test_that_the_reader_ignores_are_refused_by_name(
        self, folder: Path, unit: int, ending: str, reader: str
    ) -> None:
        rewrite_all(folder, ending=ending, xyzt_units=unit)
        declare(folder, file_ending=ending, overwrite_image_reader_writer=reader)
        found = inspect(folder)
        assert {finding.code for finding in found.errors} == {"D076"}
        assert len(found.errors) == 12
        assert "which NibabelIO, nnU-Net's reader of it, takes for millimetres" in found.errors[0].message
        assert found.label_volumes_ml == {}

    def test_no_unit_is_millimetres_to_every_reader(self, folder: Path) -> None:
        declare(rewrite_all(folder, xyzt_units=NO_UNIT), overwrite_image_reader_writer="NibabelIO")
        assert inspect(folder).findings == ()


OTHERS = {
    "scale": np.diag([1.0, 1, 3, 1]),
    "origin": np.array([[1, 0, 0, 5], [0, 1, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]]),
    "rotation": np.array([[0, -1, 0, 0], [1, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]]),
    "slight rotation": np.array([[0.995, -0.0998, 0, 0], [0.0998, 0.995, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]]),
    "singular": np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 2, 0], [0, 0, 0, 1.0]]),
}


class TestTwoPlaces:
    @pytest.mark.parametrize("other", OTHERS)
    @pytest.mark.parametrize("codes", [(1, 2), (2, 1), (2, 2)])
    @pytest.mark.parametrize("is_label_too", [True, False])
    def test_are_a_finding_and_what_the_reader_takes_is_used(
        self, folder: Path, other: str, codes: tuple[int, int], is_label_too: bool
    ) -> None:
        from nnunetv2.imageio.simpleitk_reader_writer import SimpleITKIO

        paths = (image_of(folder, "case_1"), label_of(folder, "case_1"))
        for path in paths[: 1 + is_label_too]:
            image = nibabel.load(path)
            new = nibabel.Nifti1Image(np.asarray(image.dataobj), image.affine)
            new.header.set_qform(image.affine, codes[1])
            new.header.set_sform(OTHERS[other], codes[0])
            path.write_bytes(gzip.compress(new.header.binaryblock + b"\0" * 4 + np.asarray(image.dataobj).tobytes("F")))
        try:
            wanted = SimpleITKIO().read_images((str(paths[0]),))[1]["spacing"]
        except RuntimeError:
            assert {finding.code for finding in inspect(folder).errors} == {"D045"}
            return
        found = inspect(folder)
        named = [finding for finding in found.findings if finding.code == "D044"]
        assert len(named) == 1 + is_label_too
        assert {finding.severity for finding in named} == {"warning"}
        row = next(row for row in found.rows if row.case == "case_1")
        assert row.spacing_mm == pytest.approx(wanted[::-1])
        if is_label_too:
            assert not found.errors

    def test_of_rounding_are_none(self, folder: Path) -> None:
        # As a converter writes an oblique image: the qform's rotation in three numbers of 32 bits.
        turned = np.eye(4)
        turned[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) * [0.7, 0.7, 3]
        turned[:3, 3] = [-312.4, 211.9, -900.3]
        assert inspect(rewrite_all(folder, affine=turned)).findings == ()


def test_nifti_2_is_refused_where_simpleitk_reads(folder: Path) -> None:
    path = image_of(folder, "case_4")
    image = nibabel.load(path)
    nibabel.save(nibabel.Nifti2Image(np.asarray(image.dataobj), image.affine), path)
    (finding,) = found_of(folder, "D045")
    assert "it is NIfTI-2, which SimpleITK does not open" in finding.message


def test_headers_are_repaired_by_the_readers_rule(folder: Path) -> None:
    """A label in micrometres that lies 0.05 mm away gets the image's header; one in place is left as it is."""
    moved = np.diag([1000.0, 1000.0, 2000.0, 1.0])
    rewrite(label_of(folder, "case_1"), moved, xyzt_units=MICROMETRES)
    moved[0, 3] = 50
    rewrite(label_of(folder, "case_2"), moved, xyzt_units=MICROMETRES)
    assert [finding.case for finding in found_of(folder, "D043")] == ["case_2"]
    roots = Roots(folder.parent, folder.parent / "preprocessed", folder.parent / "results")
    found, curated = look_at_raw_data(roots, DATASET, 3, Curation({}, 0.06))
    assert found.findings == ()
    assert [repair.file.name for repair in curated.repairs] == ["case_2.nii.gz"]
    assert curated.repairs[0].distance_mm == pytest.approx(0.05)


def test_voxels_of_micrometres_apart_are_apart(folder: Path) -> None:
    tiny = np.diag([1.0, 1.0, 2.0, 1.0])
    rewrite_all(folder, affine=tiny, xyzt_units=MICROMETRES)
    tiny[0, 3] = 0.9
    rewrite(label_of(folder, "case_2"), tiny, xyzt_units=MICROMETRES)
    (finding,) = found_of(folder, "D043")
    assert "lies 0.0009 mm away" in finding.message


def test_the_page_shows_what_the_reader_takes(folder: Path) -> None:
    found = inspect(rewrite_all(folder, xyzt_units=MICROMETRES))
    assert found.report.cases[0].spacing_mm == pytest.approx((0.001, 0.001, 0.002))
    wanted = sum(found.rows[0].label_voxels.values()) * 0.001 * 0.001 * 0.002 / 1000
    assert sum(found.record.label_volumes_ml["case_0"].values()) == pytest.approx(wanted)


def test_images_smaller_than_any_feature_map_are_a_warning_with_the_numbers(folder: Path) -> None:
    for n, path in enumerate(sorted(folder.glob("*Tr/*.nii.gz"))):
        voxels = np.arange(27).reshape(3, 3, 3) + n if "images" in path.parent.name else np.ones((3, 3, 3))
        image = nibabel.Nifti1Image(voxels.astype(np.uint8), np.eye(4))
        path.write_bytes(gzip.compress(image.to_bytes()))
    (finding,) = found_of(folder, "D071")
    assert (
        "No image of 6 has more than 3 voxels along an axis (3 × 3 × 3 the first), fewer than the 4" in finding.message
    )
