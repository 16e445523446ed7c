"""Quarantine and repair: what is used is another raw root, and the user's own stays as it is to the last bit."""

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import DatasetError, PlanningError
from nnunet_assets.nnunet.images import nifti
from nnunet_assets.nnunet.preparation.curated_dataset import CuratedDataset, curate, look_at_raw_data
from nnunet_assets.nnunet.preparation.curation_file import write_curation
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import curated_folder, curated_roots, read_raw
from nnunet_assets.nnunet.raw.raw_data import RawDataset
from nnunet_assets_tests.raw_builders import (
    DATASET,
    tiny_image,
    tiny_json,
    tiny_label,
    write_json,
    write_tiny_dataset,
    write_volume,
)
from nnunet_assets_tests.training_builders import roots_in

NONE = Curation()
REPAIR = Curation(repair_headers_mm=0.1)


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    """A good dataset of six cases with two channels."""
    roots = roots_in(tmp_path)
    write_tiny_dataset(roots.raw, n_channels=2)
    return roots


def look(roots: Roots, curation: Curation) -> tuple[RawDataset, CuratedDataset]:
    return look_at_raw_data(roots, DATASET, 2, curation)


def written(curated: CuratedDataset) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((curated.raw_root / DATASET / "dataset.json").read_text())
    return content


def state(folder: Path) -> dict[str, tuple[int, str]]:
    """Returns all that a person could see of a folder: names, times, contents."""
    return {
        str(path.relative_to(folder)): (path.stat().st_mtime_ns, file_sha256(path) if path.is_file() else "")
        for path in sorted([folder, *folder.rglob("*")])
    }


def shift_label(roots: Roots, case: str, mm: float) -> Path:
    return write_volume(roots.raw / DATASET / f"labelsTr/{case}.nii.gz", tiny_label(), origin_mm=(mm, 0, 0))


