"""`accept`, as a user calls it, on a summary as `cv_summary` writes it."""

import getpass
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnunet_assets.cli.main import main
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.summary.scored_summary import ScoredSummary, summarize
from nnunet_assets.core.summary.summary_files import baseline_path, read_baseline
from nnunet_assets.settings import Settings
from nnunet_assets_tests.builders import build_fold_result
from nnunet_assets_tests.cross_validation_builders import write_fold
from nnunet_assets_tests.project_builders import write_project

DECLARED = """
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset004_Hippocampus, folds: 2}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {dataset: Dataset004_Hippocampus, configuration: 2d, variant: {name: short, num_epochs: 5}}
"""
EXPERIMENT = Experiment("Dataset004_Hippocampus", "2d", variant="short")
NAME = "Dataset004_Hippocampus/short/nnUNetTrainer__nnUNetPlans__2d"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    write_project(tmp_path, {"one/defs.yaml": DECLARED})
    return Settings.from_environment(tmp_path, {})


def write_summary(settings: Settings, *folds: str, expected: int = 2) -> ScoredSummary:
    results = [build_fold_result(fold, {fold: {"organ": 0.9, "lesion": None}}) for fold in folds]
    summary = summarize(EXPERIMENT, [f"fold_{k}" for k in range(expected)], results)
    write_json_atomically(EXPERIMENT.summary_folder(settings.roots) / "cv_summary.json", summary.to_json())
    return summary


def run(settings: Settings, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["accept", "--project", str(settings.project), *arguments])


def test_a_complete_summary_becomes_the_baseline_with_who_and_when(settings: Settings) -> None:
    summary = write_summary(settings, "fold_0", "fold_1")

    result = run(settings, NAME, "--note", "as submitted")

    assert result.exit_code == 0, result.output
    path = baseline_path(settings.roots, EXPERIMENT)
    assert path.parent == EXPERIMENT.summary_folder(settings.roots)
    baseline = read_baseline(path)
    assert baseline is not None
    assert (baseline.accepted_by, baseline.note) == (getpass.getuser(), "as submitted")
    assert abs((datetime.now(UTC) - datetime.fromisoformat(baseline.accepted_at)).total_seconds()) < 60
    assert baseline.summary_sha256 == json_sha256(json.loads(json.dumps(summary.to_json())))
    assert baseline.labels["organ"].mean == pytest.approx(0.9)
    assert baseline.labels["lesion"].mean is None
    assert "0.9000" in result.stdout
    assert str(path) in result.stdout.replace("\n", "")


def test_a_later_one_takes_the_place_of_it(settings: Settings) -> None:
    write_summary(settings, "fold_0", "fold_1")
    run(settings, NAME)

    shown = json.loads(run(settings, NAME, "--note", "second", "--json").stdout)

    assert (shown["accepted"], shown["missing_folds"], shown["baseline"]["note"]) == (True, [], "second")
    assert json.loads(Path(shown["file"]).read_text()) == shown["baseline"]


def test_an_incomplete_one_is_refused_and_the_baseline_stays(settings: Settings) -> None:
    write_summary(settings, "fold_0", "fold_1")
    run(settings, NAME, "--note", "whole")
    write_summary(settings, "fold_1")

    result = run(settings, NAME, "--json")

    assert result.exit_code == 2
    assert json.loads(result.stdout)["missing_folds"] == ["fold_0"]
    assert "Nothing was accepted: fold_0 is missing" in result.stderr
    kept = read_baseline(baseline_path(settings.roots, EXPERIMENT))
    assert kept is not None
    assert kept.note == "whole"


def test_unless_it_is_asked_for(settings: Settings) -> None:
    write_summary(settings, "fold_1")

    assert run(settings, NAME, "--incomplete").exit_code == 0
    baseline = read_baseline(baseline_path(settings.roots, EXPERIMENT))
    assert baseline is not None
    assert baseline.folds == ("fold_1",)


def test_a_summary_from_before_a_fold_was_declared_is_incomplete(settings: Settings) -> None:
    write_summary(settings, "fold_0", expected=1)

    result = run(settings, NAME)

    assert (result.exit_code, "fold_1 is missing" in result.stderr) == (2, True)


def test_a_summary_that_is_missing_or_older_than_a_fold_is_made_first(settings: Settings) -> None:
    model = EXPERIMENT.model_folder(settings.roots)
    write_fold(model, "fold_0", {"a": (0.9, 0.5)})

    first = run(settings, NAME, "--json")
    write_fold(model, "fold_1", {"b": (0.7, 0.5)})
    second = run(settings, NAME, "--json")

    assert (first.exit_code, json.loads(first.stdout)["missing_folds"]) == (2, ["fold_1"])
    assert "is missing, and is made now: 1 of 2 folds" in first.stderr
    assert (second.exit_code, json.loads(second.stdout)["baseline"]["folds"]) == (0, ["fold_0", "fold_1"])
    assert "is older than fold_1, and is made now: 2 of 2 folds" in second.stderr


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (NAME, "is finished, so there is nothing to summarize. Train at least one of fold_0, fold_1."),
        (NAME.replace("short", "shrt"), f"Did you mean {NAME}?"),
    ],
)
def test_what_cannot_be_accepted_is_said_in_a_sentence(settings: Settings, name: str, sentence: str) -> None:
    result = run(settings, name)

    assert result.exit_code == 1
    assert sentence in result.stderr
    assert not baseline_path(settings.roots, EXPERIMENT).exists()
