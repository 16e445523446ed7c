"""Where nnU-Net's three folders lie, and which of its variables are refused."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.sqlite_store import database_path


def roots_of(project: Path, **variables: str) -> Roots:
    return Settings.from_environment(project, variables).roots


def test_what_is_not_set_lies_in_the_projects_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert roots_of(tmp_path, nnUNet_raw="") == Roots(
        data / "nnUNet_raw", data / "nnUNet_preprocessed", data / "nnUNet_results"
    )


def test_one_of_nnunets_variables_without_the_others_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"nnUNet_preprocessed, nnUNet_results not set, while nnUNet_raw is\. Set al"):
        roots_of(tmp_path, nnUNet_raw="/data/raw")


@pytest.mark.parametrize("path", ["raw", "./raw", "../raw", "~/raw", "$HOME/raw"])
def test_a_folder_that_is_not_absolute_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        roots_of(tmp_path, nnUNet_raw=path, nnUNet_preprocessed="/data/preprocessed", nnUNet_results="/data/results")
    assert str(caught.value) == f"nnUNet_raw is '{path}', which is not an absolute path (a ~ is not expanded)."


def test_folders_may_have_spaces_and_letters_of_any_language(tmp_path: Path) -> None:
    names = ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")
    paths = {name: str(tmp_path / "mit Ümläut 患者" / name) for name in names}
    assert roots_of(tmp_path, **paths) == Roots(*map(Path, paths.values()))


@pytest.mark.parametrize("name", ["a%20b", "what?", "a%2e%2e/project", "100%25"])
def test_a_folder_whose_databases_sqlalchemy_would_look_for_elsewhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=r"in its path, where Dagster cannot open its databases\. Rename that folder"):
        Settings.from_environment(tmp_path / name, {})


@pytest.mark.parametrize("name", ["100 %", "a%zz", "#1", "a+b", "it's", "患者", "a;b&c=d", "a:b@c", "[1]{2}", "$HOME"])
def test_a_folder_of_any_other_name_holds_the_store_that_its_uri_names(tmp_path: Path, name: str) -> None:
    settings = Settings.from_environment(tmp_path / name, {})
    assert make_url(settings.tracking_uri).database == str(tmp_path / name / "data/mlflow.db")
    assert database_path(settings.tracking_uri) == tmp_path / name / "data/mlflow.db"


def test_what_children_get_beside_what_they_need_is_named_by_the_user(tmp_path: Path) -> None:
    variables = {
        "NNUNET_ASSETS_CHILD_VARIABLES": "MINE, MY_*",
        "MINE": "a",
        "MY_TOKEN": "b",
        "OTHER": "c",
        "HOME": "/me",
    }
    settings = Settings.from_environment(tmp_path, variables)
    assert set(settings.child_environment()) == set(variables) - {"OTHER"}
    assert "OTHER" not in settings.child_environment({"OTHER": "d"})


@pytest.mark.parametrize("wrong", ["*", "MINE OTHER", "1ST", "MINE=a"])
def test_what_is_no_name_of_a_variable_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"NNUNET_ASSETS_CHILD_VARIABLES names .*, which is no name of a variable"):
        Settings.from_environment(tmp_path, {"NNUNET_ASSETS_CHILD_VARIABLES": f"MINE,{wrong}"})
