"""On which engine a fold trains, as it is declared when the run starts."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.engines import local, named
from nnunet_assets.engines.job_engine import JobEngine
from nnunet_assets.engines.local import LOCAL
from nnunet_assets.engines.ray_cluster.queue import RayQueue
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.fold.chosen_engine import chosen_engine, is_trained_here

DECLARED = {"dataset": "Dataset004_Hippocampus", "configuration": "2d"}


def test_it_is_this_machine_unless_something_else_is_declared(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {})
    found = chosen_engine(settings, ExperimentConfig.model_validate(DECLARED))
    assert found is LOCAL
    assert is_trained_here(found)
    assert isinstance(found, local.LocalEngine)


def test_the_file_is_read_when_the_run_starts_and_an_experiment_may_stay_here(tmp_path: Path) -> None:
    settings, config = Settings.from_environment(tmp_path, {}), ExperimentConfig.model_validate(DECLARED)
    (tmp_path / "engine.yaml").write_text("kind: slurm\ncpus: 4\n")
    found = chosen_engine(settings, config)
    assert isinstance(found, JobEngine)
    assert (found.name, found.resources.cpus, found.resources.gpus) == ("slurm", 4, 1)
    assert not is_trained_here(found)
    on_cpu = chosen_engine(settings, config, device="cpu")
    assert isinstance(on_cpu, JobEngine)
    assert on_cpu.resources.gpus == 0
    stays = ExperimentConfig.model_validate({**DECLARED, "engine": {"kind": "local"}})
    assert chosen_engine(settings, stays) is LOCAL


def test_how_ray_is_reached_is_known_to_its_driver_and_to_no_process_that_trains(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Mapping[str, str]] = []
    monkeypatch.setattr(named, "RayQueue", lambda variables: given.append(variables) or RayQueue(variables))
    reached = {"RAY_ADDRESS": "10.0.0.1:6379", "RAY_AUTH_TOKEN": "secret"}
    settings = Settings.from_environment(tmp_path, {**reached, "MLFLOW_TRACKING_PASSWORD": "secret"})
    (tmp_path / "engine.yaml").write_text("kind: ray\ncpus: 4\ngpus: 0.5\n")
    found = chosen_engine(settings, ExperimentConfig.model_validate(DECLARED))
    assert isinstance(found, JobEngine)
    assert (found.name, found.resources.gpus) == ("ray", 0.5)
    assert reached.items() <= given[0].items()
    assert "MLFLOW_TRACKING_PASSWORD" not in given[0]
    assert not reached.keys() & settings.child_environment().keys()


def test_a_file_that_is_wrong_ends_the_run_before_anything_is_done(tmp_path: Path) -> None:
    (tmp_path / "engine.yaml").write_text("kind: pbs\n")
    config = ExperimentConfig.model_validate(DECLARED)
    with pytest.raises(ConfigError, match=r"engine\.yaml:1: kind: pbs is not allowed"):
        chosen_engine(Settings.from_environment(tmp_path, {}), config)
    assert config.identity == Experiment("Dataset004_Hippocampus", "2d")
