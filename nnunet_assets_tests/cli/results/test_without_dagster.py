"""The commands for results where Dagster cannot be imported: on a machine that has the results alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.settings import Settings
from nnunet_assets_tests.comparison_builders import DECLARED
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.without_dagster import run_without_dagster

DATASET = "Dataset001_Tiny"
EXPERIMENT = Experiment(DATASET, "2d")
NAME = "/".join(EXPERIMENT.key_prefix)
COMMANDS = ["list", "summarize", "export", "compare", "accept", "evaluate"]


def test_every_command_for_results_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "NNUNET_ASSETS_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    project = write_project(tmp_path, {"defs.yaml": DECLARED})
    roots = Settings.from_environment(project, {}).roots
    for experiment in (EXPERIMENT, replace(EXPERIMENT, variant="long")):
        write_fold(roots, experiment, "fold_0", {"a": HIGHER, "b": HIGHER})
        write_fold(roots, experiment, "fold_1", {"c": HIGHER})
    inside = ["--project", str(project)]
    recorded = [*inside, "-e", DATASET, "--source", "results"]

    ran = run_without_dagster(
        ["compare", DATASET, *inside],
        ["accept", NAME, *inside],
        ["evaluate", NAME, *inside],
        ["list", *inside, "--source", "results"],
        ["summarize", *recorded],
        ["export", *recorded, "--format", "csv"],
        *([command, "--help"] for command in COMMANDS),
    )

    assert [code for code, _ in ran] == [0] * len(ran), ran
    shown = [
        "2 experiments on 3 shared cases",
        "as the baseline, of 3 cases",
        "3 of 3 cases",
        f"{DATASET}, in all: nnUNetTrainer, nnUNetPlans, 2d",
        "2 of 2 folds",
    ]
    for sentence, (_, output) in zip(shown, ran, strict=False):
        assert sentence in output
