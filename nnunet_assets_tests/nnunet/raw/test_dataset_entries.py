"""What a dataset.json may say about files, and that nnU-Net takes the same ones."""

import gzip
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, DatasetDescription, parse_dataset_json
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import DatasetError
from nnunet_assets.nnunet.preparation.curated_dataset import CuratedDataset, look_at_raw_data
from nnunet_assets.nnunet.preparation.curation_file import propose_fixes, write_curation
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import curated_folder, curated_roots
from nnunet_assets.nnunet.raw.dataset_entries import read_entries
from nnunet_assets.nnunet.raw.raw_data import RawDataset
from nnunet_assets_tests.raw_builders import DATASET, tiny_json, write_json, write_tiny_dataset

CANARY = "canary:x:0:0:Jane Doe"
MAC = b"\0\5\x16\7" + bytes(200)


@pytest.fixture
def roots(tmp_path: Path) -> Roots:
    made = Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")
    write_tiny_dataset(made.raw)
    return made


def folder_of(roots: Roots) -> Path:
    return roots.raw / DATASET


def entries(images: str = "imagesTr/case_@_0000.nii.gz", label: str = "labelsTr/case_@.nii.gz") -> dict[str, object]:
    """Returns a dataset.json that lists its cases; `@` is the case's number."""
    listed = {
        f"case_{n}": {"images": [images.replace("@", str(n))], "label": label.replace("@", str(n))} for n in range(6)
    }
    return tiny_json(6, dataset=listed)


def look(roots: Roots, *files_from: Path, variables: dict[str, str] | None = None) -> tuple[RawDataset, CuratedDataset]:
    declared = Curation(files_from=tuple(map(str, files_from)))
    return look_at_raw_data(roots, DATASET, 3, declared, variables=variables or {})


def taken_by_nnunet(roots: Roots, monkeypatch: pytest.MonkeyPatch) -> dict[str, dict[str, Any]]:
    """Returns the cases as nnU-Net's own processes find them, in the environment that they get."""
    from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

    prepared = PreparedFolder(roots, DATASET)
    for name, value in curated_roots(prepared).environment().items():
        monkeypatch.setenv(name, value)
    found: dict[str, dict[str, Any]] = get_filenames_of_train_images_and_targets(str(curated_folder(prepared)))
    return found


