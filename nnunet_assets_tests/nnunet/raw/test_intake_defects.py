"""Every planted defect is named and none is invented; where nnU-Net's own check refuses, so do we."""

import ast
import re
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnunet_assets
from nnunet_assets.core.dataset.finding_kinds import FINDING_KINDS
from nnunet_assets.nnunet.cases import case_reading
from nnunet_assets.nnunet.cases.fact_cache import FactCache
from nnunet_assets.nnunet.images import nifti
from nnunet_assets.nnunet.images.nifti import write_nifti
from nnunet_assets.nnunet.raw.raw_data import RawDataset, inspect_raw_dataset
from nnunet_assets.reports.pages.intake_files import write_intake
from nnunet_assets_tests.intake_defects import DEFECTS, image_of, label_of, voxels_of
from nnunet_assets_tests.nnunet_in_process import nnunet_in_process
from nnunet_assets_tests.raw_builders import (
    SPACING_MM,
    tiny_image,
    tiny_json,
    tiny_label,
    write_json,
    write_tiny_dataset,
    write_volume,
)

LABELS = {"background": 0, "organ": 1, "lesion": 2}


def inspect(folder: Path, n_folds: int = 3) -> RawDataset:
    return inspect_raw_dataset(folder.parent, folder.name, n_folds)


class Spoiled(NamedTuple):
    """A dataset of 10 cases, the second of which has one defect, and what is found in it."""

    folder: Path
    found: RawDataset


@pytest.fixture(scope="module")
def spoiled(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Spoiled]:
    """One for each defect, by its name."""
    made, place = {}, tmp_path_factory.mktemp("spoiled")
    for index, (name, defect) in enumerate(DEFECTS.items()):
        folder = write_tiny_dataset(place / str(index), n_cases=10)
        defect.spoil(folder, "case_1")
        made[name] = Spoiled(folder, inspect(folder))
    return made


class TestDefectsPlantedInOneCohort:
    def test_each_is_named_and_none_is_invented(self, tmp_path: Path) -> None:
        folder = write_tiny_dataset(tmp_path, n_cases=len(DEFECTS) + 10)
        wanted = []
        for index, defect in enumerate(DEFECTS.values()):
            case = f"case_{index + 10}"
            defect.spoil(folder, case)
            wanted.append((defect.code, case if defect.is_named else None))
        # Of the whole dataset: a count, a label in no case, one in few, a second dataset of the id, text for a number.
        labels = {"background": 0, "organ": "1", "lesion": 2, "rare": 3, "never": 4}
        write_json(folder / "dataset.json", tiny_json(n_training=len(DEFECTS) + 10, labels=labels))
        rare = tiny_label()
        rare[0, 0, 0] = 3
        write_volume(label_of(folder, "case_0"), rare)
        (tmp_path / "Dataset001_Other").mkdir()
        wanted += [("D016", None), ("D037", None), ("D038", None), ("D062", None), ("D011", None)]

        found = inspect(folder).findings

        named = {case for _, case in wanted}
        shown = Counter((finding.code, finding.case if finding.case in named else None) for finding in found)
        assert len(wanted) >= 30
        assert shown == Counter(wanted)

    def test_each_alone_is_the_only_finding(self, spoiled: Mapping[str, Spoiled]) -> None:
        for name, defect in DEFECTS.items():
            codes = {finding.code for finding in spoiled[name].found.findings}
            assert codes - ({"D016"} if name == "capitals" else set()) == {defect.code}, name


def rotated(folder: Path) -> None:
    """Every case is oblique, and its files agree."""
    affine = np.eye(4)
    affine[:3, :3] = np.array([[0.8, -0.6, 0], [0.6, 0.8, 0], [0, 0, 1]]) * SPACING_MM
    for path in folder.glob("*Tr/*.nii.gz"):
        nibabel.Nifti1Image(voxels_of(path), affine).to_filename(path)


def every_image(folder: Path, change: Any) -> None:
    for path in folder.glob("imagesTr/*.nii.gz"):
        write_volume(path, change(voxels_of(path)))


def nearly_in_place(folder: Path) -> None:
    write_volume(label_of(folder, "case_2"), tiny_label(), origin_mm=(5e-4, 0, 0))


def described_by_a_program(folder: Path) -> None:
    image = nibabel.Nifti1Image(tiny_image(2), np.diag([*SPACING_MM, 1.0]))
    image.header["descrip"] = b"FSL6.0.5; TE=2.1;Time=142530.123"
    image.header["intent_name"] = b"CT 12345678"
    write_nifti(image_of(folder, "case_2"), image)


