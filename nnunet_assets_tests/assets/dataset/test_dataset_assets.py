"""raw_dataset and splits on small files, and what keeps everything after them from starting."""

import json
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContext

from nnunet_assets.core.files import digests
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig, PhantomConfig
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import read_raw
from nnunet_assets.tracking.store import destination
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.assets.graphs import (
    check,
    declared,
    failure,
    graph,
    materialized,
    metadata,
    resources_of,
    started,
)
from nnunet_assets_tests.raw_builders import (
    DATASET,
    tiny_image,
    tiny_json,
    tiny_label,
    write_json,
    write_tiny_dataset,
    write_volume,
)
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port

pytestmark = MLFLOW_WARNINGS

CONFIG = DatasetConfig(dataset=DATASET, folds=3)
EXPERIMENT = ExperimentConfig(dataset=DATASET, configuration="2d")
GRAPH = graph(declared([CONFIG], [EXPERIMENT]))


@pytest.fixture(autouse=True)
def raw(project: Path) -> Path:
    """The folder of raw datasets in a project, which is `tmp_path`."""
    return project / "data" / "nnUNet_raw"


def run(folder: Path, instance: dg.DagsterInstance, *names: str) -> dg.ExecuteInProcessResult:
    return materialized(GRAPH, *names, folder=folder, instance=instance)


def test_a_good_dataset_is_read_and_split(tmp_path: Path, raw: Path, instance: dg.DagsterInstance) -> None:
    write_tiny_dataset(raw)

    result = run(tmp_path, instance, "raw_dataset", "splits")

    assert result.success
    shown = metadata(result, "raw_dataset")
    assert (shown["cases"], shown["channels"]) == (6, "MRI 0")
    assert shown["spacing_mm"] == "1 (1 to 1) x 1 (1 to 1) x 2 (2 to 2)"
    folds = json.loads((tmp_path / "data" / "nnUNet_preprocessed" / DATASET / "splits_final.json").read_text())
    assert [(len(fold["train"]), len(fold["val"])) for fold in folds] == [(4, 2)] * 3


def test_unchanged_data_has_the_same_version_and_changed_data_another(
    tmp_path: Path, raw: Path, instance: dg.DagsterInstance
) -> None:
    folder = write_tiny_dataset(raw)

    def version() -> str:
        events = run(tmp_path, instance, "raw_dataset").get_asset_materialization_events()
        (event,) = [event for event in events if event.asset_key and event.asset_key.path[-1] == "raw_dataset"]
        return str((event.materialization.tags or {})["dagster/data_version"])

    before = version()
    assert version() == before
    write_volume(folder / "imagesTr" / "case_0_0000.nii.gz", tiny_image(seed=99))
    assert version() != before


def test_a_case_in_quarantine_is_in_no_split_and_comes_back(
    tmp_path: Path, raw: Path, instance: dg.DagsterInstance
) -> None:
    folder = write_tiny_dataset(raw)
    (folder / "labelsTr" / "case_3.nii.gz").write_bytes(b"")
    write_volume(folder / "labelsTr" / "case_4.nii.gz", tiny_label(), origin_mm=(0.05, 0, 0))
    changes = {"quarantine": {"case_3": "its label is lost"}, "repair_headers_mm": 0.1}
    config = CONFIG.model_copy(update={**changes, "folds": 5})

    result = materialized(graph(declared([config])), "raw_dataset", "splits", folder=tmp_path, instance=instance)

    assert result.success
    for shown in (metadata(result, "raw_dataset"), check(result, "is_consistent").metadata):
        assert "case_3: its label is lost" in str(shown["quarantined"])
        assert "labelsTr/case_4.nii.gz (by 0.05 mm)" in str(shown["repaired_headers"])
    splits = tmp_path / "data" / "nnUNet_preprocessed" / DATASET / "splits_final.json"
    assert {case for fold in json.loads(splits.read_text()) for case in fold["val"]} == {
        *("case_0", "case_1", "case_2", "case_4", "case_5")
    }
    assert "case_3" in str(check(run(tmp_path, instance, "raw_dataset"), "is_consistent").description)


