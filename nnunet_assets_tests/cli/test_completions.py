"""What is offered where somebody presses Tab, and what waiting for it costs."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from nnunet_assets.cli.main import COMMANDS, main
from nnunet_assets_tests.project_builders import write_project

DECLARED = """
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset004_Hippocampus, folds: 3}
---
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset040_Prostate}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {dataset: Dataset004_Hippocampus, configuration: 2d, variant: {name: short, num_epochs: 5}}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes:
  dataset: Dataset040_Prostate
  configuration: 3d_fullres
  plans: MyPlans
  variant: {name: other, num_epochs: 5}
"""
SHORT = "Dataset004_Hippocampus/short/nnUNetTrainer__nnUNetPlans__2d"
OTHER = "Dataset040_Prostate/other/nnUNetTrainer__MyPlans__3d_fullres"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project in which somebody stands, without what the developer's own shell sets."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "NNUNET_ASSETS_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    written = write_project(tmp_path, {"defs.yaml": DECLARED})
    monkeypatch.chdir(written)
    return written


def offered(*typed: str) -> list[str]:
    """Returns what is offered for the last word of what is typed, which may be empty."""
    shell = ShellComplete(main, {}, "nnunet-assets", "_NNUNET_ASSETS_COMPLETE")
    return [item.value for item in shell.get_completions(list(typed[:-1]), typed[-1])]


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        (["train", ""], ["Dataset004_Hippocampus", "Dataset005_Raw", "Dataset040_Prostate"]),
        (["train", "Dataset00"], ["Dataset004_Hippocampus", "Dataset005_Raw"]),
        (["train", "4"], ["Dataset004_Hippocampus"]),
        (["train", "04"], ["Dataset004_Hippocampus", "Dataset040_Prostate"]),
        (["train", "4", "2"], ["2d"]),
        (["train", "40", "3"], ["3d_fullres", "3d_lowres", "3d_cascade_fullres"]),
        (["train", "4", "2d", ""], ["0", "1", "2", "all"]),
        (["train", "Dataset005_Raw", "2d", ""], ["0", "1", "all"]),
        (["train", "4", "2d", "0", "--variant", ""], ["short"]),
        (["train", "40", "3d_fullres", "0", "--variant", ""], ["other"]),
        (["train", "40", "3d_fullres", "0", "-p", "M"], ["MyPlans"]),
        (["train", "40", "3d_fullres", "0", "-tr", ""], ["nnUNetTrainer"]),
        (["train", "no such dataset", "2d", "0", "--variant", "s"], ["short"]),
        (["accept", "Dataset"], [SHORT, OTHER]),
        (["evaluate", "Dataset040"], [OTHER]),
        (["check", "Dataset005"], ["Dataset005_Raw"]),
        (["compare", "40"], ["Dataset040_Prostate"]),
        (["best", "40"], ["Dataset040_Prostate"]),
        (["backfill", "Dataset040"], [OTHER]),
        (["summarize", "-e", "Dataset040"], ["Dataset040_Prostate"]),
        (["exp"], ["export"]),
        (["train", "4", "2d", "0", "--vari"], ["--variant"]),
    ],
)
def test_what_there_is_is_offered(project: Path, typed: list[str], words: list[str]) -> None:
    (project / "data/nnUNet_raw/Dataset005_Raw").mkdir(parents=True)
    split = project / "data/nnUNet_preprocessed/Dataset005_Raw/splits_final.json"
    split.parent.mkdir(parents=True)
    split.write_text(json.dumps([{"train": ["a"], "val": ["b"]}, {"train": ["b"], "val": ["a"]}]))
    assert offered(*typed) == words


def test_a_project_is_named_or_stood_in_and_one_with_an_error_still_has_folders(
    project: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    assert offered("accept", "") == []
    assert offered("accept", "--project", str(project), "") == [SHORT, OTHER]
    (project / "experiments" / "defs.yaml").write_text("type: [")
    (project / "data/nnUNet_raw/Dataset005_Raw").mkdir(parents=True)
    assert offered("train", "--project", str(project), "") == ["Dataset005_Raw"]


def test_what_cannot_be_read_is_no_error_there(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("nnUNet_raw", "not/absolute")
    assert offered("train", "") == []


@pytest.mark.parametrize("typed", ["nnunet-assets ", "nnunet-assets train Dataset0"])
def test_it_waits_for_nothing_heavy(project: Path, typed: str) -> None:
    heavy = ("dagster", "mlflow", "torch", "nnunetv2", "pandas", "matplotlib", "numpy", "rich")
    code = (
        "import sys\nfrom nnunet_assets.cli.main import main\n"
        "try: main(prog_name='nnunet-assets')\n"
        f"except SystemExit: print([m for m in {heavy} if m in sys.modules], file=sys.stderr)"
    )
    variables = {"_NNUNET_ASSETS_COMPLETE": "bash_complete", "COMP_WORDS": typed}
    variables |= {"COMP_CWORD": str(len(typed.split()) - (not typed.endswith(" ")))}
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **variables}, capture_output=True, text=True, check=True
    )
    assert done.stderr.splitlines()[-1] == "[]"
    words = [line.partition(",")[2] for line in done.stdout.splitlines()]
    assert words == (list(COMMANDS) if typed.endswith(" ") else ["Dataset004_Hippocampus", "Dataset040_Prostate"])
