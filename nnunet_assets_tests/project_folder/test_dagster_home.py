from pathlib import Path

import dagster as dg
import pytest

from nnunet_assets.errors import ConfigError
from nnunet_assets.project_folder.dagster_home import count_gpus, ensure_instance
from nnunet_assets.project_folder.instance_state import pool_limit, set_pool_limit

pytestmark = pytest.mark.usefixtures("instances_made_by_dagster")


@pytest.fixture
def nvidia_smi(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A driver's program in the path, whose output and exit a test writes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    program = folder / "nvidia-smi"
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return program


def script(program: Path, text: str) -> None:
    program.write_text(f"#!/bin/sh\n{text}\n")
    program.chmod(0o755)


TWO_GPUS = (
    "echo 'GPU 0: NVIDIA A100 (UUID: GPU-a)'; echo '  MIG 1g.5gb Device 0: (UUID: MIG-b)'; echo 'GPU 1: NVIDIA A100'"
)


@pytest.mark.parametrize(
    ("visible", "n"),
    [(None, 2), ("", 0), ("-1", 0), ("1", 1), ("0,1", 2), ("0,1,2,3", 2), ("GPU-a", 1), ("0,-1,1", 1)],
)
def test_gpus_are_those_of_the_driver_that_are_visible(nvidia_smi: Path, visible: str | None, n: int) -> None:
    script(nvidia_smi, TWO_GPUS)

    assert count_gpus({} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}) == n


def test_there_are_no_gpus_without_a_driver_or_with_a_broken_one(nvidia_smi: Path) -> None:
    assert count_gpus({}) == 0
    script(nvidia_smi, "echo 'NVIDIA-SMI has failed because it could not communicate with the driver'; exit 9")
    assert count_gpus({}) == 0


def test_an_instance_gets_settings_and_a_slot_for_each_gpu(tmp_path: Path, nvidia_smi: Path) -> None:
    script(nvidia_smi, TWO_GPUS)

    home = ensure_instance(tmp_path)

    assert home == tmp_path / ".dagster"
    assert pool_limit(tmp_path) == 2

    from dagster import DagsterInstance

    with DagsterInstance.from_config(str(home)) as instance:
        assert not instance.telemetry_enabled
        assert not instance.nux_enabled  # the dialog that asks for an e-mail address
        assert instance.run_monitoring_enabled
        assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 1)
        assert not instance.run_retries_retry_on_asset_or_op_failure
        pools = instance.get_concurrency_config().pool_config
        assert pools.default_pool_limit == 1
        assert instance.get_concurrency_config().run_queue_config.max_concurrent_runs == 10


def test_what_the_user_changed_in_the_instance_stays(tmp_path: Path, nvidia_smi: Path) -> None:
    ensure_instance(tmp_path)
    edited = "telemetry: {enabled: false}\n"
    (tmp_path / ".dagster" / "dagster.yaml").write_text(edited)
    set_pool_limit(tmp_path, 3)
    script(nvidia_smi, TWO_GPUS)

    ensure_instance(tmp_path)

    assert (tmp_path / ".dagster" / "dagster.yaml").read_text() == edited
    assert pool_limit(tmp_path) == 3


@dg.op
def finds_bad_data() -> None:
    raise dg.Failure("bad data")


@dg.job
def training() -> None:
    finds_bad_data()


def test_a_run_starts_again_once_where_its_process_died_and_not_where_an_asset_failed(tmp_path: Path) -> None:
    with dg.DagsterInstance.from_config(str(ensure_instance(tmp_path))) as instance:

        def will_start_again(run_id: str) -> str:
            run = instance.get_run_by_id(run_id)
            assert run
            return run.tags["dagster/will_retry"]

        failed = training.execute_in_process(instance=instance, raise_on_error=False)
        assert will_start_again(failed.run_id) == "false"

        dead = instance.add_run(dg.DagsterRun("training", status=dg.DagsterRunStatus.STARTED))
        instance.report_run_failed(dead)
        assert will_start_again(dead.run_id) == "true"

        again = dg.DagsterRun(
            "training",
            status=dg.DagsterRunStatus.STARTED,
            root_run_id=dead.run_id,
            parent_run_id=dead.run_id,
            tags={"dagster/root_run_id": dead.run_id, "dagster/parent_run_id": dead.run_id},
        )
        instance.report_run_failed(instance.add_run(again))
        assert will_start_again(again.run_id) == "false"


@pytest.mark.parametrize("target", ["dagster.yaml", "nowhere"])
def test_a_link_to_nowhere_in_place_of_the_settings_is_named_and_stays(tmp_path: Path, target: str) -> None:
    (tmp_path / ".dagster").mkdir()
    (tmp_path / ".dagster" / "dagster.yaml").symlink_to(target)
    with pytest.raises(ConfigError, match=r"dagster\.yaml is a link that leads nowhere"):
        ensure_instance(tmp_path)
    assert (tmp_path / ".dagster" / "dagster.yaml").readlink() == Path(target)