def test_what_is_declared_about_cases_makes_the_dataset_stale_and_the_reason_does_not() -> None:
    def code_version(**changes: object) -> str | None:
        defs = graph(declared([CONFIG.model_copy(update=changes)]))
        specs = {spec.key.path[-1]: spec for spec in defs.resolve_all_asset_specs()}
        return specs["raw_dataset"].code_version

    quarantined = code_version(quarantine={"case_3": "lost"})
    assert code_version() == "2"
    assert quarantined == code_version(quarantine={"case_3": "its label is lost"})
    assert (
        len({"2", quarantined, code_version(repair_headers_mm=0.1), code_version(quarantine={"case_4": "lost"})}) == 4
    )


class TestAnImageWithoutALabel:
    @pytest.fixture(autouse=True)
    def _broken(self, raw: Path) -> None:
        folder = write_tiny_dataset(raw)
        (folder / "labelsTr" / "case_3.nii.gz").unlink()

    def test_fails_the_check_and_stops_the_run(self, tmp_path: Path, instance: dg.DagsterInstance) -> None:
        result = run(tmp_path, instance, "raw_dataset", "splits", "preprocessed_plans")

        assert not result.success
        assert started(result) == {"raw_dataset"}
        found = check(result, "is_consistent")
        assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
        assert "case_3" in str(found.description)

    @pytest.mark.parametrize("name", ["splits", "preprocessed_plans"])
    def test_stops_a_later_run_of_another_asset_alone(
        self, tmp_path: Path, instance: dg.DagsterInstance, name: str
    ) -> None:
        run(tmp_path, instance, "raw_dataset")

        reason = failure(run(tmp_path, instance, name))

        assert reason.startswith(f"The raw data of {DATASET} is not fit to be trained on. Put it right and materialize")
        assert "case_3" in reason

    def test_is_forgotten_once_it_is_put_right(self, tmp_path: Path, raw: Path, instance: dg.DagsterInstance) -> None:
        run(tmp_path, instance, "raw_dataset")
        write_tiny_dataset(raw)

        assert run(tmp_path, instance, "raw_dataset", "splits").success


def test_a_missing_nnunet_raw_is_a_sentence_with_the_place(tmp_path: Path, instance: dg.DagsterInstance) -> None:
    result = run(tmp_path, instance, "raw_dataset", "splits")

    assert started(result) == {"raw_dataset"}
    assert str(tmp_path / "data" / "nnUNet_raw") in failure(result)


def test_a_broken_dataset_json_is_a_failure_before_any_image_is_read(
    tmp_path: Path, raw: Path, instance: dg.DagsterInstance
) -> None:
    write_json(write_tiny_dataset(raw) / "dataset.json", tiny_json(labels=None))

    assert "labels" in failure(run(tmp_path, instance, "raw_dataset"))


def test_splits_before_the_raw_data_was_looked_at_say_what_to_do(
    tmp_path: Path, raw: Path, instance: dg.DagsterInstance
) -> None:
    write_tiny_dataset(raw)

    assert failure(run(tmp_path, instance, "splits")).endswith("Materialize raw_dataset first.")


def test_a_users_own_splits_are_kept_and_checked(tmp_path: Path, raw: Path, instance: dg.DagsterInstance) -> None:
    write_tiny_dataset(raw)
    run(tmp_path, instance, "raw_dataset")
    everything = [f"case_{index}" for index in range(6)]
    mine = [{"train": everything[2:], "val": everything[:2]}]
    path = write_json(tmp_path / "data" / "nnUNet_preprocessed" / DATASET / "splits_final.json", mine)
    before = path.read_bytes()

    reason = failure(run(tmp_path, instance, "splits"))

    assert "It has 1 folds instead of 3." in reason
    assert path.read_bytes() == before


def test_plans_of_the_users_own_that_are_not_there_are_asked_for(
    tmp_path: Path, raw: Path, instance: dg.DagsterInstance
) -> None:
    write_tiny_dataset(raw)
    run(tmp_path, instance, "raw_dataset")
    own = EXPERIMENT.model_copy(update={"plans": "myPlans"})

    result = materialized(graph(declared([CONFIG], [own])), "preprocessed_plans", folder=tmp_path, instance=instance)

    assert "There are no plans 'myPlans'" in failure(result)


