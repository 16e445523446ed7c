"""What is not there is refused by name; what is there is read in `assets.graphs.check_values`, of every asset."""

from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import FULL_FOLD, Experiment
from nnunet_assets.core.files.layout import comparison_folder as folder_of_comparison
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.declarations.project import read_project
from nnunet_assets.errors import ConfigError, FoldError, NnunetAssetsError, SummaryError
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import write_raw
from nnunet_assets.nnunet.raw.raw_record import RawRecord
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.values.asset_values import AssetPlace, is_readable, read_fold, read_folds, read_value
from nnunet_assets_tests.cross_validation_builders import write_fold
from nnunet_assets_tests.prepared_builders import SPLITS, write_plans
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project

OF = Experiment("Dataset004_Hippocampus", "2d")
OF_DATASET = ("raw_dataset", "case_list", "splits", "preprocessed_plans", "comparison", "best_configuration")
OF_EXPERIMENT = ("fold_model", "full_model", "cv_summary", "cv_tables", "cv_figures", "cv_report", "cv_evaluation")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_project(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT)})
    return Settings.from_environment(tmp_path, {})


@pytest.mark.parametrize("name", [*OF_DATASET, "dataset_report", *OF_EXPERIMENT, "test_predictions", "ensemble"])
def test_what_nobody_made_is_named_with_what_makes_it(settings: Settings, name: str) -> None:
    is_of_dataset = name in (*OF_DATASET, "dataset_report")
    place = AssetPlace(settings, (OF.dataset, name) if is_of_dataset else (*OF.key_prefix, name))
    with pytest.raises(NnunetAssetsError) as caught:
        read_value(place)
    assert "aterialize" in str(caught.value)
    assert str(settings.data) in str(caught.value) or OF.dataset in str(caught.value)


def test_of_ensembles_that_nobody_declares_there_may_be_none(settings: Settings) -> None:
    assert read_value(AssetPlace(settings, (OF.dataset, "found_ensembles"))) == {}


def test_a_fold_that_is_not_finished_is_named(settings: Settings) -> None:
    with pytest.raises(NnunetAssetsError, match=r"fold_3 holds no finished fold\. Materialize it first\."):
        read_fold(AssetPlace(settings, (*OF.key_prefix, "fold_model")), "fold_3")


@pytest.mark.parametrize("key", [("cv_summary",), (OF.dataset, "hard_cases"), (*OF.key_prefix, "cv_summary", "mine")])
def test_an_asset_of_somebody_else_is_refused(settings: Settings, key: tuple[str, ...]) -> None:
    assert not is_readable(key)
    with pytest.raises(ConfigError, match="is no asset of this package"):
        read_value(AssetPlace(settings, key))


def test_a_page_is_the_file_of_the_dataset(settings: Settings) -> None:
    page = folder_of_comparison(settings.roots, OF.dataset) / "dataset_report.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>")
    assert read_value(AssetPlace(settings, (OF.dataset, "dataset_report"))) == page


def test_figures_are_by_file_name(settings: Settings) -> None:
    folder = OF.summary_folder(settings.roots) / "figures"
    folder.mkdir(parents=True)
    for name in ("cases.png", "cases.svg", ".cases.png.part", "notes.txt"):
        (folder / name).touch()
    found = read_value(AssetPlace(settings, (*OF.key_prefix, "cv_figures")))
    assert list(found) == ["cases.png", "cases.svg"]


def place(settings: Settings, *key: str, of: Experiment | None = None) -> AssetPlace:
    return AssetPlace(settings, (*(of.key_prefix if of else (OF.dataset,)), *key))