def scanners(folder: Path) -> None:
    """Spacings, sizes and intensities as differ between scanners."""
    for index, path in enumerate(sorted(folder.glob("imagesTr/*.nii.gz"))):
        case, factor = path.name[: -len("_0000.nii.gz")], (0.5, 1, 3)[index % 3]
        spacing = [factor * mm for mm in SPACING_MM]
        write_volume(path, voxels_of(path) * (1 + index), spacing_mm=spacing)
        write_volume(label_of(folder, case), tiny_label(), spacing_mm=spacing)


def scaled_header(folder: Path) -> None:
    image = nibabel.Nifti1Image((tiny_image(2) * 100).astype(np.int16), np.diag([*SPACING_MM, 1.0]))
    image.header.set_slope_inter(0.01, 1e-3)
    write_nifti(image_of(folder, "case_2"), image)


def linked(folder: Path) -> None:
    elsewhere = folder.parent.parent / "with space and ü" / "original.nii.gz"
    elsewhere.parent.mkdir()
    image_of(folder, "case_2").rename(elsewhere)
    image_of(folder, "case_2").symlink_to(elsewhere)


CLEAN: dict[str, Callable[[Path], object]] = {
    "as it is": lambda folder: None,
    "integers": lambda folder: every_image(folder, lambda v: (100 * v).astype(np.int16)),
    "bytes": lambda folder: every_image(folder, lambda v: (128 + 30 * v).astype(np.uint8)),
    "doubles": lambda folder: every_image(folder, lambda v: v.astype(np.float64)),
    "big endian": lambda folder: every_image(folder, lambda v: v.astype(">f4")),
    "negative": lambda folder: every_image(folder, lambda v: v - 1000),
    "small numbers": lambda folder: every_image(folder, lambda v: v * 1e-6),
    "large numbers": lambda folder: every_image(folder, lambda v: v * 1e15),
    "two dimensions": lambda folder: [write_volume(path, voxels_of(path)[1]) for path in folder.glob("*Tr/*.nii.gz")],
    "a trailing axis": lambda folder: every_image(folder, lambda v: v[..., None]),
    "oblique": rotated,
    "half a micrometre apart": nearly_in_place,
    "a program's text": described_by_a_program,
    "several scanners": scanners,
    "a slope": scaled_header,
    "a link": linked,
    "labels as floats": lambda folder: write_volume(label_of(folder, "case_2"), tiny_label().astype(np.float32)),
    "an ignore label": lambda folder: write_json(
        folder / "dataset.json", tiny_json(10, labels={**LABELS, "ignore": 3})
    ),
    "regions": lambda folder: write_json(
        folder / "dataset.json",
        tiny_json(10, labels={"background": 0, "whole": [1, 2], "lesion": 2}, regions_class_order=[1, 2]),
    ),
    "notes beside the images": lambda folder: (folder / "imagesTr" / "README.txt").write_text("by hand"),
    "test images": lambda folder: write_volume(folder / "imagesTs" / "x_0000.nii.gz", tiny_image()),
}


@pytest.mark.parametrize("variant", CLEAN)
def test_nothing_is_found_in_a_dataset_that_is_only_unusual(tmp_path: Path, variant: str) -> None:
    folder = write_tiny_dataset(tmp_path / "raw", n_cases=10)
    CLEAN[variant](folder)
    assert inspect(folder).findings == ()


@pytest.mark.parametrize("n_cases", [10, 14])
def test_nothing_is_found_in_a_good_dataset_of_two_channels(tmp_path: Path, n_cases: int) -> None:
    assert inspect(write_tiny_dataset(tmp_path, n_cases=n_cases, n_channels=2)).findings == ()


@given(
    n_cases=st.integers(10, 14),
    n_channels=st.integers(1, 2),
    defect=st.sampled_from(sorted(DEFECTS)),
    spoiled=st.integers(0, 9),
)
@settings(max_examples=25, deadline=None)
def test_one_random_defect_in_a_random_dataset_is_found(
    tmp_path_factory: pytest.TempPathFactory, n_cases: int, n_channels: int, defect: str, spoiled: int
) -> None:
    folder = write_tiny_dataset(tmp_path_factory.mktemp("random"), n_cases=n_cases, n_channels=n_channels)
    DEFECTS[defect].spoil(folder, f"case_{spoiled}")
    assert DEFECTS[defect].code in {finding.code for finding in inspect(folder).findings}


