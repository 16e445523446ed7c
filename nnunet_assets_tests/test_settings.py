"""Where nnU-Net's three folders lie, and which of its variables are refused."""

from pathlib import Path

import pytest
from sqlalchemy import make_url

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import ConfigError
from nnunet_assets.processes.variables import EXTERNAL_TRAINERS, OWN_TRAINERS
from nnunet_assets.settings import Settings, project_settings
from nnunet_assets.tracking.store.sqlite_store import database_path


def roots_of(project: Path, **variables: str) -> Roots:
    return Settings.from_environment(project, variables).roots


def test_what_is_not_set_lies_in_the_projects_data(tmp_path: Path) -> None:
    data = tmp_path / "data"
    assert roots_of(tmp_path, nnUNet_raw="") == Roots(
        data / "nnUNet_raw", data / "nnUNet_preprocessed", data / "nnUNet_results"
    )


def test_one_of_nnunets_variables_without_the_others_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"nnUNet_preprocessed, nnUNet_results not set, while nnUNet_raw is\. .* Set al"
    ):
        roots_of(tmp_path, nnUNet_raw="/data/raw")


@pytest.mark.parametrize("path", ["raw", "./raw", "../raw", "~/raw", "$HOME/raw"])
def test_a_folder_that_is_not_absolute_is_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        roots_of(tmp_path, nnUNet_raw=path, nnUNet_preprocessed="/data/preprocessed", nnUNet_results="/data/results")
    assert str(caught.value) == (
        f"nnUNet_raw is '{path}', which is not an absolute path (a ~ is not expanded). It comes from the shell. Set it "
        "to the folder's whole path, such as /data/nnUNet."
    )


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
    assert set(settings.child_environment()) == {*variables, EXTERNAL_TRAINERS} - {"OTHER"}
    assert "OTHER" not in settings.child_environment({"OTHER": "d"})


def test_children_find_our_trainers_behind_the_users_own(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {EXTERNAL_TRAINERS: f"{tmp_path}: :{OWN_TRAINERS}"})
    assert settings.child_environment()[EXTERNAL_TRAINERS] == f"{tmp_path}:{OWN_TRAINERS}"
    settings = Settings.from_environment(tmp_path, {})
    assert settings.child_environment()[EXTERNAL_TRAINERS] == str(OWN_TRAINERS)
    (tmp_path / "trainers").mkdir()
    assert settings.child_environment()[EXTERNAL_TRAINERS] == f"{tmp_path / 'trainers'}:{OWN_TRAINERS}"


@pytest.mark.parametrize("wrong", ["*", "MINE OTHER", "1ST", "MINE=a"])
def test_what_is_no_name_of_a_variable_is_refused(tmp_path: Path, wrong: str) -> None:
    with pytest.raises(ConfigError, match=r"NNUNET_ASSETS_CHILD_VARIABLES names .*, which is no name of a variable"):
        Settings.from_environment(tmp_path, {"NNUNET_ASSETS_CHILD_VARIABLES": f"MINE,{wrong}"})


def test_two_of_the_folders_in_one_place_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError, match=r"^nnUNet_results and nnUNet_raw are both /data/\. It comes from the shell\."
    ):
        roots_of(tmp_path, nnUNet_raw="/data", nnUNet_preprocessed="/data/preprocessed", nnUNet_results="/data/")


def test_every_wrong_variable_is_told_at_once_with_where_it_comes_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("nnUNet_compile", "yes")
    monkeypatch.setenv("nnUNet_def_n_proc", "8")
    (tmp_path / ".env").write_text("A=1\n\n# ours\nexport nnUNet_def_n_proc=0 # none\n")
    with pytest.raises(ConfigError) as caught:
        project_settings(tmp_path)
    assert str(caught.value).splitlines() == [
        f"nnUNet_def_n_proc is '0', not a whole number of at least 1. It stands in {tmp_path}/.env, line 4. "
        "Correct or unset it: then it fits the machine.",
        "nnUNet_compile is 'yes', not one of true, t, 1, false, f, 0. It comes from the shell. "
        "Set it to one of these, or unset it.",
    ]


def test_what_dagster_read_of_the_file_comes_from_the_file(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("nnUNet_n_proc_DA=-1\n")
    with pytest.raises(ConfigError, match=rf"is '-1', .* It stands in {tmp_path}/\.env, line 1\."):
        Settings.from_environment(tmp_path, {"nnUNet_n_proc_DA": "-1"})


def test_a_file_in_another_encoding_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes("A=ü\n".encode("latin-1"))
    with pytest.raises(ConfigError, match=rf"^{tmp_path}/\.env is not UTF-8 \(.* at byte 2\)\. Save it as UTF-8\."):
        project_settings(tmp_path)
