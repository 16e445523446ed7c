"""A Dagster run of a fold that a cluster's job trains: its log, its metadata, and what MLflow is told."""

from pathlib import Path

import dagster as dg
import pytest

from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.engines import job_engine, left_job, named
from nnunet_assets.engines.job_files import open_record
from nnunet_assets.engines.patience import Patience
from nnunet_assets_tests.assets.graphs import declared, graph, materialized
from nnunet_assets_tests.fakes.job_queue import FakeQueue
from nnunet_assets_tests.prepared_builders import DATASET, write_prepared


def test_a_run_on_a_login_node_shows_the_job_its_epochs_and_where_it_ran(
    project: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    roots, _ = write_prepared(project / "data")
    for name, value in roots.environment().items():
        monkeypatch.setenv(name, value)
    (project / "engine.yaml").write_text("kind: slurm\ncpus: 4\npartition: gpu\n")
    queue = FakeQueue(roots.preprocessed)
    for module in (named, left_job):
        monkeypatch.setattr(module, "queue_named", lambda *_: queue)
    monkeypatch.setattr(
        job_engine, "Patience", lambda: Patience(poll=0.01, first_look=0.01, look=0.01, running_look=0.01)
    )
    asked: list[Path] = []
    monkeypatch.setattr(left_job, "open_record", lambda folder: (asked.append(folder), open_record(folder))[1])
    config = ExperimentConfig(dataset=DATASET, configuration="3d_fullres", device="cpu")
    assets = graph(declared([DatasetConfig(dataset=DATASET, folds=2)], [config]))

    result = materialized(assets, "fold_model", folder=project, instance=instance, partition="fold_0")

    assert result.success
    assert len(asked) == 1, "whether another job trains the fold is asked once on the way to it"
    key = fold_model_key(Experiment(DATASET, "3d_fullres"))
    (event,) = [one for one in result.get_asset_materialization_events() if one.asset_key == key]
    metadata = event.materialization.metadata
    assert metadata["job"].value == "slurm 1 on n1"
    assert metadata["job_requested"].value == {"gpus": 0, "cpus": 4, "partition": "gpu"}
    tags = instance.get_run_by_id(result.run_id).tags
    assert (tags["nnunet_assets/job"], tags["nnunet_assets/job_state"]) == ("1", "RUNNING on n1")
    log = [record.user_message for record in instance.all_logs(result.run_id)]
    assert any(line.startswith("Slurm has the job 1 ") for line in log)
    assert any(line.startswith("Epoch 2 (3 of 3): ") for line in log)
    assert not list((project / "data").rglob("*pipes*"))
