"""The comparison of a dataset's experiments, and the command that shows it, on summaries without a training."""

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from click.testing import CliRunner, Result

from nnunet_assets.assets.asset_keys import comparison_keys
from nnunet_assets.cli.main import main
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Roots, comparison_folder
from nnunet_assets.core.fold.commit import FoldInputs
from nnunet_assets.core.summary.cv_summary import summarize
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig, VariantConfig
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.assets.graphs import check, declared, failure, graph, materialized, metadata
from nnunet_assets_tests.builders import INPUTS, build_fold_result
from nnunet_assets_tests.project_builders import documents, write_project
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port

pytestmark = MLFLOW_WARNINGS

DATASET = "Dataset001_Tiny"
PLAIN = ExperimentConfig(dataset=DATASET, configuration="2d")
SEED_7 = PLAIN.model_copy(update={"variant": VariantConfig(name="seed7", seed=7)})
LONG = PLAIN.model_copy(update={"variant": VariantConfig(name="long", num_epochs=2000)})
EXPERIMENTS = [PLAIN, SEED_7, LONG]
GRAPH = graph(declared([DatasetConfig(dataset=DATASET, folds=2)], EXPERIMENTS))
FILES = {
    *("comparison.json", "comparison.md", "comparison_ranks.csv"),
    *(f"comparison_differences.{ending}" for ending in ("csv", "svg", "png")),
    *(f"comparison_table.{ending}" for ending in ("csv", "parquet", "tex", "md")),
}
DICES = [0.5, 0.6, 0.7, 0.8, 0.55, 0.65, 0.75, 0.85]

YAML = """
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset001_Tiny, folds: 2}
"""
EXPERIMENT_YAML = """
type: nnunet_assets.components.CrossValidationExperiment
attributes: {dataset: Dataset001_Tiny, configuration: 2d}
"""
VARIANT_YAML = """
type: nnunet_assets.components.CrossValidationExperiment
attributes: {dataset: Dataset001_Tiny, configuration: 2d, variant: {name: long, num_epochs: 2000}}
"""


def roots_of(project: Path) -> Roots:
    data = project / "data"
    return Roots(data / "nnUNet_raw", data / "nnUNet_preprocessed", data / "nnUNet_results")


def summarized(
    project: Path, config: ExperimentConfig, shift: float, *, n_folds: int = 2, inputs: FoldInputs = INPUTS
) -> None:
    """Writes the summary of an experiment whose cases score so much better, and a tenth of it by case."""
    scores = {f"c{k}": {"organ": dice + shift * (1 + k / 10)} for k, dice in enumerate(DICES)}
    parts = [dict(list(scores.items())[:4]), dict(list(scores.items())[4:])]
    folds = [build_fold_result(f"fold_{k}", parts[k], inputs) for k in range(n_folds)]
    summary = summarize(config.identity, ["fold_0", "fold_1"], folds)
    write_json_atomically(config.identity.summary_folder(roots_of(project)) / "cv_summary.json", summary.to_json())


def compared(project: Path, instance: dg.DagsterInstance, *names: str) -> dg.ExecuteInProcessResult:
    return materialized(GRAPH, *(names or ("comparison",)), folder=project, instance=instance)


def comparison_run(project: Path) -> tuple[Any, list[str]]:
    """Returns the comparison's run in MLflow, and the names of its files."""
    client = connect(Destination(f"sqlite:///{project}/data/mlflow.db", project / "data" / "mlartifacts"))
    experiment = client.get_experiment_by_name(DATASET)
    assert experiment
    (run,) = client.search_runs([experiment.experiment_id], "tags.`nnunet_assets.run_type` = 'comparison'")
    return run, sorted(file.path for file in client.list_artifacts(run.info.run_id))


def test_three_experiments_are_compared_with_the_noise_of_two_seeds(
    project: Path, instance: dg.DagsterInstance
) -> None:
    for config, shift in zip(EXPERIMENTS, (0.0, 0.001, 0.1), strict=True):
        summarized(project, config, shift)

    result = compared(project, instance)

    name = "nnUNetTrainer__nnUNetPlans__2d"
    shown = metadata(result, "comparison")
    assert shown["headline"] == f"3 experiments on 8 shared cases: long/{name} is first in Dice (0.810)"
    assert check(result, "compares_every_experiment").passed
    folder = comparison_folder(roots_of(project), DATASET)
    assert {path.name for path in folder.iterdir() if not path.name.startswith(".")} == FILES
    written = json.loads((folder / "comparison.json").read_text())
    assert written["repeats"] == [[name, f"seed7/{name}"]]
    pairs = [(one["left"], one["right"], one["is_within_noise"]) for one in written["differences"] if not one["label"]]
    assert pairs[:2] == [(name, f"long/{name}", False), (f"seed7/{name}", f"long/{name}", False)]


