"""From where a project's code location imports, as earlier versions and users wrote it."""

from pathlib import Path

import pytest

from nnunet_assets.cli.project.init import init_project
from nnunet_assets.project_folder.workspace_file import imports_from, stop_importing_from_project

OLD = """\
# What `dagster dev` loads in this folder.
load_from:
  - python_module:
      module_name: nnunet_assets.definitions
      location_name: nnunet_assets
      working_directory: .
"""


def test_a_new_project_imports_from_nowhere(tmp_path: Path) -> None:
    project = init_project(tmp_path)
    assert imports_from(project) is None
    assert stop_importing_from_project(project) is None


@pytest.mark.parametrize("text", [OLD, OLD.replace("      working_directory: .\n", "")])
def test_what_an_earlier_version_wrote_is_changed_once_and_said(tmp_path: Path, text: str) -> None:
    file = tmp_path / "workspace.yaml"
    file.write_text(text)
    assert imports_from(tmp_path) == "."
    assert stop_importing_from_project(tmp_path) == (
        f"{file} has working_directory: /dev/null now: a random.py beside it would take over every run."
    )
    assert file.read_text() == OLD.replace("directory: .", "directory: /dev/null")
    assert (imports_from(tmp_path), stop_importing_from_project(tmp_path)) == (None, None)


@pytest.mark.parametrize(
    ("text", "folder"),
    [
        (OLD.replace("directory: .", "directory: /mine"), "/mine"),
        (OLD.replace("location_name: nnunet_assets", "location_name: other"), "."),
        ("load_from: []\n", None),
        ("load_from: [{python_file: {relative_path: mine.py}}]\n", None),
        ("load_from: 3\n", None),
        ("a: [b\n", None),
    ],
)
def test_what_a_user_wrote_is_left_alone(tmp_path: Path, text: str, folder: str | None) -> None:
    (tmp_path / "workspace.yaml").write_text(text)
    assert imports_from(tmp_path) == folder
    assert stop_importing_from_project(tmp_path) is None
    assert (tmp_path / "workspace.yaml").read_text() == text


def test_no_file_is_no_place(tmp_path: Path) -> None:
    assert imports_from(tmp_path) is None
