"""cv_summary and cv_tables on folds that were committed as the fold process commits them, but never trained."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.assets.summary.cv_summary import SEEN_METADATA
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.fold.commit import FoldInputs, commit_fold, commit_sha256
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.tracking.store import destination
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.results.export_figures import FIGURES
from nnunet_assets_tests.assets.graphs import check, declared, failure, graph, materialized, metadata, started
from nnunet_assets_tests.builders import INPUTS, build_manifest, summary_entry, write_validation_summary
from nnunet_assets_tests.raw_builders import tiny_json, write_json
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port

pytestmark = MLFLOW_WARNINGS

DATASET = "Dataset001_Tiny"
CONFIG = ExperimentConfig(dataset=DATASET, configuration="2d")
EXPERIMENT = CONFIG.identity
GRAPH = graph(declared([DatasetConfig(dataset=DATASET, folds=3)], [CONFIG]))
FOUR_FOLDS = graph(declared([DatasetConfig(dataset=DATASET, folds=4)], [CONFIG]))
ORGAN, LESION = "1", "2"


def commit(project: Path, fold: str, dices: Mapping[str, Mapping[str, Any]], inputs: FoldInputs = INPUTS) -> Path:
    """Writes a finished fold: case to Dice by label value."""
    data = project / "data"
    roots = Roots(data / "nnUNet_raw", data / "nnUNet_preprocessed", data / "nnUNet_results")
    folder = EXPERIMENT.fold_folder(roots, fold)
    write_json(folder.parent / "dataset.json", tiny_json())
    write_validation_summary(folder, [summary_entry(case, metrics) for case, metrics in dices.items()])
    commit_fold(folder, replace(build_manifest(folder, inputs), details={"validation_cases": sorted(dices)}))
    return folder


def summarize(project: Path, instance: dg.DagsterInstance, *names: str) -> dg.ExecuteInProcessResult:
    return materialized(GRAPH, *(names or ("cv_summary", "cv_tables")), folder=project, instance=instance)


def two_folds(project: Path) -> list[Path]:
    """Pooled and over folds differ: three cases and one."""
    first = {"a": {ORGAN: 0.9, LESION: 0.6}, "b": {ORGAN: 0.8, LESION: 0.4}, "c": {ORGAN: 0.7, LESION: 0.5}}
    return [commit(project, "fold_0", first), commit(project, "fold_2", {"d": {ORGAN: 0.4, LESION: 0.3}})]


def artifacts_of(project: Path, url: str) -> set[str]:
    client = connect(Destination(f"sqlite:///{project}/data/mlflow.db", project / "data" / "mlartifacts"))
    run_id = url.rpartition("/")[-1]
    found = [file for folder in (None, "figures") for file in client.list_artifacts(run_id, folder)]
    return {file.path for file in found if not file.is_dir}


def test_what_shows_cases_does_not_leave_the_machine_unasked(
    project: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    two_folds(project)
    monkeypatch.setattr(destination, "is_local", lambda _uri: False)

    result = summarize(project, instance, "cv_summary", "cv_tables", "cv_evaluation", "cv_figures", "cv_report")

    assert result.success
    assert artifacts_of(project, str(metadata(result, "cv_summary")["mlflow_run"])) == set()


def test_figures_and_report_are_made_of_the_summary_without_raw_data(
    project: Path, instance: dg.DagsterInstance
) -> None:
    folder = two_folds(project)[0].parent / "nnunet_assets"

    result = summarize(project, instance, "cv_summary", "cv_tables", "cv_evaluation", "cv_figures", "cv_report")

    runs = [metadata(result, name)["mlflow_run"] for name in ("cv_summary", "cv_tables", "cv_figures", "cv_report")]
    assert len(set(runs)) == 1
    uploaded = artifacts_of(project, str(runs[0]))
    assert {"cv_summary.json", "cv_report.html", "cv_table.tex", "figures/cases.png", "figures/cases.svg"} <= uploaded
    assert {path.stem for path in (folder / "figures").iterdir()} == set(FIGURES)
    page = (folder / "cv_report.html").read_text()
    assert metadata(result, "cv_report")["report"] == f"{runs[0]}/artifacts/cv_report.html"
    assert "Not complete: fold_1 missing." in page
    assert page.count("data:image/svg+xml") == len(FIGURES)
    # Nor predictions: what is known is reported, and what is missing named.
    assert "has no prediction" in page
    assert str(metadata(result, "cv_figures")["dice_by_label"]).startswith("![Dice of every validation case")


def test_two_of_three_folds_are_summarized_and_the_third_is_named(project: Path, instance: dg.DagsterInstance) -> None:
    two_folds(project)

    result = summarize(project, instance)

    assert result.success
    shown = metadata(result, "cv_summary")
    # Over folds: (0.65 + 0.35) / 2; pooled: (0.7 + 0.45) / 2, of organ 2.8 / 4 and lesion 1.8 / 4.
    assert shown["headline"] == "2 of 3 folds (fold_1 missing): Dice 0.500 ± 0.212 over folds"
    assert shown["dice_mean_pooled"] == pytest.approx(0.575)
    assert shown["dice_mean_over_folds"] == pytest.approx(0.5)
    assert shown["folds_finished"] == 2
    found = check(result, "has_every_fold")
    assert (found.passed, found.severity, found.description) == (
        False,
        dg.AssetCheckSeverity.WARN,
        "2 of 3 folds (fold_1 missing)",
    )


def test_the_table_in_the_ui_is_short_and_for_people(project: Path, instance: dg.DagsterInstance) -> None:
    two_folds(project)

    (event,) = summarize(project, instance, "cv_summary").get_asset_materialization_events()
    table = event.materialization.metadata["dice"]

    assert isinstance(table, dg.TableMetadataValue)
    assert [record.data for record in table.records] == [
        {
            "label": "organ",
            "Dice, pooled": "0.700 ± 0.216",
            "cases": "4 of 4",
            "Dice, over folds": "0.600 ± 0.283",
            "folds": "2 of 2",
        },
        {
            "label": "lesion",
            "Dice, pooled": "0.450 ± 0.129",
            "cases": "4 of 4",
            "Dice, over folds": "0.400 ± 0.141",
            "folds": "2 of 2",
        },
        {
            # A case's mean over its labels: 0.75, 0.6, 0.6 and 0.35; a fold's: 0.65 and 0.35.
            "label": "Foreground mean",
            "Dice, pooled": "0.575 ± 0.166",
            "cases": "4 of 4",
            "Dice, over folds": "0.500 ± 0.212",
            "folds": "2 of 2",
        },
    ]
    exact: Any = event.materialization.metadata["dice_exact"]
    organ = exact.records[0].data
    assert (organ["label"], organ["mean_pooled"], organ["n_cases"], organ["mean_fold_1"]) == (
        "organ",
        pytest.approx(0.7),
        4,
        None,
    )
    assert organ["sd_pooled"] == pytest.approx(0.216, abs=1e-3)


def test_the_tables_have_the_columns_of_their_files(project: Path, instance: dg.DagsterInstance) -> None:
    folder = two_folds(project)[0].parent / "nnunet_assets"
    shown = metadata(summarize(project, instance), "cv_tables")
    schema = shown["dagster/column_schema"]
    assert isinstance(schema, dg.TableSchema)
    table = pq.read_table(folder / "cv_table.parquet")
    types = {"string": "string", "int": "int64", "float": "double"}
    assert {column.name: types[column.type] for column in schema.columns} == {
        name: str(kind) for name, kind in zip(table.schema.names, table.schema.types, strict=True)
    }
    assert shown["dagster/row_count"] == table.num_rows == 6


def test_worst_cases_and_what_the_folds_took_are_shown(project: Path, instance: dg.DagsterInstance) -> None:
    two_folds(project)
    commit(project, "fold_1", {"_e": {ORGAN: 0.5, LESION: 0.5}})

    shown = metadata(summarize(project, instance, "cv_summary"), "cv_summary")

    worst = str(shown["worst_cases"]).splitlines()
    assert worst[:2] == ["1. d (fold_2): 0.350", r"1. \_e (fold_1): 0.500"]
    assert worst[-1] == "1. a (fold_0): 0.750"
    assert shown["computing"] == "6 epochs; training 10 s; validation 4.5 s"
    assert (shown["epochs"], shown["training_seconds"], shown["validation_seconds"]) == (6, 10.5, 4.5)
    assert "gpu_hours" not in shown


def test_the_run_in_mlflow_is_linked_and_holds_the_means(project: Path, instance: dg.DagsterInstance) -> None:
    two_folds(project)

    url = str(metadata(summarize(project, instance), "cv_summary")["mlflow_run"])

    host, _, page = url.partition("/#/experiments/")
    experiment_id, _, run_id = page.partition("/runs/")
    assert host == "http://127.0.0.1:5000"
    run = connect(Destination(f"sqlite:///{project}/data/mlflow.db", project / "artifacts")).get_run(run_id)
    assert run.info.experiment_id == experiment_id
    assert run.data.tags["nnunet_assets.folds"] == "fold_0,fold_2"
    assert run.data.metrics["dice_mean_pooled"] == pytest.approx(0.575)
    assert run.data.metrics["dice_median_pooled/organ"] == pytest.approx(0.75)


def test_a_tracking_server_that_does_not_answer_costs_a_warning_and_no_summary(
    project: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")
    two_folds(project)

    result = summarize(project, instance)

    assert result.success
    assert "is not reachable" in str(metadata(result, "cv_summary")["mlflow_problem"])


class TestFoldsThatDagsterRecorded:
    def recorded(self, instance: dg.DagsterInstance, fold: str, version: str) -> None:
        tags = {"dagster/data_version": version}
        instance.report_runless_asset_event(
            dg.AssetMaterialization(
                fold_model_key(EXPERIMENT),
                partition=fold,
                metadata={"folder": dg.MetadataValue.path(f"anywhere/{fold}")},
                tags=tags,
            )
        )

    def test_are_compared_with_those_on_the_disk(self, project: Path, instance: dg.DagsterInstance) -> None:
        first, _never_recorded = two_folds(project)
        self.recorded(instance, "fold_0", "of an earlier training")
        self.recorded(instance, "fold_0", commit_sha256(first))

        found = check(summarize(project, instance), "folds_are_as_recorded")

        assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.WARN)
        assert str(found.description).startswith("fold_2 on the disk was not materialized by this Dagster instance.")
        assert found.metadata["folds_otherwise"].value == 1
        assert "| fold\\_2 |" in str(found.metadata["table"].value)

    def test_the_summary_tells_the_sensor_what_it_saw(self, project: Path, instance: dg.DagsterInstance) -> None:
        two_folds(project)
        assert metadata(summarize(project, instance), "cv_summary")[SEEN_METADATA] == 0
        self.recorded(instance, "fold_0", "any")
        (record,) = instance.get_asset_records([fold_model_key(EXPERIMENT)])
        newest = record.asset_entry.last_materialization_storage_id

        assert metadata(summarize(project, instance), "cv_summary")[SEEN_METADATA] == newest


def test_folds_of_other_data_are_named_as_the_reason_and_no_table_is_made(
    project: Path, instance: dg.DagsterInstance
) -> None:
    two_folds(project)
    commit(project, "fold_1", {"e": {ORGAN: 0.9, LESION: 0.9}}, replace(INPUTS, raw_hash="another"))

    result = summarize(project, instance)

    assert started(result) == {"cv_summary"}
    assert "fold_1 and fold_0, fold_2 differ in raw data. Train fold_1 again" in failure(result)