class TestQuarantine:
    def test_a_case_is_left_out_of_record_and_hash_and_comes_back(self, roots: Roots) -> None:
        full, _ = look(roots, NONE)
        less, curated = look(roots, Curation({"case_2": "the scan shows another organ"}))
        prepared = PreparedFolder(roots, DATASET)
        assert read_raw(prepared).cases == less.cases == ("case_0", "case_1", "case_3", "case_4", "case_5")
        assert less.content_hash != full.content_hash
        assert less.findings == ()
        assert less.folder == roots.raw / DATASET
        assert curated_roots(prepared).raw == curated.raw_root != roots.raw
        again, _ = look(roots, NONE)
        assert (again.content_hash, curated_roots(prepared)) == (full.content_hash, roots)

    def test_dataset_json_is_complete_and_names_the_originals(self, roots: Roots) -> None:
        folder = roots.raw / DATASET
        _, curated = look(roots, Curation({f"case_{n}": "bad" for n in range(5)}))
        assert written(curated) == {
            **json.loads((folder / "dataset.json").read_text()),
            "numTraining": 1,
            "dataset": {
                "case_5": {
                    "images": [str(folder / f"imagesTr/case_5_000{n}.nii.gz") for n in (0, 1)],
                    "label": str(folder / "labelsTr/case_5.nii.gz"),
                }
            },
        }
        shown = json.loads((curated.raw_root / DATASET / "curation.json").read_text())
        assert shown == {"quarantined": {f"case_{n}": "bad" for n in range(5)}, "repaired_headers": []}

    def test_the_hash_does_not_depend_on_where_the_data_lies_nor_on_the_reason(
        self, roots: Roots, tmp_path: Path
    ) -> None:
        here, _ = look(roots, Curation({"case_2": "bad"}))
        elsewhere = roots_in(tmp_path / "elsewhere")
        shutil.copytree(roots.raw, elsewhere.raw)
        there, _ = look(elsewhere, Curation({"case_2": "bad for another reason"}))
        assert there.content_hash == here.content_hash

    def test_what_is_wrong_with_a_case_in_quarantine_is_no_matter_and_the_rest_is(self, roots: Roots) -> None:
        folder = roots.raw / DATASET
        (folder / "imagesTr/case_1_0000.nii.gz").write_bytes(b"")
        (folder / "labelsTr/case_2.nii.gz").unlink()
        (folder / "imagesTr/case_3_0001.nii.gz").unlink()
        (folder / "imagesTr/stray.nii.gz").write_bytes(b"")
        for channel in (0, 1):
            image = folder / f"imagesTr/case_4_000{channel}.nii.gz"
            image.unlink()
            image.symlink_to("nowhere")
        bad = [f"case_{n}" for n in (1, 2, 3, 4)]
        full, _ = look(roots, NONE)
        assert {finding.code for finding in full.errors} == {"D049", "D026", "D022", "D025", "D052", "D016"}
        found, _ = look(roots, Curation(dict.fromkeys(bad, "bad")))
        assert [(finding.code, finding.case) for finding in found.errors] == [("D025", "stray")]
        # What is left is said once, in the words for nnUNet_raw.
        found, _ = look(roots, Curation(dict.fromkeys(bad[2:], "bad")))
        assert sorted((finding.code, finding.case) for finding in found.errors) == [
            *(("D025", "stray"), ("D026", "case_2"), ("D049", "case_1"))
        ]
        assert "Case 'case_2' has images, but no label labelsTr/case_2.nii.gz." in found.record.errors

    def test_a_wrong_number_of_cases_stays_wrong(self, roots: Roots) -> None:
        write_json(roots.raw / DATASET / "dataset.json", tiny_json(7, channel_names={"0": "A", "1": "B"}))
        found, _ = look(roots, Curation({"case_2": "bad"}))
        assert [finding.code for finding in found.errors] == ["D016"]

    def test_a_case_that_does_not_exist_is_refused_with_the_nearest(self, roots: Roots) -> None:
        with pytest.raises(
            DatasetError, match=r"'case_22' in quarantine: there is no such case in .*Did you mean case"
        ):
            look(roots, Curation({"case_22": "bad"}))
        assert not (roots.preprocessed / DATASET).exists()

    def test_two_datasets_of_one_id_are_named_all_the_same(self, roots: Roots) -> None:
        (roots.raw / "Dataset001_Other").mkdir()
        for curation in (NONE, Curation({"case_2": "bad"})):
            (finding,) = look(roots, curation)[0].errors
            assert finding.message.startswith(f"Dataset001_Other in {roots.raw} has the id of {DATASET}. nnU-Net finds")

    def test_all_cases_cannot_be_left_out(self, roots: Roots) -> None:
        with pytest.raises(DatasetError, match=r"All 6 cases of Dataset001_Tiny are in quarantine, so none is left\."):
            curate(roots, DATASET, Curation({f"case_{n}": "bad" for n in range(6)}))

    def test_a_dataset_with_entries_of_its_own_keeps_the_others(self, roots: Roots) -> None:
        folder = roots.raw / DATASET
        entries = {
            name: {"images": [f"imagesTr/case_{n}_000{c}.nii.gz" for c in (0, 1)], "label": f"labelsTr/case_{n}.nii.gz"}
            for n, name in enumerate(("anna", "bert", "carl"))
        }
        content = tiny_json(3, channel_names={"0": "A", "1": "B"}, dataset=entries)
        write_json(folder / "dataset.json", content)
        found, curated = look(roots, Curation({"bert": "bad"}))
        assert (found.cases, found.findings) == (("anna", "carl"), found.warnings)
        assert written(curated)["dataset"]["carl"]["label"] == str(folder / "labelsTr/case_2.nii.gz")

    def test_a_path_that_nnunet_would_read_otherwise_is_refused(self, tmp_path: Path) -> None:
        roots = roots_in(tmp_path / "a$HOME")
        write_tiny_dataset(roots.raw)
        with pytest.raises(DatasetError, match=r"holds a \$, which nnU-Net takes for a variable"):
            look(roots, Curation({"case_2": "bad"}))

    def test_a_root_that_was_deleted_is_asked_for(self, roots: Roots) -> None:
        _, curated = look(roots, Curation({"case_2": "bad"}))
        shutil.rmtree(curated.raw_root)
        with pytest.raises(
            PlanningError, match=r"which was made without them, is gone\. Materialize raw_dataset again"
        ):
            curated_roots(PreparedFolder(roots, DATASET))

    def test_the_file_of_the_check_adds_to_what_is_declared(self, roots: Roots) -> None:
        write_curation(PreparedFolder(roots, DATASET), Curation({"case_1": "found", "case_2": "found"}))
        _, curated = look(roots, Curation({"case_2": "declared"}))
        assert curated.quarantined == {"case_1": "found", "case_2": "declared"}

    def test_the_root_before_stays_for_a_planning_that_runs_and_older_ones_go(self, roots: Roots) -> None:
        made = [look(roots, Curation({f"case_{n}": "bad"}))[1].raw_root for n in range(3)]
        assert [root.exists() for root in made] == [False, True, True]