@given(offset=st.integers(0, 355), values=st.binary(min_size=1, max_size=16), is_label=st.booleans())
@settings(max_examples=60, deadline=None)
def test_no_header_of_an_image_or_a_label_ends_the_look(
    tmp_path_factory: pytest.TempPathFactory, offset: int, values: bytes, is_label: bool
) -> None:
    folder = tmp_path_factory.getbasetemp() / "headers" / "Dataset001_Tiny"
    if not folder.exists():
        write_tiny_dataset(folder.parent, n_cases=1, ending=".nii")
        for path in folder.glob("*Tr/*.nii"):
            shutil.copyfile(path, path.with_suffix(".good"))
    label, image = folder / "labelsTr/case_0.nii", folder / "imagesTr/case_0_0000.nii"
    for path in (label, image):
        shutil.copyfile(path.with_suffix(".good"), path)
    spoiled = label if is_label else image
    content = spoiled.read_bytes()
    spoiled.write_bytes(content[:offset] + values + content[offset + len(values) :])
    cache = FactCache(folder.parent / "facts.json")
    found = inspect_raw_dataset(folder.parent, folder.name, 2, cache=cache)
    assert all(isinstance(finding.message, str) for finding in found.findings)
    write_intake(folder.parent / "own", found.report)


@pytest.mark.parametrize("case", ["DOE^JANE", "pat_19580312", "scan_2019-11-30_a"])
def test_names_that_may_hold_a_persons_data_are_counted_and_not_shown(tmp_path: Path, case: str) -> None:
    folder = write_tiny_dataset(tmp_path, n_cases=10)
    image_of(folder, "case_1").rename(image_of(folder, case))
    label_of(folder, "case_1").rename(label_of(folder, case))
    (finding,) = inspect(folder).findings
    assert finding.code == "D073"
    assert finding.message.startswith("1 of 10 case names look as if they held a date or a person's name")
    assert case not in str(finding)


def test_a_patient_in_the_header_is_not_shown(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path, n_cases=10)
    DEFECTS["a patient in the header"].spoil(folder, "case_1")
    (finding,) = inspect(folder).findings
    assert "(descrip; what it says is not shown here)" in finding.message
    assert "DOE" not in str(finding)
    assert "1958" not in str(finding)


@pytest.mark.parametrize(("code", "is_found"), [(2, True), (6, True), (4, False)])
def test_extensions_of_a_header_are_looked_into(tmp_path: Path, code: int, is_found: bool) -> None:
    folder = write_tiny_dataset(tmp_path, n_cases=10)
    image = nibabel.Nifti1Image(tiny_image(1), np.diag([*SPACING_MM, 1.0]))
    text = {2: b"", 6: b"Patient name: somebody", 4: b"<AFNI_attributes/>"}[code]
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension(code, text))
    write_nifti(image_of(folder, "case_1"), image)
    codes = [finding.code for finding in inspect(folder).findings]
    assert codes == (["D073"] if is_found else [])


def test_the_expected_sentences_of_the_cohort_are_said(spoiled: Mapping[str, Spoiled]) -> None:
    wanted = {
        "metres": "Case 'case_1' has voxels of 0.001 × 0.001 × 0.002 mm, and nnU-Net resamples it to the cohort's "
        "median of 1 × 1 × 2 mm: to nothing. That is the factor between mm and m, or mm and µm. Correct its header, or "
        "leave the case out by `quarantine`.",
        "another orientation": "Case 'case_1' is stored along LAS, and 9 of 10 cases along RAS. nnU-Net's default "
        "reader takes the voxels as they lie in the file, whatever its header says of left and right. Reorient image "
        "and label like those of the others.",
        "a copy": "The cases case_0, case_1 have the same image, voxel for voxel: in training and in validation it "
        "would be a leak. Keep one of them.",
        "capitals": "The cases CASE_1, case_1 differ only in capitals or in how an accent is encoded. On macOS, "
        "Windows and many network drives they are one file; rename all but one.",
        "a link to itself": "labelsTr/loop case_1.nii.gz is a link to loop case_1.nii.gz, which leads back to itself. "
        "Restore that file or delete the link.",
        "a direction": "labelsTr/case_1.nii.gz lies 7 mm away from imagesTr/case_1_0000.nii.gz by their headers "
        "(origin by 0 mm, direction by 90°; up to 0.001 mm is allowed). nnU-Net would pair them voxel by voxel all the "
        "same. Look at both in a viewer: where that is right, set the dataset's `repair_headers_mm` to 7 or more, "
        "which gives it that header in a copy; else export it again, or leave the case out by `quarantine`.",
        "no end": "imagesTr/case_1_0000.nii.gz goes on for more than 64 MiB after its last voxel. It is damaged, or "
        "made to keep its reader busy; export it again, or take it away.",
        "another ending": "file_ending is '.nii.gz', but imagesTr also holds case_1_0000.NII.GZ, which nnU-Net passes "
        "over. Convert or rename them, or take them away.",
    }
    for name, sentence in wanted.items():
        assert sentence in [finding.message for finding in spoiled[name].found.findings]


