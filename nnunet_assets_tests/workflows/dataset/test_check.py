"""A raw dataset looked at, declared or not; what can be put right is noted and taken back; its split is judged."""

from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.splits.case_groups import GroupTable
from nnunet_assets.core.splits.splits import SplitSettings
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.errors import DatasetError, PlanningError
from nnunet_assets.nnunet.preparation.curation_file import read_curation
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import write_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.dataset import check as module
from nnunet_assets.workflows.dataset.check import check, check_split, fix, undo
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.raw_builders import DATASET, tiny_label, write_tiny_dataset, write_volume

DECLARED = f"""
type: nnunet_assets.components.NnunetDataset
attributes:
  dataset: {DATASET}
  folds: 3
  quarantine: {{case_9: as declared}}
---
type: nnunet_assets.components.NnunetDataset
attributes: {{dataset: Dataset002_Other, folds: 7}}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings.from_environment(tmp_path, {})


class TestLookingAt:
    @pytest.fixture
    def asked(self, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
        """What is asked of the reading of all cases, in place of which nothing is read."""
        found: dict[str, Any] = {}

        def look_at(_settings: Settings, name: str, n_folds: int, curation: Curation, **more: Any) -> None:
            found.update(name=name, n_folds=n_folds, curation=curation, rehash=more["rehash"])

        monkeypatch.setattr(module, "look_at", look_at)
        return found

    def test_what_is_not_declared_is_for_nnunets_five_folds(self, settings: Settings, asked: dict[str, Any]) -> None:
        check(settings, DATASET, SILENT)
        assert asked == {"name": DATASET, "n_folds": 5, "curation": Curation(), "rehash": False}

    def test_what_is_declared_counts_and_what_is_asked_for_comes_over_it(
        self, settings: Settings, asked: dict[str, Any]
    ) -> None:
        write_project(settings.project, {"defs.yaml": DECLARED})
        check(settings, DATASET, SILENT)
        assert (asked["n_folds"], asked["curation"].quarantine) == (3, {"case_9": "as declared"})
        check(settings, DATASET, SILENT, n_folds=4, files_from=["/archive"], rehash=True)
        assert (asked["n_folds"], asked["rehash"]) == (4, True)
        assert (asked["curation"].quarantine, asked["curation"].files_from) == (
            {"case_9": "as declared"},
            ("/archive",),
        )


class TestPuttingRight:
    @pytest.fixture
    def folder(self, settings: Settings) -> Path:
        return write_tiny_dataset(settings.roots.raw, n_cases=6)

    def test_what_cannot_be_done_is_noted_nowhere(self, settings: Settings, folder: Path) -> None:
        report = fix(settings, check(settings, DATASET, SILENT, n_folds=2))
        assert (report.file, report.fixes.curation) == (None, Curation())
        assert not undo(settings, DATASET)

    def test_a_case_is_left_out_and_taken_back(self, settings: Settings, folder: Path) -> None:
        write_volume(folder / "labelsTr" / "case_2.nii.gz", tiny_label() * 3)
        prepared = PreparedFolder(settings.roots, DATASET)
        report = fix(settings, check(settings, DATASET, SILENT, n_folds=2))
        assert list(report.fixes.curation.quarantine) == ["case_2"]
        assert report.file == prepared.own / "curation.json"
        assert list(read_curation(prepared).quarantine) == ["case_2"]

        # What was decided stays where more is, though the check does not find it again.
        write_volume(folder / "labelsTr" / "case_4.nii.gz", tiny_label(), origin_mm=(0.05, 0, 0))
        again = fix(settings, check(settings, DATASET, SILENT, n_folds=2))
        assert (list(again.fixes.curation.quarantine), len(again.fixes.repairs)) == ([], 1)
        noted = read_curation(prepared)
        assert (list(noted.quarantine), noted.repair_headers_mm) == (["case_2"], 0.1)
        looked = check(settings, DATASET, SILENT, n_folds=2)
        assert ([finding.severity for finding in looked.found.findings], fix(settings, looked).file) == ([], None)

        assert undo(settings, DATASET)
        assert read_curation(prepared) == Curation()
        assert not undo(settings, DATASET)

    @pytest.mark.parametrize("name", ["../../elsewhere", "Dataset009_Gone"])
    def test_of_a_dataset_that_is_not_there_nothing_is_taken_back(
        self, settings: Settings, folder: Path, name: str
    ) -> None:
        with pytest.raises(DatasetError):
            undo(settings, name)


class TestTheSplit:
    @pytest.fixture
    def prepared(self, settings: Settings) -> PreparedFolder:
        """A dataset that was looked at, with a copy on both sides, and split."""
        prepared = PreparedFolder(settings.roots, DATASET)
        hashes, volumes = dict(zip("abcd", "1232", strict=True)), {case: {"organ": 1.0} for case in "abcd"}
        write_raw(
            prepared,
            RawRecord("raw", tuple("abcd"), voxels_checked=True, image_hashes=hashes, label_volumes_ml=volumes),
        )
        write_splits(
            prepared.folder, [{"train": ["c", "d"], "val": ["a", "b"]}, {"train": ["a", "b"], "val": ["c", "d"]}]
        )
        return prepared

    def promises(self, settings: Settings, **wanted: Any) -> dict[str, str]:
        """Promise to what is said of it."""
        found = check_split(settings, DatasetConfig(dataset=DATASET), SplitSettings(2, **wanted))
        return {promise.name: promise.sentence for promise in found}

    def test_is_judged_by_what_the_record_of_the_raw_data_knows(
        self, settings: Settings, prepared: PreparedFolder
    ) -> None:
        found = self.promises(settings)
        assert found["no_copy_on_both_sides"].startswith("fold_0 validates copies of cases that it trains on: b and d.")
        assert found["each_label_in_each_validation"] == "Each label is in each validation fold."
        assert found["each_case_is_validated_once"].startswith("A cross-validation of all 4 cases")
        assert "no_group_on_both_sides" not in found

    def test_is_judged_by_the_groups_that_are_declared(
        self, settings: Settings, prepared: PreparedFolder, tmp_path: Path
    ) -> None:
        table = tmp_path / "patients.csv"
        table.write_text("case,patient\na,anna\nb,ben\nc,anna\nd,dora\n")
        found = self.promises(settings, groups=GroupTable(table, "case", "patient"))
        assert found["no_group_on_both_sides"].splitlines()[0] == "fold_0 trains on groups that it validates: anna."

    def test_must_be_of_a_dataset_that_was_looked_at(self, settings: Settings) -> None:
        with pytest.raises(PlanningError):
            self.promises(settings)