def test_a_split_beside_the_raw_data_is_not_seen_by_nnunet_and_changes_nothing_else(roots: Roots) -> None:
    before, _ = look(roots, NONE)
    folds = [[f"case_{n}" for n in (0, 1, 2)], [f"case_{n}" for n in (3, 4, 5)]]
    halves = [{"train": train, "val": val} for train, val in (folds, folds[::-1])]
    split = write_json(roots.raw / DATASET / "splits_final.json", halves)
    found, curated = look(roots, NONE)
    assert (found.content_hash, found.cases) == (before.content_hash, before.cases)
    assert [(finding.code, finding.file) for finding in found.findings] == [("D074", split.name)]
    assert found.findings[0].message.startswith(f"{split} is a split of your own, which `splits` takes where nothing")
    assert curated.splits_sha256 == file_sha256(split)
    assert curated_folder(PreparedFolder(roots, DATASET)) == curated.raw_root / DATASET
    assert sorted(path.name for path in (curated.raw_root / DATASET).iterdir()) == ["curation.json", "dataset.json"]


class TestHeaderRepair:
    def test_a_label_below_the_tolerance_gets_the_images_header_and_keeps_every_voxel(self, roots: Roots) -> None:
        label = shift_label(roots, "case_3", 0.05)
        full, _ = look(roots, NONE)
        assert [finding.code for finding in full.findings] == ["D043"]
        found, curated = look(roots, REPAIR)
        assert found.findings == ()
        assert found.content_hash != full.content_hash
        (repair,) = curated.repairs
        assert (repair.case, repair.file, round(repair.distance_mm, 6)) == ("case_3", label, 0.05)
        entry = written(curated)["dataset"]["case_3"]
        assert entry["label"] == "labelsTr/case_3.nii.gz"
        copy = nibabel.load(curated.raw_root / DATASET / entry["label"])
        image = nibabel.load(entry["images"][0])
        np.testing.assert_array_equal(np.asanyarray(copy.dataobj), tiny_label())
        np.testing.assert_array_equal(copy.affine, image.affine)
        assert copy.header.get_zooms() == image.header.get_zooms()
        assert copy.get_data_dtype() == np.uint8

    def test_simpleitk_sees_the_same_place(self, roots: Roots) -> None:
        import SimpleITK

        write_volume(roots.raw / DATASET / "imagesTr/case_3_0001.nii.gz", tiny_image(), spacing_mm=(1.01, 1, 2))
        _, curated = look(roots, REPAIR)
        first, second = written(curated)["dataset"]["case_3"]["images"]
        assert second == "imagesTr/case_3_0001.nii.gz"
        read = [SimpleITK.ReadImage(str(curated.raw_root / DATASET / name)) for name in (first, second)]
        for place in ("GetSpacing", "GetOrigin", "GetDirection"):
            assert getattr(read[0], place)() == getattr(read[1], place)()

    @pytest.mark.parametrize("mm", [0.0005, 0.2])
    def test_what_is_only_rounding_or_beyond_the_tolerance_stays(self, roots: Roots, mm: float) -> None:
        shift_label(roots, "case_3", mm)
        _, curated = look(roots, REPAIR)
        assert (curated.raw_root, curated.repairs) == (roots.raw, ())

    def test_another_shape_is_no_matter_of_the_header(self, roots: Roots) -> None:
        write_volume(roots.raw / DATASET / "labelsTr/case_3.nii.gz", tiny_label()[:3], origin_mm=(0.05, 0, 0))
        assert curate(roots, DATASET, REPAIR).repairs == ()

    def test_a_case_in_quarantine_is_not_repaired(self, roots: Roots) -> None:
        shift_label(roots, "case_3", 0.05)
        assert curate(roots, DATASET, Curation({"case_3": "bad"}, 0.1)).repairs == ()

    def test_a_damaged_file_is_named_and_not_made_whole(self, roots: Roots) -> None:
        label = shift_label(roots, "case_3", 0.05)
        label.write_bytes(label.read_bytes()[:-10])
        found, _ = look(roots, REPAIR)
        assert [(finding.code, finding.case) for finding in found.errors] == [("D047", "case_3")]

    def test_a_file_that_unpacks_without_end_is_named_and_not_unpacked(
        self, roots: Roots, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(nifti, "_MOST_TRAILING_BYTES", 1 << 20)
        label = shift_label(roots, "case_3", 0.05)
        label.write_bytes(gzip.compress(gzip.decompress(label.read_bytes()) + bytes(2 << 20)))
        found, curated = look(roots, REPAIR)
        assert [(finding.code, finding.case) for finding in found.errors] == [("D050", "case_3")]
        assert (curated.raw_root / DATASET / "labelsTr/case_3.nii.gz").read_bytes() == label.read_bytes()

    def test_extensions_scale_and_uncompressed_files_stay_as_they_are(self, tmp_path: Path) -> None:
        roots = roots_in(tmp_path)
        folder = write_tiny_dataset(roots.raw, n_cases=2, ending=".nii")
        image = nibabel.Nifti1Image(tiny_label(), np.diag([1, 1, 2.02, 1]))
        image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"text"))
        image.to_filename(folder / "labelsTr/case_1.nii")
        _, curated = look(roots, REPAIR)
        original = (folder / "labelsTr/case_1.nii").read_bytes()
        copy = (curated.raw_root / DATASET / "labelsTr/case_1.nii").read_bytes()
        assert copy[348:] == original[348:]
        assert copy[:348] != original[:348]
        assert b"text" in copy

    def test_other_formats_are_refused(self, roots: Roots) -> None:
        write_json(roots.raw / DATASET / "dataset.json", tiny_json(6, file_ending=".nrrd"))
        with pytest.raises(DatasetError, match=r"repair_headers_mm is set, but the images end in \.nrrd"):
            curate(roots, DATASET, REPAIR)