def test_an_image_larger_than_its_share_of_the_memory_is_refused_before_it_is_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nifti, "most_voxel_bytes", lambda: 479)  # an image of these has 480
    folder = write_tiny_dataset(tmp_path, n_cases=10)
    errors = inspect(folder).errors
    assert {error.code for error in errors} == {"D050"}
    assert "more than this machine's or container's memory has room for" in errors[0].message


def test_files_that_are_read_at_once_share_the_memory_that_the_container_has(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nifti, "memory_bytes", lambda: 8000)
    assert nifti.most_voxel_bytes.__wrapped__() == 1000  # anew, not as this process remembers it
    assert case_reading.WORKERS == 4


def test_two_channels_of_one_case_that_are_the_same_are_named(tmp_path: Path) -> None:
    folder = write_tiny_dataset(tmp_path, n_cases=10, n_channels=2)
    shutil.copyfile(image_of(folder, "case_1", 0), image_of(folder, "case_1", 1))
    (finding,) = inspect(folder).findings
    assert finding.message.startswith("Two channels of case 'case_1' hold the same voxels.")


def test_every_code_has_a_title_and_a_remedy_and_every_kind_a_code() -> None:
    used = set()
    for file in Path(nnunet_assets.__file__).parent.rglob("*.py"):
        if file.name != "finding_kinds.py":
            source = file.read_text()
            for node in ast.walk(ast.parse(source)) if re.search(r"\bD\d{3}", source) else ():
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    used |= {node.value[:4]} if node.value[:1] == "D" and node.value[1:4].isdigit() else set()
    assert used == set(FINDING_KINDS)


def nnunets_verdicts(folders: Iterable[Path]) -> dict[Path, str | None]:
    """Returns what nnU-Net's own check says of each dataset; None: nothing."""
    with nnunet_in_process({}):
        from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity

        return {folder: _verdict(partial(verify_dataset_integrity, str(folder), 1)) for folder in folders}


def _verdict(check: Callable[[], None]) -> str | None:
    try:
        check()
    except Exception as error:  # noqa: BLE001 (whatever its libraries raise)
        return f"{type(error).__name__}: {error}"
    return None


OF_THE_JSON: dict[str, Any] = {
    "no background": {"labels": {"organ": 1}},
    "a gap": {"labels": {"background": 0, "organ": 1, "lesion": 3}},
    "a wrong count": {"numTraining": 11},
    "no file_ending": {"file_ending": None},
    "an unknown ending": {"file_ending": ".dcm"},
    "no channels": {"channel_names": {}},
    "two channels": {"channel_names": {"0": "a", "1": "b"}},
}


def refused(folder: Path) -> bool:
    try:
        return bool(inspect(folder).errors)
    except nnunet_assets.errors.DatasetError:
        return True


def test_what_nnunets_own_check_refuses_is_refused_here(tmp_path: Path, spoiled: Mapping[str, Spoiled]) -> None:
    folders = {name: one.folder for name, one in spoiled.items()}
    for index, (name, changes) in enumerate({"good": {}, **OF_THE_JSON}.items()):
        folders[name] = write_tiny_dataset(tmp_path / str(index), n_cases=10)
        write_json(folders[name] / "dataset.json", tiny_json(10, **changes))
    del folders["a name that is no text"]  # not one that JSON can carry; we refuse it
    verdicts = nnunets_verdicts(folders.values())
    theirs = {name: verdicts[folder] for name, folder in folders.items()}

    assert theirs["good"] is None
    refused_here = {name for name, one in spoiled.items() if name in folders and one.found.errors}
    refused_here |= {name for name in ("good", *OF_THE_JSON) if refused(folders[name])}
    assert "good" not in refused_here
    refused_there = {name for name, verdict in theirs.items() if verdict}
    assert refused_there - refused_here == set(), theirs
    # What the table says of nnU-Net is so, and is not all that we refuse.
    assert {name for name, defect in DEFECTS.items() if defect.nnunet_refuses} <= refused_there
    assert len(refused_here - refused_there) >= 4
    assert len(refused_there) >= 15
