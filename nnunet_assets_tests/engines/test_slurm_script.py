"""What `sbatch` is called with."""

from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.job_queue import JobOrder
from nnunet_assets.engines.slurm_script import sbatch_arguments

ORDER = JobOrder("nnunet_assets-abc", Path("/data/fold_0/jobs/abc"), Resources())


def test_what_is_declared_becomes_arguments_and_what_is_not_is_left_to_the_cluster() -> None:
    plain = sbatch_arguments(ORDER)
    assert plain[-1] == "/data/fold_0/jobs/abc/job.sh"
    assert {"--hold", "--no-requeue", "--export=NONE", "--gres=gpu:1", "--signal=B:USR1@300"} <= set(plain)
    assert not [one for one in plain if one.startswith(("--mem", "--cpus", "--time", "--partition", "--account"))]
    asked = Resources(2, "a100", 12, 60.5, 90, "gpu", "radiology", ("--qos=long", "--exclude=n[1,3]"))
    given_ = sbatch_arguments(replace(ORDER, resources=asked))
    assert {"--gres=gpu:a100:2", "--cpus-per-task=12", "--mem=61952M", "--time=90", "--partition=gpu"} <= set(given_)
    assert {"--account=radiology", "--qos=long", "--exclude=n[1,3]"} <= set(given_)


@pytest.mark.parametrize(("minutes", "seconds"), [(1, 15), (2, 30), (20, 300), (1440, 300), (None, 300)])
def test_a_short_job_is_warned_later(minutes: int | None, seconds: int) -> None:
    asked = replace(ORDER, resources=Resources(time_limit_minutes=minutes))
    assert f"--signal=B:USR1@{seconds}" in sbatch_arguments(asked)


def test_without_gpus_none_is_asked_for() -> None:
    assert not [one for one in sbatch_arguments(replace(ORDER, resources=Resources(gpus=0))) if "gpu" in one]


def test_slurms_own_patterns_in_a_path_are_no_patterns() -> None:
    odd = replace(ORDER, folder=Path("/data/100%j/abc"))
    assert "--output=/data/100%%j/abc/job.log" in sbatch_arguments(odd)
