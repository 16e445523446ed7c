"""No process of ours imports from the folder that somebody stands in, nor from the project's beside `experiments`."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from nnunet_assets.cli.project.init import init_project
from nnunet_assets.processes.interpreter import python_command, whole_paths, with_safe_imports
from nnunet_assets_tests.planted import Planted, module_names, plant, started_with

HEAVY = ("torch", "nnunetv2", "mlflow", "dagster_mlflow", "matplotlib", "SimpleITK", "pandas", "scipy")
ONLY_FOR_RAW_DATA = ("numpy", "nibabel")


@pytest.fixture(scope="module")
def planted(tmp_path_factory: pytest.TempPathFactory) -> Planted:
    folder = tmp_path_factory.mktemp("planted")
    return Planted(folder, init_project(folder / "project"))


@pytest.fixture(autouse=True)
def _no_marks(planted: Planted) -> Iterator[None]:
    yield
    for mark in planted.marks.iterdir():
        mark.unlink()


def test_a_planted_module_leaves_its_mark_where_python_looks_in_the_current_folder(planted: Planted) -> None:
    subprocess.run([sys.executable, "-c", "import statistics"], cwd=planted.here, capture_output=True, check=False)
    assert set(planted.ran) == {"statistics"}


def test_doctor_imports_torch_and_dagster_from_where_they_are_installed(planted: Planted) -> None:
    done = planted.run("doctor", "--project", str(planted.project))
    assert planted.ran == {}
    assert "torchvision" in done.stdout, done.stdout + done.stderr
    assert done.returncode == 0, done.stdout + done.stderr


def test_commands_work_in_the_projects_own_folder(planted: Planted) -> None:
    for arguments in (["--help"], ["check-config"], ["init", "another"], ["down"]):
        done = planted.run(*arguments, folder=planted.project)
        assert done.returncode == 0, (arguments, done.stderr)
    assert planted.ran == {}


# An entry that is searched is searched beside others too, whichever come before it.
@pytest.mark.parametrize("python_path", ["", f":.:/nowhere:./:../here:a:..//here/.:{os.devnull}:"])
def test_an_empty_or_relative_entry_of_pythonpath_is_not_searched(planted: Planted, python_path: str) -> None:
    # The package itself, and what Python imports by itself, are looked up before its first line.
    late = set(module_names()) - started_with() - {"nnunet_assets", "sitecustomize", "usercustomize"}
    others = planted.here.parent / "here_late"
    if not others.exists():
        plant(others, planted.marks, late)
        (planted.here.parent / "here_late" / "a").mkdir()
    path = python_path.replace("here", "here_late")
    done = planted.run("check-config", "--project", str(planted.project), folder=others, PYTHONPATH=path)
    assert planted.ran == {}
    assert done.returncode == 0, done.stderr


def test_the_definitions_load_with_a_component_of_the_users_own_and_nothing_planted_or_heavy(planted: Planted) -> None:
    own = planted.project / "experiments" / "own"
    own.mkdir(exist_ok=True)
    (own / "names.py").write_text("NAME = 'mine'\n")
    (own / "assets.py").write_text(
        "import dagster as dg\nfrom experiments.own.names import NAME\n\n@dg.asset(name=NAME)\ndef own() -> None: ...\n"
    )
    load = (
        "import sys\nfrom pathlib import Path\nfrom nnunet_assets.definitions import load_definitions\n"
        f"repository = load_definitions(Path({str(planted.project)!r})).get_repository_def()\n"
        "repository.load_all_definitions()\n"
        "print(*sorted(key.to_user_string() for key in repository.asset_graph.get_all_asset_keys()))\n"
        f"print(set({(*HEAVY, *ONLY_FOR_RAW_DATA)}) & set(sys.modules))\n"
    )
    done = subprocess.run(
        python_command("-c", load),
        cwd=planted.project,
        env=with_safe_imports(os.environ),
        capture_output=True,
        text=True,
        check=False,
    )
    assert planted.ran == {}
    assert done.returncode == 0, done.stderr
    assets, heavy = done.stdout.splitlines()
    assert "mine" in assets.split()
    assert heavy == "set()"


def test_what_a_user_means_to_be_imported_is_kept() -> None:
    assert whole_paths(os.pathsep.join(["/mine", "", ".", "theirs", "/theirs"])) == ["/mine", "/theirs"]
    kept = with_safe_imports({"PYTHONPATH": ":/mine:.", "HOME": "/root"})
    assert kept == {"PYTHONPATH": "/mine", "HOME": "/root", "PYTHONSAFEPATH": "1"}
    assert "PYTHONPATH" not in with_safe_imports({"PYTHONPATH": ":"})
