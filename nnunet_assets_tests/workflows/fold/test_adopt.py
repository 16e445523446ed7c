"""Folds of plain nnU-Net taken in: which ones, what is refused, and which of them Dagster is to record."""

from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.errors import ConfigError, FoldError
from nnunet_assets.nnunet.adoption.adoption import Adopted
from nnunet_assets.nnunet.results.adopted_places import adopted_places
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.fold import adopt as module
from nnunet_assets.workflows.fold.adopt import AdoptionReport, adopt, foreign_folds
from nnunet_assets_tests.adopted_builders import take_in, write_foreign
from nnunet_assets_tests.cross_validation_builders import write_fold
from nnunet_assets_tests.foreign_fold_builders import DATASET
from nnunet_assets_tests.project_builders import write_project

EXPERIMENT = Experiment(DATASET, "3d_fullres")
DECLARED = (
    f"type: nnunet_assets.components.NnunetDataset\nattributes: {{dataset: {DATASET}, folds: 2}}\n---\n"
    "type: nnunet_assets.components.CrossValidationExperiment\n"
    f"attributes: {{dataset: {DATASET}, configuration: 3d_fullres}}\n"
)


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A project that declares the experiment and has an instance of Dagster; torn checkpoints cannot be adopted."""

    def adopt_fold(folder: Path, trusted: Any) -> Adopted:
        if (folder / "checkpoint_final.pth").read_bytes() == b"torn":
            raise FoldError(f"{folder.name} is torn.")
        return take_in(folder)

    monkeypatch.setattr(module, "adopt_fold", adopt_fold)
    monkeypatch.setattr(module, "back_fill", lambda destination, adopted: (destination, adopted.folder.name))
    settings = Settings.from_environment(write_project(tmp_path / "project", {"defs.yaml": DECLARED}), {})
    settings.dagster_home.mkdir()
    return settings


def fold_of(settings: Settings, fold: str, experiment: Experiment = EXPERIMENT) -> Path:
    return write_foreign(experiment.fold_folder(settings.roots, fold), {f"{fold}_a": 0.5, f"{fold}_b": 0.75})


def adopted(settings: Settings, folder: Path | None = None) -> AdoptionReport:
    return adopt(settings, folder or settings.roots.results, None)


def names(folds: Any) -> list[str]:
    return [fold.folder.name for fold in folds]


class TestWhichFolds:
    def test_are_all_below_the_folder_in_the_order_of_their_numbers(self, settings: Settings) -> None:
        variant = fold_of(settings, "fold_1", Experiment(DATASET, "2d", variant="short"))
        folds = [fold_of(settings, fold) for fold in ("fold_10", "fold_2", "fold_all")]
        # What this project trained, or never was trained, is none of them.
        write_fold(EXPERIMENT.model_folder(settings.roots), "fold_3", {"x": (0.5, 0.5)})
        EXPERIMENT.fold_folder(settings.roots, "fold_4").mkdir()
        assert foreign_folds(settings.roots.results) == [folds[1], folds[0], variant]
        assert foreign_folds(folds[0].parent) == [folds[1], folds[0]]
        assert foreign_folds(folds[0]) == [folds[0]]

    def test_are_those_that_were_adopted_before_too_and_changed_since(self, settings: Settings) -> None:
        folds = [fold_of(settings, f"fold_{number}") for number in range(2)]
        adopted(settings)
        (folds[1] / "validation" / "summary.json").unlink()
        assert foreign_folds(settings.roots.results) == folds

    def test_must_be_one_at_least(self, settings: Settings) -> None:
        fold_of(settings, "fold_all")
        write_fold(EXPERIMENT.model_folder(settings.roots), "fold_3", {"x": (0.5, 0.5)})
        with pytest.raises(FoldError, match=r"holds no fold that something else trained \(2 folds looked at\)"):
            adopted(settings)
        with pytest.raises(FoldError, match=r"\(1 folds looked at\)"):
            adopted(settings, EXPERIMENT.fold_folder(settings.roots, "fold_3"))


class TestWhatIsTakenIn:
    def test_is_told_to_mlflow_where_it_shall_know_it(self, settings: Settings) -> None:
        folds = [fold_of(settings, f"fold_{number}") for number in range(2)]
        destination = Destination.of(settings)
        report = adopt(settings, settings.roots.results, destination)
        assert report.tracking == {fold: (destination, fold.name) for fold in folds}
        assert names(report.folds) == names(report.to_record) == ["fold_0", "fold_1"]
        assert (report.refused, report.remarks) == ({}, [])
        assert adopted(settings).tracking == {}

    def test_holds_up_nothing_that_can_be_where_it_cannot_be_itself(self, settings: Settings) -> None:
        torn, good = fold_of(settings, "fold_0"), fold_of(settings, "fold_1")
        (torn / "checkpoint_final.pth").write_bytes(b"torn")
        report = adopted(settings)
        assert (names(report.folds), report.refused) == (["fold_1"], {torn: "fold_0 is torn."})
        assert names(report.to_record) == [good.name]

    def test_may_be_none_whatever_is_wrong_with_the_declarations(self, settings: Settings) -> None:
        fold = fold_of(settings, "fold_0")
        write_project(settings.project, {"defs.yaml": "type: of.nobody\nattributes: ["})
        with pytest.raises(ConfigError):
            adopted(settings)
        (fold / "checkpoint_final.pth").write_bytes(b"torn")
        assert adopted(settings).refused == {fold: "fold_0 is torn."}


class TestDagsterRecords:
    def test_nothing_that_lies_where_no_asset_looks_and_its_place_is_remembered(self, settings: Settings) -> None:
        elsewhere = settings.project.parent / "cluster"
        fold = write_foreign(elsewhere / DATASET / EXPERIMENT.name / "fold_0", {"a": 0.5})
        report = adopted(settings, elsewhere)
        assert (names(report.folds), report.to_record) == (["fold_0"], [])
        assert report.remarks == [
            f"{fold} is not in {settings.roots.results}, where the project's assets look. Move or link its model "
            "there, or read it with --results."
        ]
        assert adopted_places(settings.data) == [fold]

    def test_what_is_linked_into_the_results(self, settings: Settings) -> None:
        elsewhere = settings.project.parent / "cluster"
        fold = write_foreign(elsewhere / DATASET / EXPERIMENT.name / "fold_0", {"a": 0.5})
        (settings.roots.results / DATASET).mkdir(parents=True)
        (settings.roots.results / DATASET / EXPERIMENT.name).symlink_to(fold.parent)
        report = adopted(settings, elsewhere)
        assert (names(report.to_record), report.remarks) == (["fold_0"], [])
        assert adopted_places(settings.data) == []

    def test_nothing_of_another_model_of_the_same_name_elsewhere(self, settings: Settings) -> None:
        fold_of(settings, "fold_0")
        elsewhere = settings.project.parent / "cluster"
        write_foreign(elsewhere / DATASET / EXPERIMENT.name / "fold_0", {"a": 0.5})
        assert adopted(settings, elsewhere).to_record == []

    def test_nothing_that_is_not_declared_and_says_it_once(self, settings: Settings) -> None:
        flat = Experiment(DATASET, "2d")
        for number in range(2):
            fold_of(settings, f"fold_{number}", flat)
        fold_of(settings, "fold_0")
        report = adopted(settings)
        assert [fold.experiment for fold in report.to_record] == [EXPERIMENT]
        assert report.remarks == [f"{flat.title} is not declared in {settings.project}, so Dagster does not show it."]

    def test_nothing_where_it_has_no_instance(self, settings: Settings) -> None:
        settings.dagster_home.rmdir()
        fold_of(settings, "fold_0")
        report = adopted(settings)
        assert (names(report.folds), report.to_record) == (["fold_0"], [])
        assert report.remarks == [
            f"Dagster has no instance in {settings.dagster_home} yet, so it has recorded no fold. Start it with "
            "`nnunet-assets dev` or `up`, then adopt again."
        ]
        (settings.roots.results / DATASET).rename(settings.project.parent / DATASET)
        only_elsewhere = adopted(settings, settings.project.parent / DATASET)
        assert [sentence.partition(" in ")[0] for sentence in only_elsewhere.remarks] == [
            f"{settings.project.parent / DATASET / EXPERIMENT.name / 'fold_0'} is not"
        ]
