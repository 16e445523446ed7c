import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.tracking.assets.asset_run import bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import summary_run
from nnunet_assets.tracking.runs.cross_validation_run import PARENT, parent_of_fold
from nnunet_assets.tracking.runs.run_names import cross_validation_run_name, fold_run_name
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import connect, get_or_create_experiment
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.builders import INPUTS
from nnunet_assets_tests.fakes.mlflow_client import InMemoryMlflow
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

EXPERIMENT = Experiment("Dataset004_Hippocampus", "2d", variant="long")


@pytest.fixture
def destination(tmp_path: Path, stores_in_memory: None) -> Destination:
    return Destination(f"sqlite:///{tmp_path}/mlflow.db", tmp_path / "artifacts")


@pytest.fixture
def client(destination: Destination) -> Any:
    return connect(destination)


@pytest.fixture
def home(client: Any, destination: Destination) -> str:
    return get_or_create_experiment(client, EXPERIMENT.dataset, destination)


def tags_of(fold: str, experiment: Experiment = EXPERIMENT) -> dict[str, str]:
    return names.fold_tags(experiment, fold, INPUTS)


def summary_runs(client: Any, home: str) -> list[Any]:
    return list(client.search_runs([home], f"tags.`{names.RUN_TYPE}` = 'cv_summary'"))


def test_the_first_fold_makes_the_run_that_the_summary_fills(client: Any, home: str, destination: Destination) -> None:
    first = parent_of_fold(client, home, tags_of("fold_0"), 1000)
    assert parent_of_fold(client, home, tags_of("fold_1"), 2000) == first

    filled = bring_up_to_date(destination, summary_run(EXPERIMENT).showing({"dice_mean_pooled": 0.8})).known_id()

    assert filled == first
    (run,) = summary_runs(client, home)
    assert (run.info.run_name, run.info.status, run.info.start_time) == ("long 2d cv", "FINISHED", 1000)
    assert run.data.tags[names.VARIANT] == "long"


def test_a_run_that_holds_no_fold_is_not_open(client: Any, home: str) -> None:
    made = parent_of_fold(client, home, tags_of("fold_0"), 1000)
    assert client.get_run(made).info.status == "FINISHED"


def test_what_is_no_fold_of_a_cross_validation_is_below_nothing(client: Any, home: str) -> None:
    assert parent_of_fold(client, home, tags_of("fold_all"), 1000) is None
    assert parent_of_fold(client, home, {names.FOLD: "fold_0"}, 1000) is None
    assert summary_runs(client, home) == []


def test_each_experiment_has_its_own(client: Any, home: str) -> None:
    plain = Experiment(EXPERIMENT.dataset, EXPERIMENT.configuration)
    assert parent_of_fold(client, home, tags_of("fold_0"), 1) != parent_of_fold(
        client, home, tags_of("fold_0", plain), 1
    )


class MadeAtOnce(InMemoryMlflow):
    """While this process makes its run, another has made the same, which began at that time."""

    def __init__(self, other_start_ms: int) -> None:
        super().__init__("memory")
        self.other_start_ms: int | None = other_start_ms
        self.other = ""

    def create_run(
        self,
        experiment_id: str,
        start_time: int | None = None,
        tags: Mapping[str, Any] | None = None,
        run_name: str | None = None,
    ) -> Any:
        if self.other_start_ms is not None:
            start, self.other_start_ms = self.other_start_ms, None
            self.other = super().create_run(experiment_id, start, tags, run_name).info.run_id
        return super().create_run(experiment_id, start_time, tags, run_name)


@pytest.mark.parametrize(("other_start_ms", "is_other_kept"), [(900, True), (1100, False)])
def test_of_two_that_are_made_at_once_both_processes_keep_the_older(other_start_ms: int, is_other_kept: bool) -> None:
    client: Any = MadeAtOnce(other_start_ms)
    home = client.create_experiment(EXPERIMENT.dataset)

    kept = parent_of_fold(client, home, tags_of("fold_0"), 1000)

    assert (kept == client.other) == is_other_kept
    assert parent_of_fold(client, home, tags_of("fold_1"), 1000) == kept  # whoever looks later, too
    # A process deletes what it made itself, and nothing else.
    assert len(summary_runs(client, home)) == (1 if is_other_kept else 2)


def test_five_folds_that_begin_at_once_are_below_one_run_when_they_are_summarized(
    client: Any, home: str, destination: Destination
) -> None:
    runs = [client.create_run(home, 1000, tags_of(f"fold_{k}")).info.run_id for k in range(5)]
    ready = threading.Barrier(5)

    def begin(k: int) -> None:
        ready.wait()
        client.set_tag(runs[k], PARENT, parent_of_fold(client, home, tags_of(f"fold_{k}"), 1000 - k))

    threads = [threading.Thread(target=begin, args=(k,)) for k in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    summary = bring_up_to_date(destination, summary_run(EXPERIMENT).showing({"dice_mean_pooled": 0.8})).known_id()

    assert {client.get_run(run_id).data.tags[PARENT] for run_id in runs} == {summary}


def test_runs_of_an_earlier_version_are_moved_and_those_of_others_are_not(
    client: Any, home: str, destination: Destination
) -> None:
    plain = Experiment(EXPERIMENT.dataset, EXPERIMENT.configuration)
    ours = client.create_run(home, 1000, tags_of("fold_0")).info.run_id
    others = client.create_run(home, 1000, tags_of("fold_0", plain)).info.run_id

    summary = bring_up_to_date(destination, summary_run(EXPERIMENT).showing({"dice_mean_pooled": 0.8})).known_id()

    assert client.get_run(ours).data.tags[PARENT] == summary
    assert PARENT not in client.get_run(others).data.tags


@pytest.mark.parametrize(
    ("experiment", "name"),
    [
        (Experiment("Dataset001_A", "3d_fullres"), "3d_fullres cv"),
        (Experiment("Dataset001_A", "3d_fullres", plans="nnUNetResEncUNetMPlans"), "ResEncUNetMPlans 3d_fullres cv"),
        (Experiment("Dataset001_A", "2d", trainer="nnUNetTrainer_5epochs"), "Trainer_5epochs 2d cv"),
        (Experiment("Dataset001_A", "2d", variant="seed1"), "seed1 2d cv"),
        (Experiment("Dataset001_A", "2d", trainer="Mine", plans="own", variant="x"), "x own Mine 2d cv"),
    ],
)
def test_a_name_begins_with_what_tells_it_apart(experiment: Experiment, name: str) -> None:
    assert cross_validation_run_name(experiment) == name
    assert fold_run_name(experiment, "fold_3") == f"fold_3 {name.removesuffix(' cv')}"
