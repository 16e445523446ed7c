from pathlib import Path

import nibabel
import numpy as np
import pytest

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
from nnunet_assets.nnunet.preparation.curation_file import (
    ProposedFixes,
    propose_fixes,
    read_curation,
    remove_curation,
    write_curation,
)
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets_tests.raw_builders import DATASET, tiny_image, tiny_label, write_tiny_dataset, write_volume
from nnunet_assets_tests.training_builders import roots_in


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    roots = roots_in(tmp_path)
    write_tiny_dataset(roots.raw)
    return roots


def found(roots: Roots) -> tuple[Finding, ...]:
    return look_at_raw_data(roots, DATASET, 2, Curation())[0].findings


def proposed(roots: Roots) -> ProposedFixes:
    return propose_fixes(roots, DATASET, found(roots))


def test_nothing_is_proposed_for_a_good_dataset(roots: Roots) -> None:
    assert proposed(roots) == ProposedFixes(Curation(), (), ())


def test_cases_with_errors_go_for_the_reason_found_and_the_check_then_passes(roots: Roots) -> None:
    folder = roots.raw / DATASET
    (folder / "imagesTr/case_1_0000.nii.gz").write_bytes(b"")
    write_volume(folder / "labelsTr/case_2.nii.gz", tiny_label() * 3)
    (folder / "imagesTr/case_3_0000.nii.gz").unlink()
    (folder / "imagesTr/case_3_0000.nii.gz").symlink_to("nowhere")
    fixes = proposed(roots)
    assert list(fixes.curation.quarantine) == ["case_1", "case_2", "case_3"]
    assert fixes.curation.quarantine["case_1"].startswith("imagesTr/case_1_0000.nii.gz is empty (0 bytes)")
    assert fixes.curation.quarantine["case_2"].startswith("labelsTr/case_2.nii.gz has values that dataset.json does")
    assert fixes.curation.repair_headers_mm is None
    write_curation(PreparedFolder(roots, DATASET), fixes.curation)
    assert [finding.code for finding in found(roots) if finding.severity == "error"] == []


def test_more_than_one_problem_is_said_in_the_reason(roots: Roots) -> None:
    for part in ("imagesTr/case_1_0000", "labelsTr/case_1"):
        (roots.raw / DATASET / f"{part}.nii.gz").write_bytes(b"")
    assert proposed(roots).curation.quarantine["case_1"].endswith("copy or download it again. And 1 more problem.")


def test_headers_below_the_tolerance_are_repaired_and_others_are_left_out(roots: Roots) -> None:
    folder = roots.raw / DATASET
    near = write_volume(folder / "labelsTr/case_1.nii.gz", tiny_label(), spacing_mm=(1.01, 1, 2))
    write_volume(folder / "labelsTr/case_2.nii.gz", tiny_label(), spacing_mm=(1.5, 1, 2))
    fixes = proposed(roots)
    assert [repair.file for repair in fixes.repairs] == [near]
    assert list(fixes.curation.quarantine) == ["case_2"]
    assert fixes.curation.repair_headers_mm == 0.1
    write_curation(PreparedFolder(roots, DATASET), fixes.curation)
    assert found(roots) == ()


def test_a_near_header_in_a_case_that_goes_is_not_repaired(roots: Roots) -> None:
    folder = roots.raw / DATASET
    write_volume(folder / "labelsTr/case_1.nii.gz", tiny_label() * 3, origin_mm=(0.05, 0, 0))
    fixes = proposed(roots)
    assert (list(fixes.curation.quarantine), fixes.repairs) == (["case_1"], ())
    assert fixes.curation.repair_headers_mm is None


def test_what_is_wrong_with_most_cases_or_none_is_left_to_a_person(roots: Roots) -> None:
    folder = roots.raw / DATASET
    for case in range(4):
        write_volume(folder / f"labelsTr/case_{case}.nii.gz", tiny_label() * 3)
    fixes = proposed(roots)
    assert fixes.curation == Curation()
    assert [finding.case for finding in fixes.left] == ["case_0", "case_1", "case_2", "case_3"]


def test_warnings_leave_no_case_out(roots: Roots) -> None:
    write_volume(roots.raw / DATASET / "imagesTr/case_1_0000.nii.gz", tiny_image() * 0)
    assert [finding.code for finding in found(roots)] == ["D034"]
    assert proposed(roots).curation == Curation()


def test_the_file_is_read_as_it_was_written_and_taken_back(roots: Roots) -> None:
    prepared = PreparedFolder(roots, DATASET)
    assert read_curation(prepared) == Curation()
    curation = Curation({"case_1": "bad ü"}, 0.1)
    write_curation(prepared, curation)
    assert read_curation(prepared) == curation
    assert remove_curation(prepared)
    assert not remove_curation(prepared)
    assert read_curation(prepared) == Curation()


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("{", r"is not valid JSON .*`nnunet-assets check DATASET --undo`"),
        ("[]", "is not of the form"),
        ('{"quarantine": {"a": 1}, "repair_headers_mm": null}', "is not of the form"),
        ('{"quarantine": {}, "repair_headers_mm": -1}', "is not of the form"),
        ('{"quarantine": {}}', "is not of the form"),
    ],
)
def test_a_damaged_file_is_refused_and_can_be_taken_back(roots: Roots, content: str, sentence: str) -> None:
    prepared = PreparedFolder(roots, DATASET)
    path = write_curation(prepared, Curation())
    path.write_text(content)
    with pytest.raises(DatasetError, match=sentence):
        found(roots)
    assert remove_curation(prepared)
    assert found(roots) == ()


def test_under_a_microscope_a_tenth_of_a_millimetre_is_too_far(roots: Roots) -> None:
    """Voxels of a hundredth of a millimetre: a label half a voxel away is repaired, one of three voxels left out."""
    folder, size = roots.raw / DATASET, (0.01, 0.01, 0.02)
    for path in sorted(folder.glob("*Tr/*.nii.gz")):
        voxels = np.asarray(nibabel.load(path).dataobj)
        write_volume(path, voxels, spacing_mm=size)
    near = write_volume(folder / "labelsTr/case_1.nii.gz", tiny_label(), spacing_mm=size, origin_mm=(0.004, 0, 0))
    write_volume(folder / "labelsTr/case_2.nii.gz", tiny_label(), spacing_mm=size, origin_mm=(0.03, 0, 0))
    fixes = proposed(roots)
    assert [repair.file for repair in fixes.repairs] == [near]
    assert list(fixes.curation.quarantine) == ["case_2"]
    assert fixes.curation.repair_headers_mm == pytest.approx(0.005)
    write_curation(PreparedFolder(roots, DATASET), fixes.curation)
    assert found(roots) == ()