class TestVariables:
    @pytest.mark.parametrize("prefix", ["$nnUNet_raw/", "${nnUNet_raw}/", "$nnUNet_raw/../raw/", ""])
    def test_they_are_read_as_nnunets_processes_get_them(
        self, roots: Roots, monkeypatch: pytest.MonkeyPatch, prefix: str
    ) -> None:
        monkeypatch.setenv("nnUNet_raw", "/elsewhere")
        start = f"{prefix}{DATASET}/" if prefix else ""
        write_json(folder_of(roots) / DATASET_JSON, entries(f"{start}imagesTr/case_@_0000.nii.gz"))
        found, _ = look(roots)
        assert found.findings == ()
        (image,) = taken_by_nnunet(roots, monkeypatch)["case_3"]["images"]
        assert Path(image).resolve() == folder_of(roots) / "imagesTr/case_3_0000.nii.gz"

    def test_those_of_the_project_are_read_and_nnunet_needs_none_of_them(
        self, roots: Roots, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_json(folder_of(roots) / DATASET_JSON, entries("$STUDY/imagesTr/case_@_0000.nii.gz"))
        found, _ = look(roots, variables={"STUDY": str(folder_of(roots))})
        assert found.findings == ()
        assert os.path.isfile(taken_by_nnunet(roots, monkeypatch)["case_0"]["images"][0])  # noqa: PTH113

    def test_an_unknown_one_stays_as_it_is_and_is_named(self, roots: Roots) -> None:
        write_json(folder_of(roots) / DATASET_JSON, entries("$NOWHERE/case_@_0000.nii.gz"))
        found, _ = look(roots)
        assert {one.code for one in found.errors} == {"D022"}
        assert "Case 'case_0' lists $NOWHERE/case_0_0000" in found.errors[0].message.replace(f"{folder_of(roots)}/", "")
        assert "Variables are those of nnU-Net's own processes" in found.errors[0].message

    @settings(max_examples=100, deadline=None)
    @given(
        st.lists(
            st.sampled_from(
                [*("$A", "${A}", "$B", "${ B}", "$", "$$A", "${", "}", "/", "..", ".", "a", "ä", " ", "$ä", "//")]
            ),
            min_size=1,
            max_size=6,
        ).map("".join)
    )
    def test_every_text_means_the_path_that_nnunet_reads(self, text: Any) -> None:
        from nnunetv2.utilities.utils import get_filenames_of_train_images_and_targets

        variables = {"A": "/data/a", "B": "b/$A"}
        content = tiny_json(1, dataset={"case": {"images": [text], "label": text}})
        with pytest.MonkeyPatch.context() as patch:
            for name, value in variables.items():
                patch.setenv(name, value)
            theirs = get_filenames_of_train_images_and_targets("/raw/D", json.loads(json.dumps(content)))["case"]
        description = DatasetDescription((), {}, "", None, None, content)
        (ours,) = read_entries(Path("/raw/D"), description, variables)
        assert (ours.images, ours.label) == ((Path(theirs["images"][0]),), Path(theirs["label"]))


class TestOutside:
    @pytest.fixture(params=["absolute", "dots", "home", "link", "link of a folder", "sibling"])
    def listed(
        self, request: pytest.FixtureRequest, roots: Roots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> Path:
        """Lists labels in a folder that is not the dataset's; returns it."""
        outside = tmp_path / ("raw_of_others" if request.param == "sibling" else "outside")
        shutil.copytree(folder_of(roots) / "labelsTr", outside)
        for file in outside.iterdir():
            file.write_text(CANARY)
        monkeypatch.setenv("HOME", str(tmp_path))
        links = folder_of(roots) / "links"
        if request.param == "link of a folder":
            links.symlink_to(outside)
        elif request.param == "link":
            links.mkdir()
            for file in outside.iterdir():
                (links / file.name).symlink_to(file)
        name = {
            "absolute": f"{outside}/case_@.nii.gz",
            "sibling": f"{outside}/case_@.nii.gz",
            "dots": f"../../{outside.name}/case_@.nii.gz",
            "home": f"$HOME/{outside.name}/case_@.nii.gz",
        }.get(request.param, "links/case_@.nii.gz")
        write_json(folder_of(roots) / DATASET_JSON, entries(label=name))
        return outside

    def test_it_is_said_and_not_read(self, roots: Roots, listed: Path, tmp_path: Path) -> None:
        with pytest.raises(DatasetError) as caught:
            look(roots, variables={"HOME": str(tmp_path)})
        text = str(caught.value)
        assert text.startswith(f"D060 {folder_of(roots) / DATASET_JSON} lists 6 files outside of {roots.raw}: ")
        assert f"files_from: [{listed}]." in text
        assert "canary" not in text
        assert not (roots.preprocessed / DATASET).exists()

    def test_the_users_word_allows_it_and_nothing_of_a_text_is_quoted(
        self, roots: Roots, listed: Path, tmp_path: Path
    ) -> None:
        found, _ = look(roots, listed, variables={"HOME": str(tmp_path)})
        codes = {finding.code for finding in found.findings}
        assert codes == {"D049"}
        assert not any("canary" in finding.message or "Jane" in finding.message for finding in found.findings)

    def test_a_dataset_that_is_a_link_itself_is_inside(self, roots: Roots, tmp_path: Path) -> None:
        shutil.move(folder_of(roots), tmp_path / "disk")
        folder_of(roots).symlink_to(tmp_path / "disk")
        write_json(folder_of(roots) / DATASET_JSON, entries())
        assert look(roots)[0].findings == ()

    def test_a_case_in_quarantine_may_lie_anywhere(self, roots: Roots) -> None:
        content = entries()
        content["dataset"]["case_2"]["label"] = "/etc/passwd"  # type: ignore[index]
        write_json(folder_of(roots) / DATASET_JSON, content)
        with pytest.raises(DatasetError, match="D060"):
            look(roots)
        found, _ = look_at_raw_data(roots, DATASET, 3, Curation({"case_2": "not ours"}))
        assert found.errors == ()


class TestByteOrderMark:
    def test_nnunet_gets_a_copy_without_it(self, roots: Roots, monkeypatch: pytest.MonkeyPatch) -> None:
        from batchgenerators.utilities.file_and_folder_operations import load_json

        file = folder_of(roots) / DATASET_JSON
        plain, _ = look(roots)
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
        found, curated = look(roots)
        assert [(one.code, one.severity) for one in found.findings] == [("D005", "warning")]
        assert found.content_hash == plain.content_hash
        assert load_json(str(curated.raw_root / DATASET / DATASET_JSON))["numTraining"] == 6
        assert sorted(taken_by_nnunet(roots, monkeypatch)) == list(found.cases)

    @pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-be"])
    def test_another_encoding_is_refused_by_name(self, roots: Roots, encoding: str) -> None:
        file = folder_of(roots) / DATASET_JSON
        file.write_bytes(file.read_text().encode(encoding))
        with pytest.raises(
            DatasetError, match=r"D002 .*dataset\.json is not valid JSON to nnU-Net, which reads UTF-8: it"
        ):
            parse_dataset_json(file)


class TestDroppings:
    @pytest.mark.parametrize("ending", [".nii.gz", ".nii", ".png", ".tif", ".nrrd", ".mha"])
    def test_they_are_passed_over_with_one_note_in_every_format(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str
    ) -> None:
        roots = Roots(tmp_path / "raw", tmp_path / "preprocessed", tmp_path / "results")
        folder = write_tiny_dataset(roots.raw, ending=".nii")
        for file in [*folder.glob("*Tr/*.nii")]:
            new = file.with_name(file.name.removesuffix(".nii") + ending)
            _rename(file, new)
            new.with_name("._" + new.name).write_bytes(MAC)
        for name in (".DS_Store", "Thumbs.db", "desktop.ini", f"~$case_0_0000{ending}", f"._x{ending}"):
            (folder / "imagesTr" / name).write_bytes(MAC)
        write_json(folder / DATASET_JSON, tiny_json(6, channel_names={"0": "MRI"}, file_ending=ending))
        found, _ = look(roots)
        assert len(found.cases) == 6
        notes = [one for one in found.findings if one.code == "D059"]
        assert [one.severity for one in notes] == ["warning"]
        assert notes[0].message.startswith("17 files that other systems leave beside one's own are passed over")
        assert not {"D016", "D025", "D026", "D027", "D019"} & {one.code for one in found.findings}
        assert sorted(taken_by_nnunet(roots, monkeypatch)) == list(found.cases)

    def test_a_hidden_file_that_is_no_image_is_no_news(self, roots: Roots) -> None:
        (folder_of(roots) / "imagesTr/.gitignore").touch()
        assert look(roots)[0].findings == ()


class TestNumberOfCases:
    def test_what_fix_leaves_out_is_never_taken_from_a_number_that_did_not_count_it(self, roots: Roots) -> None:
        """The file says 4, rightly for whoever wrote it: two further cases are damaged."""
        for n in (1, 2):
            (folder_of(roots) / f"imagesTr/case_{n}_0000.nii.gz").write_bytes(b"")
        write_json(folder_of(roots) / DATASET_JSON, tiny_json(4))
        found, _ = look(roots)
        assert {one.code for one in found.errors} == {"D016", "D049"}
        fixes = propose_fixes(roots, DATASET, found.findings)
        assert set(fixes.curation.quarantine) == {"case_1", "case_2"}
        write_curation(PreparedFolder(roots, DATASET), fixes.curation)
        assert look(roots)[0].findings == (look(roots)[0].warnings)

    @pytest.mark.parametrize("n_training", range(9))
    def test_the_number_that_the_message_asks_for_is_right(self, roots: Roots, n_training: Any) -> None:
        curation = Curation({"case_0": "bad", "case_5": "bad"})
        file = folder_of(roots) / DATASET_JSON
        write_json(file, tiny_json(n_training))
        found, _ = look_at_raw_data(roots, DATASET, 2, curation)
        if n_training in (4, 6):
            assert found.errors == ()
            return
        (finding,) = found.errors
        said = f"dataset.json says numTraining {n_training}, but 4 training cases were found."
        assert finding.message.startswith(said)
        write_json(file, tiny_json(int(finding.message.partition('"numTraining": ')[2].partition(";")[0])))
        assert look_at_raw_data(roots, DATASET, 2, curation)[0].errors == ()


def _rename(file: Path, new: Path) -> None:
    """Of formats other than NIfTI, what is in a file does not matter here."""
    if new.name.endswith(".gz"):
        new.write_bytes(gzip.compress(file.read_bytes()))
        file.unlink()
    else:
        file.rename(new)