class TestWhatPlanningWouldDieOf:
    def test_a_dataset_without_its_number_gets_a_copy_with_it(self, roots: Roots) -> None:
        folder = roots.raw / DATASET
        description = json.loads((folder / "dataset.json").read_text())
        write_json(folder / "dataset.json", {key: value for key, value in description.items() if key != "numTraining"})
        found, curated = look(roots, NONE)
        assert [(one.code, one.severity) for one in found.findings] == [("D016", "warning")]
        assert 'write "numTraining": 6' in found.findings[0].message
        assert written(curated)["numTraining"] == 6

    def test_a_split_that_does_not_fit_is_an_error_unless_another_file_is_declared(self, roots: Roots) -> None:
        write_json(roots.raw / DATASET / "splits_final.json", [{"train": ["case_0"], "val": ["case_9"]}])
        found, _ = look(roots, NONE)
        assert [one.code for one in found.errors] == ["D075"]
        assert "case_9" in found.errors[0].message
        found, _ = look_at_raw_data(roots, DATASET, 2, NONE, takes_split=False)
        assert not found.errors

    def test_a_name_that_is_too_long_for_a_later_file_is_an_error(self, roots: Roots) -> None:
        folder, name = roots.raw / DATASET, "x" * 240
        listed = {
            name if case == 0 else f"case_{case}": {
                "images": [f"imagesTr/case_{case}_000{channel}.nii.gz" for channel in (0, 1)],
                "label": f"labelsTr/case_{case}.nii.gz",
            }
            for case in range(6)
        }
        description = json.loads((folder / "dataset.json").read_text())
        write_json(folder / "dataset.json", {**description, "dataset": listed})
        assert not look(roots, NONE)[0].errors
        write_json(
            folder / "dataset.json", {**description, "dataset": {f"{name}{name}"[:250]: listed.pop(name), **listed}}
        )
        assert [one.code for one in look(roots, NONE)[0].errors] == ["D058"]


