"""The files beside an image: named as nnU-Net's and ITK's readers name them, and in every digest."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.files import digests
from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.nnunet.cases.fact_cache import FactCache
from nnunet_assets.nnunet.images.companion_files import image_companions, label_companions
from nnunet_assets.nnunet.images.image_reader import TIFF_READER
from nnunet_assets.nnunet.preparation.case_preprocessing import CaseJob
from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import read_raw
from nnunet_assets.nnunet.raw.raw_data import inspect_raw_dataset
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets_tests.raw_builders import DATASET, tiny_json, write_json

CASES = [f"case_{n}" for n in range(6)]
SPACING = {"spacing": [2.0, 1.0, 1.0]}


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """3D TIFFs, each image and label with its spacing beside it."""
    roots = Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")
    folder = roots.raw / DATASET
    for n, case in enumerate(CASES):
        rng = np.random.default_rng(n)
        for name, dtype in ((f"imagesTr/{case}_0000", np.float32), (f"labelsTr/{case}", np.uint8)):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / f"{name}.tif", rng.integers(0, 3, (5, 6, 7)).astype(dtype))
            write_json(folder / f"{name.removesuffix('_0000')}.json", SPACING)
    write_json(folder / "dataset.json", tiny_json(file_ending=".tif"))
    return roots


def look(roots: Roots) -> RawRecord:
    look_at_raw_data(roots, DATASET, 3, Curation())
    return read_raw(PreparedFolder(roots, DATASET))


def sidecar(roots: Roots, name: str = "imagesTr/case_1.json") -> Path:
    return roots.raw / DATASET / name


@pytest.mark.parametrize("name", ["a_0000.tif", "a.b_0000.tiff", "a_0001.TIF", "a12345.tif"])
@pytest.mark.parametrize("is_label", [False, True])
def test_a_sidecar_is_where_nnunets_reader_looks_for_it(tmp_path: Path, name: str, is_label: bool) -> None:
    from nnunetv2.imageio.tif_reader_writer import Tiff3DIO

    tifffile.imwrite(tmp_path / name, np.zeros((5, 6, 7), np.uint8))
    (named,) = (label_companions if is_label else image_companions)(tmp_path / name, TIFF_READER)
    assert not named.exists()
    write_json(named, {"spacing": [9.0, 2.0, 3.0]})
    path = str(tmp_path / name)
    _, properties = Tiff3DIO().read_seg(path) if is_label else Tiff3DIO().read_images((path,))
    assert properties["spacing"] == [9.0, 2.0, 3.0]


def written(folder: Path, name: str, voxels: int = 1) -> Path:
    import SimpleITK

    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.full((2, 3, 4), voxels, np.uint8)), str(folder / name))
    return folder / name


def as_text(old: str, new: str) -> Callable[[Path], object]:
    def change(path: Path) -> object:
        assert old in path.read_text()
        return path.write_text(path.read_text().replace(old, new))

    return change


HEADERS: dict[str, tuple[str, list[str], Callable[[Path], object]]] = {
    "MetaImage": ("a.mhd", ["a.raw"], lambda _: None),
    "a list of slices": ("a.mhd", ["s1", "s2"], as_text("a.raw", "LIST\ns1\ns2")),
    "numbered slices": ("a.mhd", ["s1.raw", "s2.raw"], as_text("a.raw", "s%d.raw 1 2 1")),
    "a header called mha": ("a.mhd", ["b.raw"], as_text("a.raw", "b.raw")),
    "NRRD": ("a.nhdr", ["a.raw"], lambda _: None),
    "a list in NRRD": ("a.nhdr", ["s1", "s2"], as_text("data file: a.raw", "data file: LIST\ns1\ns2")),
    "numbered in NRRD": ("a.nhdr", ["s1.raw", "s2.raw"], as_text("data file: a.raw", "datafile: s%d.raw 1 2 1")),
    "two files": ("a.hdr", ["a.img", "a.img.gz"], lambda _: None),
    "one file": ("a.mha", [], lambda _: None),
    "one NRRD": ("a.nrrd", [], lambda _: None),
}


@pytest.mark.parametrize("kind", HEADERS)
def test_detached_voxels_are_found_and_are_those_that_the_reader_reads(tmp_path: Path, kind: str) -> None:
    name, wanted, change = HEADERS[kind]
    import SimpleITK

    header = written(tmp_path, name)
    change(header)
    found = image_companions(header, "SimpleITKIO")
    assert [path.name for path in found] == wanted
    if "a.img.gz" in wanted:
        found = found[:1]
    for path in found:
        path.write_bytes(bytes([7]) * (24 // len(found)))
    voxels = SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(header)))
    assert set(np.unique(voxels).tolist()) == ({7} if found else {1})


class TestDigests:
    def test_spacing_that_changes_makes_the_data_another(self, roots: Roots) -> None:
        before = look(roots)
        write_json(sidecar(roots), {"spacing": [9.0, 1.0, 1.0]})
        write_json(sidecar(roots, "labelsTr/case_1.json"), {"spacing": [9.0, 1.0, 1.0]})
        after = look(roots)
        assert after.content_hash != before.content_hash
        assert [case for case in CASES if after.case_hashes[case] != before.case_hashes[case]] == ["case_1"]

    @pytest.mark.parametrize("change", ["comes", "goes", "changes"])
    def test_what_was_kept_is_read_anew(
        self, roots: Roots, tmp_path: Path, change: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if change == "comes":
            sidecar(roots).unlink()
        monkeypatch.setattr(digests, "SAFETY_SECONDS", 0.0)
        first, same = (inspect_raw_dataset(roots.raw, DATASET, 3, cache=FactCache(tmp_path / "facts")) for _ in "12")
        assert (first.n_read, same.n_read) == (6, 0)
        if change == "goes":
            sidecar(roots).unlink()
        else:
            write_json(sidecar(roots), {"spacing": [9.0, 1.0, 1.0]})
        found = inspect_raw_dataset(roots.raw, DATASET, 3, cache=FactCache(tmp_path / "facts"))
        assert found.n_read == 1
        assert found.content_hash != first.content_hash
        assert "D042" in [finding.code for finding in found.errors]

    def test_a_dataset_without_such_files_keeps_the_first_schemes_name(self, roots: Roots) -> None:
        for path in roots.raw.rglob("case_*.json"):
            path.unlink()
        assert look(roots).content_hash == first_scheme(roots)

    def test_a_case_whose_spacing_changed_since_the_look_is_not_preprocessed(
        self, roots: Roots, tmp_path: Path
    ) -> None:
        record, folder = look(roots), roots.raw / DATASET
        job = CaseJob(
            "case_1",
            record.case_hashes["case_1"],
            record.case_hashes["case_1"],
            (str(folder / "imagesTr/case_1_0000.tif"),),
            str(folder / "labelsTr/case_1.tif"),
            tmp_path / "P.json",
            "2d",
            tiny_json(file_ending=".tif"),
            tmp_path,
            companions=tuple((of, path, sha) for of, path, sha in record.companions["case_1"]),
        )
        assert set(job.references()) == {"case_1.tif", "case_1.json"}
        with pytest.raises(ChildFailure):
            replace(job, companions=job.companions[:1]).references()
        sidecar(roots).unlink()
        with pytest.raises(ChildFailure, match="were changed after the raw data was looked at"):
            job.references()


@pytest.mark.parametrize(
    ("ending", "beside"), [(".mhd", ".raw"), (".nhdr", ".raw"), (".img", ".hdr"), (".hdr", ".img")]
)
def test_voxels_beside_their_header_are_in_the_digest_and_only_equal_ones_are_copies(
    tmp_path: Path, ending: str, beside: str
) -> None:
    folder = tmp_path / DATASET
    for n in range(6):
        for name in (f"imagesTr/case_{n}_0000", f"labelsTr/case_{n}"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            # The first two images are one.
            written(folder, f"{name}{ending}", max(n, 1) if "images" in name else 1)
    write_json(folder / "dataset.json", tiny_json(file_ending=ending, overwrite_image_reader_writer="SimpleITKIO"))
    found = inspect_raw_dataset(tmp_path, DATASET, 3)
    # Each image has one value throughout (D034), and no label image the second label (D037).
    said = sorted((finding.code, finding.case) for finding in found.findings)
    assert said == [*(("D034", f"case_{n}") for n in range(6)), ("D037", None), ("D054", "case_0")]
    path = folder / f"imagesTr/case_3_0000{beside}"
    path.write_bytes(path.read_bytes()[:-1] + b"\1")
    changed = inspect_raw_dataset(tmp_path, DATASET, 3)
    assert changed.content_hash != found.content_hash
    assert [case for case, name in changed.case_hashes.items() if name != found.case_hashes[case]] == ["case_3"]
    if beside == ".raw":
        path.unlink()
        missing = inspect_raw_dataset(tmp_path, DATASET, 3).errors
        assert ("D049", "case_3") in [(finding.code, finding.case) for finding in missing]
        assert "holds the voxels of the case's image 0 by its header, and is not there" in missing[-1].message


def first_scheme(roots: Roots) -> str:
    """The digest of the dataset as version 0.1.0 took it: of dataset.json, images and labels."""
    folder = roots.raw / DATASET
    return json_sha256({"dataset_json": json.loads((folder / "dataset.json").read_text()), "cases": first_cases(roots)})


def first_cases(roots: Roots) -> dict[str, Any]:
    folder = roots.raw / DATASET
    return {
        case: {
            "images": [file_sha256(folder / f"imagesTr/{case}_0000.tif")],
            "label": file_sha256(folder / f"labelsTr/{case}.tif"),
        }
        for case in CASES
    }


class TestNamesOfTheFirstScheme:
    @pytest.fixture
    def old(self, roots: Roots) -> str:
        """Leaves the record that version 0.1.0 wrote of the data, and returns its digest."""
        record = {
            "content_hash": first_scheme(roots),
            "cases": CASES,
            "voxels_checked": False,
            "errors": "",
            "case_hashes": {case: json_sha256(content) for case, content in first_cases(roots).items()},
            "image_hashes": {},
            "label_volumes_ml": {},
            "curation": "",
        }
        write_json(PreparedFolder(roots, DATASET).own / "raw.json", record)
        return str(record["content_hash"])

    def test_hold_while_nothing_changes(self, roots: Roots, old: str) -> None:
        for _ in range(3):
            found = look(roots)
            assert found.content_hash == old
            assert found.case_hashes == {case: json_sha256(content) for case, content in first_cases(roots).items()}

    def test_end_for_a_case_whose_spacing_changes_and_hold_again_when_it_is_put_back(
        self, roots: Roots, old: str
    ) -> None:
        kept = look(roots).case_hashes
        both = sidecar(roots), sidecar(roots, "labelsTr/case_1.json")
        for path in both:
            write_json(path, {"spacing": [9.0, 1.0, 1.0]})
        found = look(roots)
        assert found.content_hash != old
        assert [case for case in CASES if found.case_hashes[case] != kept[case]] == ["case_1"]
        for path in both:
            write_json(path, SPACING)
        assert look(roots).content_hash == old

    def test_are_not_given_to_data_that_changed_before_the_second_scheme_looked(self, roots: Roots, old: str) -> None:
        tifffile.imwrite(roots.raw / DATASET / "imagesTr/case_2_0000.tif", np.ones((5, 6, 7), np.float32))
        found = look(roots)
        assert found.content_hash != old
        assert set(found.kept_names) == set(CASES) - {"case_2"}

    def test_are_not_given_to_a_case_of_another_spacing_than_was_planned_with(self, roots: Roots, old: str) -> None:
        planned = [[2.0, 1.0, 1.0]] * 3 + [[9.0, 1.0, 1.0]] + [[2.0, 1.0, 1.0]] * 2
        write_json(PreparedFolder(roots, DATASET).folder / "dataset_fingerprint.json", {"spacings": planned})
        for _ in range(2):
            found = look(roots)
            assert found.content_hash != old
            assert set(found.kept_names) == set(CASES) - {"case_3"}

    def test_are_not_given_to_a_new_dataset(self, roots: Roots) -> None:
        found = look(roots)
        assert (found.digest_scheme, found.kept_names) == (2, {})
        assert found.content_hash != first_scheme(roots)
        assert look(roots).content_hash == found.content_hash
