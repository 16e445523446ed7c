"""The asset `registered_model`: what Dagster shows of a version and of the gate; registering itself is played."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from nnunet_assets.assets.fold.partitions import ensemble_key
from nnunet_assets.assets.model import registered_model
from nnunet_assets.assets.model.registered_model import OF_SELECTION, build_registered_model, registered_key
from nnunet_assets.core.files.layout import dataset_key
from nnunet_assets.core.registry.gate import RULES, Verdict
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.errors import PackageError
from nnunet_assets.tracking.registry.versions import RegisteredVersion
from nnunet_assets.workflows.registry.register import Registered
from nnunet_assets_tests.assets.graphs import declared, failure, graph, materialized

DATASET = "Dataset001_Tiny"
CONFIG = ExperimentConfig(dataset=DATASET, configuration="2d", register="Tiny")
PLAIN = ExperimentConfig(dataset=DATASET, configuration="3d_fullres")
GRAPH = graph(declared([DatasetConfig(dataset=DATASET)], [CONFIG, PLAIN]))
VERSION = RegisteredVersion(
    name="Tiny",
    version=3,
    aliases=("challenger",),
    digest="ab12",
    size_bytes=2_000_000,
    tags={"nnunet_assets.number.dice": "0.870 [0.850, 0.890] (50 cases)"},
    description="",
    created_ms=0,
    model_id="m-1",
    run_id="run",
    url="http://127.0.0.1:5000/#/models/Tiny/versions/3",
)


def test_it_is_there_where_it_is_asked_for_and_depends_on_folds_and_summary() -> None:
    specs = {spec.key: spec for spec in GRAPH.resolve_all_asset_specs()}
    spec = specs[registered_key(CONFIG.identity)]
    assert {dep.asset_key.path[-1] for dep in spec.deps} == {"fold_model", "cv_summary"}
    assert registered_key(PLAIN.identity) not in specs
    full = ExperimentConfig(
        dataset=DATASET, configuration="2d", register="Tiny", full_model=True, register_full_model=True
    )
    of_full = graph(declared([DatasetConfig(dataset=DATASET)], [full])).resolve_all_asset_specs()
    (spec,) = (spec for spec in of_full if spec.key == registered_key(full.identity))
    assert {dep.asset_key.path[-1] for dep in spec.deps} == {"fold_model", "cv_summary", "full_model"}


def test_that_of_an_ensemble_depends_on_the_ensemble() -> None:
    ensemble = EnsembleConfig(dataset=DATASET, name="both", members=["2d", "3d_fullres"], register="Both")
    project = declared([DatasetConfig(dataset=DATASET)], [CONFIG, PLAIN])
    asset = build_registered_model(config=ensemble, declared=project, group="both")
    (spec,) = asset.specs
    assert spec.key == dg.AssetKey([*ensemble.identity.key_prefix, "registered_model"])
    assert {dep.asset_key for dep in spec.deps} == {
        ensemble_key(ensemble.identity),
        dg.AssetKey([*ensemble.identity.key_prefix, "cv_summary"]),
    }


def test_that_of_a_dataset_depends_on_the_choice_and_says_so() -> None:
    config = DatasetConfig(dataset=DATASET, register="Best")
    specs = graph(declared([config], [PLAIN, CONFIG])).resolve_all_asset_specs()
    (spec,) = (spec for spec in specs if spec.key == dg.AssetKey(dataset_key(DATASET, "registered_model")))
    assert [dep.asset_key for dep in spec.deps] == [dg.AssetKey(dataset_key(DATASET, "best_configuration"))]
    assert spec.description.endswith(OF_SELECTION)


def test_a_version_is_shown_with_what_the_gate_found(
    project: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    verdicts = tuple(Verdict(rule, rule != "not_inferior", f"About {rule}.", {"cases": 8}) for rule in RULES)

    def played(*_: Any, **options: Any) -> Registered:
        assert options["dagster_run_id"]
        return Registered(VERSION, verdicts, None)

    monkeypatch.setattr(registered_model, "register_declared", played)
    result = materialized(GRAPH, "registered_model", folder=project, instance=instance)
    assert result.success
    (event,) = result.asset_materializations_for_node("__".join([*CONFIG.identity.key_prefix, "registered_model"]))
    shown = {name: value.value for name, value in event.metadata.items()}
    assert shown["headline"] == "Tiny, version 3 stays challenger: About not_inferior."
    assert (shown["model"], shown["version"], shown["aliases"]) == ("Tiny", 3, "challenger")
    assert (shown["mlflow_model"], shown["dice"]) == (VERSION.url, "0.870 [0.850, 0.890] (50 cases)")
    checks = {one.check_name: (one.passed, one.severity) for one in result.get_asset_check_evaluations()}
    assert checks == {rule: (rule != "not_inferior", dg.AssetCheckSeverity.WARN) for rule in RULES}


def test_folds_that_cannot_be_packed_are_a_failure_in_a_sentence(
    project: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*_: Any, **__: Any) -> Registered:
        raise PackageError("The folds are of other plans.")

    monkeypatch.setattr(registered_model, "register_declared", refuses)
    result = materialized(GRAPH, "registered_model", folder=project, instance=instance)
    assert failure(result) == "The folds are of other plans."
