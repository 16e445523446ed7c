"""What is not there is refused by name; what is there is read in `assets.graphs.check_values`, of every asset."""

from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.files.layout import comparison_folder as folder_of_comparison
from nnunet_assets.errors import ConfigError, NnunetAssetsError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.values.asset_values import AssetPlace, is_readable, read_fold, read_value
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