class TestOfFolds:
    @pytest.fixture
    def finished(self, settings: Settings) -> Settings:
        for fold, dice in (("fold_0", 0.5), ("fold_1", 0.75), (FULL_FOLD, 0.25)):
            write_fold(OF.model_folder(settings.roots), fold, {"a": (dice, dice)})
        return settings

    def test_all_that_are_finished_are_read_by_name_but_for_the_one_of_all_cases(self, finished: Settings) -> None:
        for name in ("fold_model", "ensemble"):
            assert list(read_value(place(finished, name, of=OF))) == ["fold_0", "fold_1"]
        assert read_value(place(finished, "full_model", of=OF)).folder == OF.fold_folder(finished.roots, FULL_FOLD)

    def test_those_that_are_asked_for_are_read_where_they_are_there(self, finished: Settings) -> None:
        found = read_folds(place(finished, "fold_model", of=OF), ["fold_7", "fold_1", FULL_FOLD])
        assert {name: one.cases[0].scores["tumor (core)"].dice for name, one in found.items()} == {"fold_1": 0.75}
        with pytest.raises(FoldError, match=r"No fold in .* is finished\. Materialize fold_model first\."):
            read_folds(place(finished, "fold_model", of=OF), [FULL_FOLD])

    def test_one_is_read_by_its_name(self, finished: Settings) -> None:
        found = read_fold(place(finished, "fold_model", of=OF), "fold_0")
        assert (found.fold, found.cases[0].case_id) == (0, "a")

    def test_an_asset_of_a_dataset_has_none(self, finished: Settings) -> None:
        with pytest.raises(ConfigError, match="No experiment has assets below Dataset004_Hippocampus"):
            read_folds(place(finished, "case_list"))


class TestOfADataset:
    def test_plans_are_those_of_the_key_and_else_the_default_ones(self, settings: Settings) -> None:
        prepared = PreparedFolder(settings.roots, OF.dataset)
        prepared.folder.mkdir(parents=True)
        for name in ("nnUNetPlans", "nnUNetResEncUNetMPlans"):
            write_plans(prepared, name)
        found = [read_value(place(settings, *key, "preprocessed_plans")) for key in ((), ("nnUNetResEncUNetMPlans",))]
        assert [plans.content["plans_name"] for plans in found] == ["nnUNetPlans", "nnUNetResEncUNetMPlans"]

    def test_a_split_is_what_nnunet_reads(self, settings: Settings) -> None:
        write_splits(settings.roots.preprocessed / OF.dataset, SPLITS)
        assert read_value(place(settings, "splits")) == SPLITS

    def test_cases_are_those_of_the_record(self, settings: Settings) -> None:
        record = RawRecord("digest", ("a", "b"), voxels_checked=True)
        write_raw(PreparedFolder(settings.roots, OF.dataset), record)
        assert read_value(place(settings, "case_list")) == ["a", "b"]
        assert read_value(place(settings, "raw_dataset")) == record


def test_tables_are_by_their_ending_and_all_there(settings: Settings) -> None:
    folder = OF.summary_folder(settings.roots)
    folder.mkdir(parents=True)
    for ending in ("csv", "parquet", "tex"):
        (folder / f"cv_table.{ending}").touch()
    with pytest.raises(SummaryError, match=r"/cv_table\.md: not there\. Materialize cv_tables first\."):
        read_value(place(settings, "cv_tables", of=OF))
    (folder / "cv_table.md").touch()
    endings = ("csv", "parquet", "tex", "md")
    assert read_value(place(settings, "cv_tables", of=OF)) == {one: folder / f"cv_table.{one}" for one in endings}


def test_the_page_of_an_experiment_lies_in_its_summary(settings: Settings) -> None:
    page = OF.summary_folder(settings.roots) / "cv_report.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>")
    assert read_value(place(settings, "cv_report", of=OF)) == page


def test_a_search_that_is_not_declared_any_more_is_named(settings: Settings) -> None:
    with pytest.raises(ConfigError, match=r"Dataset004_Hippocampus/lr/search is not declared in .* any more\."):
        read_value(place(settings, "lr", "search"))


def test_what_was_declared_is_read_once(settings: Settings) -> None:
    project = read_project(settings.project)
    assert AssetPlace(settings, ("a", "b"), declared=project).project is project
    assert AssetPlace(settings, ("a", "b")).project.root == project.root
