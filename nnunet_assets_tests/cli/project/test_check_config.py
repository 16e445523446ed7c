import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnunet_assets.cli.main import main
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project


def check(project: Path | None = None) -> Result:
    return CliRunner().invoke(main, ["check-config", *(["--project", str(project)] if project else [])])


def test_shows_what_is_declared(tmp_path: Path) -> None:
    experiment = EXPERIMENT + "  folds: [0, 2]\n  variant: {name: short, num_epochs: 5}\n"
    write_project(tmp_path, {"a/defs.yaml": documents(DATASET, experiment)})

    result = check(tmp_path)

    assert result.exit_code == 0
    words = result.stdout.split()
    assert "Dataset004_Hippocampus / short / nnUNetTrainer__nnUNetPlans__2d" in result.stdout
    assert {"0,", "2", "auto", "num_epochs:", "5"} <= set(words)
    assert result.stdout.endswith(f"No errors in the declarations of {tmp_path}.\n")


def test_shows_every_error_and_ends_with_1(tmp_path: Path) -> None:
    write_project(tmp_path, {"a/defs.yaml": documents(DATASET + "  fold: 5\n", EXPERIMENT + "  device: gpu\n")})

    result = check(tmp_path)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == [
        "2 errors in the declarations of " + f"{tmp_path}/experiments:",
        "experiments/a/defs.yaml:4",
        "experiments/a/defs.yaml:10",
    ]


def test_a_project_without_declarations_is_no_error(tmp_path: Path) -> None:
    result = check(write_project(tmp_path, {}))

    assert (result.exit_code, result.stdout.split(". ")[0]) == (0, f"{tmp_path} declares no dataset yet")


def test_brackets_in_a_path_are_shown_as_they_are(tmp_path: Path) -> None:
    root = write_project(tmp_path / "[red]study", {"defs.yaml": DATASET})

    assert f"No errors in the declarations of {root}." in check(root).stdout


def test_the_project_comes_from_the_environment_or_is_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_project(tmp_path / "one", {"defs.yaml": DATASET})
    monkeypatch.chdir(write_project(tmp_path / "two", {}))

    assert f"{tmp_path / 'two'} declares no dataset yet" in check().stdout
    monkeypatch.setenv("NNUNET_ASSETS_PROJECT", str(root))
    assert f"No errors in the declarations of {root}." in check().stdout


def test_neither_dagster_nor_anything_heavy_is_imported(tmp_path: Path) -> None:
    root = write_project(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT)})
    code = (
        "import sys\nfrom nnunet_assets.cli.main import main\n"
        f"try: main(['check-config', '--project', {str(root)!r}])\n"
        "except SystemExit: print([m for m in ('dagster', 'mlflow', 'torch', 'numpy', 'pandas') if m in sys.modules])"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.splitlines()[-1] == "[]"
