"""Models that are registered when their summary becomes complete, on named histories of a real Dagster instance."""

import dagster as dg

from nnunet_assets.assets.model.registered_model import registered_key
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.sensors import build_registration_sensor
from nnunet_assets_tests.assets.graphs import declared, graph

ONE, OTHER = Experiment("Dataset004_Hippocampus", "2d"), Experiment("Dataset004_Hippocampus", "3d_fullres")
SENSOR = build_registration_sensor({ONE: 5, OTHER: 1})
CONFIGS = [
    ExperimentConfig(dataset=one.dataset, configuration=one.configuration, register="Tiny") for one in (ONE, OTHER)
]
DEFINITIONS = dg.Definitions.merge(
    graph(declared([DatasetConfig(dataset=ONE.dataset)], CONFIGS)), dg.Definitions(sensors=[SENSOR])
)


def summarized(instance: dg.DagsterInstance, experiment: Experiment, n_folds: int) -> None:
    key = dg.AssetKey([*experiment.key_prefix, "cv_summary"])
    instance.report_runless_asset_event(dg.AssetMaterialization(key, metadata={"folds_finished": n_folds}))


def tick(instance: dg.DagsterInstance, cursor: str | None) -> tuple[list[list[dg.AssetKey]], str | None, str | None]:
    data = SENSOR.evaluate_tick(dg.build_sensor_context(instance, cursor=cursor, definitions=DEFINITIONS))
    requests = data.run_requests or []
    return [list(one.asset_selection or []) for one in requests], data.cursor, data.skip_message


def test_a_model_is_registered_once_when_its_summary_becomes_complete(instance: dg.DagsterInstance) -> None:
    assert SENSOR.default_status is dg.DefaultSensorStatus.STOPPED
    wanted, cursor, message = tick(instance, None)
    assert (wanted, message) == ([], "No summary became complete. Experiments that are to be registered: 2.")
    summarized(instance, ONE, 4)
    wanted, cursor, message = tick(instance, cursor)
    assert wanted == []
    assert message.endswith(f"Folds are missing of {ONE.title}.")
    summarized(instance, ONE, 5)
    summarized(instance, OTHER, 1)
    wanted, cursor, _ = tick(instance, cursor)
    assert wanted == [[registered_key(ONE)], [registered_key(OTHER)]]
    assert tick(instance, cursor)[0] == []
    summarized(instance, OTHER, 1)
    assert tick(instance, cursor)[0] == [[registered_key(OTHER)]]
