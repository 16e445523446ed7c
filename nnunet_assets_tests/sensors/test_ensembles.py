"""Ensembles that follow their members by themselves, on named histories of a real Dagster instance."""

from dataclasses import replace
from typing import Any

import dagster as dg
import pytest

from nnunet_assets.assets.fold.partitions import ensemble_key
from nnunet_assets.assets.graph import comparison_keys, ensemble_keys
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.sections.found_ensembles_config import FoundEnsemblesConfig
from nnunet_assets.resources.project_folder import REFRESH_TAG
from nnunet_assets.sensors import build_ensemble_sensor, followers
from nnunet_assets_tests.assets.graphs import declared, graph

DATASET = "Dataset004_Hippocampus"
FLAT, FULL, LOW = (Experiment(DATASET, name) for name in ("2d", "3d_fullres", "3d_lowres"))
BOTH = Experiment.ensemble(DATASET, "both")
FOUND = dg.AssetKey([DATASET, "found_ensembles"])


def project_of(**wanted: Any) -> Project:
    experiments = [ExperimentConfig(dataset=DATASET, configuration=one.configuration) for one in (FLAT, FULL, LOW)]
    dataset = DatasetConfig(dataset=DATASET, found_ensembles=FoundEnsemblesConfig(**wanted) if wanted else None)
    return replace(
        declared([dataset], experiments),
        ensembles=(EnsembleConfig(dataset=DATASET, name="both", members=["2d", "3d_fullres"]),),
        members={BOTH: (FLAT, FULL)},
    )


class History:
    """An instance to which things happen, and what the sensor asks for at each tick."""

    def __init__(self, instance: dg.DagsterInstance, project: Project) -> None:
        self.instance = instance
        self.sensor = build_ensemble_sensor(followers(project))
        self.definitions = dg.Definitions.merge(graph(project), dg.Definitions(sensors=[self.sensor]))
        self.cursor: str | None = None
        self.skip_message: str | None = None
        self.requests: list[dg.RunRequest] = []

    def summarized(self, experiment: Experiment, version: str, n_folds: int = 5) -> None:
        key = dg.AssetKey([*experiment.key_prefix, "cv_summary"])
        tags = {"dagster/data_version": version}
        event = dg.AssetMaterialization(key, metadata={"folds_finished": n_folds}, tags=tags)
        self.instance.report_runless_asset_event(event)

    def made(self, key: dg.AssetKey) -> None:
        self.instance.report_runless_asset_event(dg.AssetMaterialization(key))

    def tick(self) -> list[list[dg.AssetKey]]:
        context = dg.build_sensor_context(self.instance, cursor=self.cursor, definitions=self.definitions)
        data = self.sensor.evaluate_tick(context)
        self.cursor, self.skip_message = data.cursor, data.skip_message
        self.requests = list(data.run_requests or [])
        return [list(request.asset_selection or []) for request in self.requests]


ALL_OF_BOTH = [*ensemble_keys(BOTH), *comparison_keys(DATASET)]


@pytest.fixture
def history(instance: dg.DagsterInstance) -> History:
    return History(instance, project_of())


def test_an_ensemble_is_made_once_both_members_have_every_fold(history: History) -> None:
    assert history.tick() == []
    history.summarized(FLAT, "a")
    history.summarized(FULL, "b", n_folds=4)
    assert history.tick() == []
    assert history.skip_message == (
        f"No ensemble has a member that changed. Ensembles: 1. Folds are missing of members of {DATASET}/ensembles/both"
        "/ensemble."
    )
    history.summarized(FULL, "c")
    assert history.tick() == [ALL_OF_BOTH]
    assert REFRESH_TAG in history.requests[0].tags
    assert len(history.requests[0].tags[REFRESH_TAG]) <= 63
    assert history.tick() == []


def test_a_member_that_changed_has_it_made_again_and_one_that_says_the_same_has_not(history: History) -> None:
    history.summarized(FLAT, "a")
    history.summarized(FULL, "b")
    history.tick()
    first = history.requests[0].run_key
    history.made(ensemble_key(BOTH))
    history.summarized(FLAT, "a")  # at night
    assert history.tick() == []
    history.summarized(FLAT, "other", n_folds=4)  # a fold trains again
    assert history.tick() == []
    history.summarized(FLAT, "a")  # to the same result
    assert history.tick() == []
    history.summarized(FLAT, "other")
    assert history.tick() == [ALL_OF_BOTH]
    assert history.requests[0].run_key != first


def test_one_that_was_made_by_hand_since_is_not_made_again(history: History) -> None:
    history.summarized(FLAT, "a")
    history.summarized(FULL, "b")
    history.made(ensemble_key(BOTH))
    assert history.tick() == []
    history.summarized(FULL, "c")
    assert history.tick() == [ALL_OF_BOTH]


def test_while_it_is_made_its_next_time_waits(history: History) -> None:
    history.summarized(FLAT, "a")
    history.summarized(FULL, "b")
    history.tick()
    run = dg.DagsterRun("__ASSET_JOB", tags=history.requests[0].tags, status=dg.DagsterRunStatus.STARTED)
    history.instance.add_run(run)
    history.summarized(FULL, "c")
    assert history.tick() == []
    history.instance.report_run_canceled(run)
    assert history.tick() == [ALL_OF_BOTH]


def test_ensembles_that_nobody_declared_are_made_where_the_dataset_says_so(instance: dg.DagsterInstance) -> None:
    history = History(instance, project_of(automatic=True))
    history.summarized(FLAT, "a")
    history.summarized(FULL, "b")
    assert history.tick() == [ALL_OF_BOTH]
    history.summarized(LOW, "c")
    (made,) = history.tick()
    assert made == [FOUND, *(dg.AssetKey([DATASET, name]) for name in ("best_configuration", "dataset_report"))]


@pytest.mark.parametrize("wanted", [{}, {"max_members": 3}, {"max_members": 1, "automatic": True}])
def test_they_are_not_where_it_does_not(wanted: dict[str, Any]) -> None:
    assert [one.made for one in followers(project_of(**wanted))] == [ensemble_key(BOTH)]