def test_a_fold_without_plans_says_what_to_do(tmp_path: Path, raw: Path, instance: dg.DagsterInstance) -> None:
    write_tiny_dataset(raw)
    run(tmp_path, instance, "raw_dataset", "splits")

    result = materialized(GRAPH, "fold_model", folder=tmp_path, instance=instance, partition="fold_0")

    assert failure(result).endswith("Materialize preprocessed_plans first.")


def test_a_phantom_is_generated_where_it_is_not(tmp_path: Path, raw: Path, instance: dg.DagsterInstance) -> None:
    config = DatasetConfig(dataset="Dataset900_Phantom", phantom=PhantomConfig(cases=10))

    result = materialized(graph(declared([config])), "raw_dataset", "splits", folder=tmp_path, instance=instance)

    assert result.success
    assert metadata(result, "raw_dataset")["cases"] == 10
    roots = Roots(raw, tmp_path / "data" / "nnUNet_preprocessed", tmp_path / "data" / "nnUNet_results")
    assert read_raw(PreparedFolder(roots, "Dataset900_Phantom")).errors == ""


class TestAnUnchangedDataset:
    def test_is_not_read_again_unless_asked(
        self, tmp_path: Path, raw: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(digests, "SAFETY_SECONDS", 0.0)
        write_tiny_dataset(raw)
        config = {"ops": {f"{DATASET}__raw_dataset": {"config": {"rehash": True}}}}
        results = [run(tmp_path, instance, "raw_dataset") for _ in range(2)]
        results.append(materialized(GRAPH, "raw_dataset", folder=tmp_path, instance=instance, run_config=config))

        assert [metadata(result, "raw_dataset")["cases_read"] for result in results] == [6, 0, 6]
        assert len({str(metadata(result, "raw_dataset")["content_hash"]) for result in results}) == 1


class TestStaleness:
    """What Dagster's own resolver says after the data changed."""

    @pytest.fixture(autouse=True)
    def _all_made(self, tmp_path: Path, raw: Path, instance: dg.DagsterInstance) -> None:
        write_tiny_dataset(raw)
        run(tmp_path, instance, "raw_dataset", "splits")
        pretend(instance, "preprocessed_plans", "first")
        pretend(instance, "fold_model", "first", partition="fold_0")

    def test_an_edited_label_leaves_the_splits_fresh_and_goes_down_the_line_one_by_one(
        self, tmp_path: Path, raw: Path, instance: dg.DagsterInstance
    ) -> None:
        pretend(instance, "cv_summary", "first")
        assert stale(instance) == set()
        write_volume(raw / DATASET / "labelsTr" / "case_1.nii.gz", tiny_label() // 2)
        run(tmp_path, instance, "raw_dataset")
        assert stale(instance) == {"preprocessed_plans"}

        pretend(instance, "preprocessed_plans", "second")
        assert stale(instance) == {"fold_model"}
        pretend(instance, "fold_model", "second", partition="fold_0")
        assert stale(instance) == {"cv_summary"}

    def test_a_split_beside_the_raw_data_makes_the_splits_stale_alone_and_becomes_them(
        self, tmp_path: Path, raw: Path, instance: dg.DagsterInstance
    ) -> None:
        cases = [f"case_{index}" for index in range(6)]
        mine = [{"train": [c for c in cases if c not in cases[n::3]], "val": cases[n::3]} for n in range(3)]
        file = write_json(raw / DATASET / "splits_final.json", mine)
        run(tmp_path, instance, "raw_dataset")
        assert stale(instance) == {"splits"}
        assert metadata(run(tmp_path, instance, "splits"), "splits")["how"] == f"read from {file}"

    def test_a_new_case_makes_the_splits_stale_too(
        self, tmp_path: Path, raw: Path, instance: dg.DagsterInstance
    ) -> None:
        write_tiny_dataset(raw, n_cases=7)
        run(tmp_path, instance, "raw_dataset")
        assert stale(instance) == {"preprocessed_plans", "splits"}


def pretend(instance: dg.DagsterInstance, name: str, version: str, partition: str | None = None) -> None:
    """Materializes a stand-in of an asset that takes minutes to make: the same spec, and only a version to show."""
    (spec,) = [spec for spec in GRAPH.resolve_all_asset_specs() if spec.key.path[-1] == name]

    @dg.multi_asset(specs=[spec], name=name)
    def stand_in() -> dg.MaterializeResult:  # type: ignore[type-arg]
        return dg.MaterializeResult(data_version=dg.DataVersion(version))

    others = [
        asset for asset in GRAPH.assets or [] if isinstance(asset, dg.AssetsDefinition) and spec.key not in asset.keys
    ]
    project = resources_of(Path("/unused"))
    result = dg.materialize(
        [*others, stand_in], selection=[spec.key], instance=instance, partition_key=partition, resources=project
    )
    assert result.success


class _Loading(LoadingContext):
    def __init__(self, instance: dg.DagsterInstance) -> None:
        self._instance, self._loaders = instance, {}  # type: ignore[var-annotated]

    @property
    def instance(self) -> dg.DagsterInstance:
        return self._instance

    @property
    def loaders(self) -> dict:  # type: ignore[type-arg]
        return self._loaders


def stale(instance: dg.DagsterInstance) -> set[str]:
    """Returns the last part of the keys that the web UI would call stale; of folds, the first counts."""
    assets = GRAPH.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance=instance, asset_graph=assets, loading_context=_Loading(instance))
    names = ("raw_dataset", "case_list", "splits", "preprocessed_plans", "fold_model", "cv_summary")
    keys = [key for key in assets.materializable_asset_keys if key.path[-1] in names]
    partitions = {key: "fold_0" if key.path[-1] == "fold_model" else None for key in keys}
    return {key.path[-1] for key in keys if resolver.get_status(key, partitions[key]) is StaleStatus.STALE}


class TestTheReport:
    def test_page_and_tables_are_on_disk_in_the_ui_and_in_mlflow(
        self, tmp_path: Path, raw: Path, instance: dg.DagsterInstance
    ) -> None:
        folder = write_tiny_dataset(raw)
        write_volume(folder / "labelsTr" / "case_1.nii.gz", tiny_label() * 0)

        shown = metadata(run(tmp_path, instance, "raw_dataset"), "raw_dataset")

        page = Path(str(shown["page"]))
        assert page == tmp_path / f"data/nnUNet_preprocessed/{DATASET}/.nnunet_assets/intake/intake.html"
        assert {path.name for path in page.parent.iterdir()} >= {"intake.html", "intake.parquet", "findings.parquet"}
        assert (shown["errors"], shown["warnings"]) == (0, 1)
        assert shown["report"] == f"{shown['mlflow_run']}/artifacts/intake.html"
        client = connect(Destination(f"sqlite:///{tmp_path}/data/mlflow.db", tmp_path / "data/mlartifacts"))
        tracked = client.get_run(str(shown["mlflow_run"]).rpartition("/")[2])
        assert tracked.data.tags["nnunet_assets.run_type"] == "raw_dataset"
        assert (tracked.data.metrics["cases"], tracked.data.metrics["findings/D035"]) == (6, 1)
        assert {file.path for file in client.list_artifacts(tracked.info.run_id)} >= {"intake.html"}

    def test_a_server_elsewhere_gets_no_page_and_no_name_of_a_case(
        self, tmp_path: Path, raw: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_tiny_dataset(raw)
        monkeypatch.setattr(destination, "is_local", lambda uri: False)

        shown = metadata(run(tmp_path, instance, "raw_dataset"), "raw_dataset")

        client = connect(Destination(f"sqlite:///{tmp_path}/data/mlflow.db", tmp_path / "data/mlartifacts"))
        tracked = client.get_run(str(shown["mlflow_run"]).rpartition("/")[2])
        assert client.list_artifacts(tracked.info.run_id) == []
        assert "case_" not in str([tracked.data.params, tracked.data.metrics, tracked.info.run_name])
        assert "case_1" not in str(tracked.data.tags)

    def test_a_server_that_does_not_answer_costs_a_sentence(
        self, tmp_path: Path, raw: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_tiny_dataset(raw)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{free_port()}")

        shown = metadata(run(tmp_path, instance, "raw_dataset"), "raw_dataset")

        assert "mlflow_run" not in shown
        assert "does not answer" in str(shown["mlflow_problem"]) or "reach" in str(shown["mlflow_problem"])