def test_nnunet_raw_is_never_touched(roots: Roots) -> None:
    shift_label(roots, "case_3", 0.05)
    before = state(roots.raw)
    _, curated = look(roots, Curation({"case_1": "bad"}, 0.1))
    assert len(curated.repairs) == 1
    look(roots, NONE)
    assert state(roots.raw) == before


def test_an_interrupted_curation_leaves_the_one_before_and_the_next_goes_on(
    roots: Roots, monkeypatch: pytest.MonkeyPatch
) -> None:
    shift_label(roots, "case_3", 0.05)
    _, before = look(roots, Curation({"case_1": "bad"}))
    prepared = PreparedFolder(roots, DATASET)
    compress = gzip.compress

    def interrupted(*_: Any, **__: Any) -> bytes:
        raise KeyboardInterrupt

    monkeypatch.setattr(gzip, "compress", interrupted)
    with pytest.raises(KeyboardInterrupt):
        look(roots, REPAIR)
    assert curated_roots(prepared).raw == before.raw_root
    assert [path.name for path in before.raw_root.parent.iterdir()] == [before.digest]
    monkeypatch.setattr(gzip, "compress", compress)
    _, after = look(roots, REPAIR)
    assert curated_roots(prepared).raw == after.raw_root


def test_the_same_again_writes_nothing_anew(roots: Roots) -> None:
    shift_label(roots, "case_3", 0.05)
    _, curated = look(roots, REPAIR)
    before = state(curated.raw_root)
    look(roots, REPAIR)
    assert state(curated.raw_root) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_a_raw_folder_that_may_only_be_read_is_enough() -> None:
    code = (
        "import os, sys; from pathlib import Path; from nnunet_assets.core.dataset.curation import Curation\n"
        "from nnunet_assets.core.files.layout import Roots\n"
        "from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data\n"
        # What is imported later may lie in a folder of root's own.
        "import nibabel; from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets\n"
        "os.setuid(65534); roots = Roots(*map(Path, sys.argv[1:]))\n"
        "assert not os.access(roots.raw, os.W_OK)\n"
        "found, curated = look_at_raw_data(roots, 'Dataset001_Tiny', 2, Curation({'case_1': 'bad'}, 0.1))\n"
        "print(found.n_cases, len(found.errors), len(curated.repairs))"
    )
    # pytest's own folders are closed to others.
    with tempfile.TemporaryDirectory() as folder:
        roots = roots_in(Path(folder))
        write_tiny_dataset(roots.raw)
        shift_label(roots, "case_3", 0.05)
        roots.preprocessed.mkdir(mode=0o777)
        for path, mode in ((Path(folder), 0o755), (roots.preprocessed, 0o777)):
            path.chmod(mode)
        before = state(roots.raw)
        arguments = [roots.raw, roots.preprocessed, roots.results]
        shown = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
        assert shown.stdout == "5 0 1\n"
        assert state(roots.raw) == before
