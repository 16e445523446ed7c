"""The sensor that adopts folds of plain nnU-Net, one a tick."""

import shutil
from typing import Any

import dagster as dg
import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.commit import commit_sha256
from nnunet_assets.nnunet.adoption.adoption import adopt_fold
from nnunet_assets.resources.project_folder import ProjectResource
from nnunet_assets.sensors import build_adoption_sensor
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.fold.fold_tracker import TrackingReport
from nnunet_assets_tests.foreign_fold_builders import DATASET, write_foreign_project
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

EXPERIMENT = Experiment(DATASET, "3d_fullres")
KEY = dg.AssetKey([*EXPERIMENT.key_prefix, "fold_model"])


@pytest.fixture
def foreign(with_store: Settings) -> Settings:
    """A project that declares an experiment of two folds, which plain nnU-Net trained."""
    write_foreign_project(with_store)
    return with_store


def recorded(instance: dg.DagsterInstance) -> dict[str, Any]:
    """Fold to the data version of its newest materialization."""
    records = instance.fetch_materializations(KEY, limit=10).records
    events = [record.asset_materialization for record in reversed(records)]
    return {
        event.partition: (event.tags or {})["dagster/data_version"] for event in events if event and event.partition
    }


def test_the_sensor_records_a_fold_whose_adoption_was_killed_before(
    foreign: Settings, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "nnunet_assets.workflows.fold.adopted_fold_run.back_fill",
        lambda *_: TrackingReport(None, None, None, 0, 0, 0, None, is_done=True),
    )
    shutil.rmtree(EXPERIMENT.fold_folder(foreign.roots, "fold_1"))
    fold = EXPERIMENT.fold_folder(foreign.roots, "fold_0")
    adopt_fold(fold)
    sensor, resources = build_adoption_sensor([EXPERIMENT]), {"project": ProjectResource(folder=str(foreign.project))}
    messages = []
    for _ in range(2):
        with dg.build_sensor_context(instance=instance, resources=resources) as context:
            messages.append(str(sensor.evaluate_tick(context).skip_message))
    assert recorded(instance) == {"fold_0": commit_sha256(fold)}
    assert messages == [
        f"{fold} is adopted and recorded.",
        "No fold to adopt. Experiments looked at: 1; folds refused: 0.",
    ]


@pytest.mark.faults  # each fold is adopted in a process that imports torch
def test_the_sensor_is_off_and_adopts_one_fold_a_tick_passing_over_what_cannot_be(
    foreign: Settings, instance: dg.DagsterInstance
) -> None:
    broken = EXPERIMENT.fold_folder(foreign.roots, "fold_0") / "validation" / "summary.json"
    good = broken.read_bytes()
    broken.write_text("{")
    sensor = build_adoption_sensor([EXPERIMENT])
    assert sensor.default_status == dg.DefaultSensorStatus.STOPPED
    cursor: str | None = None
    ticks: list[Any] = []

    def tick() -> Any:
        nonlocal cursor
        resources = {"project": ProjectResource(folder=str(foreign.project))}
        with dg.build_sensor_context(instance=instance, cursor=cursor, resources=resources) as context:
            data = sensor.evaluate_tick(context)
        cursor = data.cursor
        ticks.append(data)
        return data

    assert "is torn" in str(tick().skip_message)
    tick()
    assert set(recorded(instance)) == {"fold_1"}
    assert "No fold to adopt" in str(tick().skip_message)
    broken.write_bytes(good)
    tick()
    assert set(recorded(instance)) == {"fold_0", "fold_1"}