def test_table_figure_and_page_are_shown_and_in_one_run_in_mlflow(project: Path, instance: dg.DagsterInstance) -> None:
    summarized(project, PLAIN, 0.0)
    summarized(project, LONG, 0.1)
    page = LONG.identity.summary_folder(roots_of(project)) / "cv_report.html"
    page.write_text("the experiment's own page")

    result = compared(project, instance, "comparison", "dataset_report")

    shown = metadata(result, "comparison")
    assert "| long | **0.810 ± " in str(shown["table"])
    assert str(shown["figure"]).startswith("![Differences between the experiments in mean Dice")
    assert str(shown["mlflow_run"]) == str(metadata(result, "dataset_report")["mlflow_run"])
    run, files = comparison_run(project)
    assert (run.info.status, run.info.run_name) == ("FINISHED", "Dataset001_Tiny comparison")
    assert run.data.metrics == {"experiments_compared": 2, "cases": 8}
    assert files == sorted({*FILES, "dataset_report.html"})
    folder = comparison_folder(roots_of(project), DATASET)
    report = (folder / "dataset_report.html").read_text()
    (link,) = re.findall(r'href="([^"]+)"', report)
    assert (folder / link).resolve() == page.resolve()
    assert "<b>2 of 3</b>experiments compared" in report
    assert "seed7/nnUNetTrainer__nnUNetPlans__2d" in report


def test_a_tracking_server_that_does_not_answer_costs_a_warning_and_nothing_else(
    project: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    summarized(project, PLAIN, 0.0)
    summarized(project, LONG, 0.1)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")

    result = compared(project, instance, "comparison", "dataset_report")

    assert result.success
    for name in ("comparison", "dataset_report"):
        assert "is not reachable" in str(metadata(result, name)["mlflow_problem"])
    assert (comparison_folder(roots_of(project), DATASET) / "dataset_report.html").exists()


def test_what_is_missing_incomplete_or_damaged_is_named_and_left_out(
    project: Path, instance: dg.DagsterInstance
) -> None:
    summarized(project, SEED_7, 0.0, n_folds=1)
    summarized(project, LONG, 0.1)
    (LONG.identity.summary_folder(roots_of(project)) / "cv_summary.json").write_text("{")

    result = compared(project, instance)

    assert result.success
    found = check(result, "compares_every_experiment")
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
    missing, incomplete, damaged = str(found.description).splitlines()
    assert missing.endswith(": it has no summary yet")
    assert incomplete == (
        "seed7/nnUNetTrainer__nnUNetPlans__2d: its summary is incomplete: 1 of 2 folds (fold_1 missing)"
    )
    assert "is not valid JSON" in damaged
    assert str(metadata(result, "comparison")["headline"]).startswith("no experiment of Dataset001_Tiny that can be")


def test_other_splits_are_refused_and_nothing_is_written(project: Path, instance: dg.DagsterInstance) -> None:
    summarized(project, PLAIN, 0.0)
    summarized(project, LONG, 0.1, inputs=replace(INPUTS, splits_hash="other"))

    reason = failure(compared(project, instance))

    assert "and long/nnUNetTrainer__nnUNetPlans__2d must not be compared: they differ in splits." in reason
    assert not (comparison_folder(roots_of(project), DATASET) / "comparison.json").exists()


def test_a_dataset_with_one_experiment_has_no_comparison() -> None:
    alone = graph(declared([DatasetConfig(dataset=DATASET)], [PLAIN]))
    keys = {spec.key for spec in alone.resolve_all_asset_specs()}
    assert not keys & {*comparison_keys(DATASET)}


class TestCommand:
    @pytest.fixture
    def project(self, tmp_path: Path) -> Path:
        return write_project(tmp_path, {"defs.yaml": documents(YAML, EXPERIMENT_YAML, VARIANT_YAML)})

    def run(self, project: Path, arguments: Sequence[str]) -> Result:
        return CliRunner().invoke(main, ["compare", "--project", str(project), *arguments])

    def test_shows_what_the_asset_writes(self, project: Path) -> None:
        summarized(project, PLAIN, 0.0)
        summarized(project, LONG, 0.1)

        shown, machine = self.run(project, [DATASET]), self.run(project, [DATASET, "--json"])

        assert shown.exit_code == machine.exit_code == 0, shown.output
        assert "2 experiments on 8 shared cases" in shown.stdout
        assert json.loads(machine.stdout)["differences"][0]["metric"] == "dice"
        assert not comparison_folder(roots_of(project), DATASET).exists()

    def test_ends_with_2_where_an_experiment_was_left_out(self, project: Path) -> None:
        summarized(project, PLAIN, 0.0)

        result = self.run(project, [DATASET])

        assert result.exit_code == 2
        assert "Left out: long/nnUNetTrainer__nnUNetPlans__2d" in result.stdout.replace("\n", "")

    def test_ends_with_1_where_they_must_not_be_compared_or_there_is_no_such_dataset(self, project: Path) -> None:
        summarized(project, PLAIN, 0.0)
        summarized(project, LONG, 0.1, inputs=replace(INPUTS, raw_hash="other"))

        refused, unknown = self.run(project, [DATASET]), self.run(project, ["Dataset002_Other"])

        assert (refused.exit_code, unknown.exit_code) == (1, 1)
        assert "they differ in raw data." in refused.stderr
        assert "Dataset002_Other" in unknown.stderr
