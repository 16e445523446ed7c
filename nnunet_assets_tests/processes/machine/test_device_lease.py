"""Who gets which GPU: `nvidia-smi` is a program that prints what one printed."""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.errors import ConfigError, DeviceError
from nnunet_assets.processes.machine import device_lease as module
from nnunet_assets.processes.machine.device_lease import device_lease, usable_gpus
from nnunet_assets.processes.workers import usable_cpus, worker_variables
from nnunet_assets_tests.living_processes import living
from nnunet_assets_tests.recorded_progress import RecordedProgress

GIB = 1024**3
# index, UUID, free and total MiB
SMALL = "0, GPU-aaaa1111, 10240, 11264"
LARGE = "1, GPU-bbbb2222, 81000, 81920"
BUSY = "2, GPU-cccc3333, 4096, 81920"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a machine with these GPUs; returns the environment of a process on it."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)

    def with_gpus(*lines: Any, **variables: Any) -> Any:
        program = tmp_path / "bin" / "nvidia-smi"
        program.parent.mkdir(exist_ok=True)
        (tmp_path / "answer").write_text("".join(f"{line}\n" for line in lines))
        program.write_text(f"#!/bin/sh\nexec cat {tmp_path / 'answer'}\n")
        program.chmod(0o755)
        return {"PATH": f"{program.parent}:{os.environ['PATH']}", **variables}

    return with_gpus


def indices(gpus: Any) -> Any:
    return [gpu.index for gpu in gpus]


class Waited(Exception):  # noqa: N818
    """Ends a wait that would last for ever."""


def give_up() -> None:
    raise Waited


@pytest.mark.parametrize(
    ("visible", "chosen"),
    [
        (None, ["0", "1", "2"]),
        ("2,0", ["2", "0"]),
        ("GPU-bbbb", ["1"]),
        ("", []),
        ("-1", []),
        ("1,-1,0", ["1"]),
        ("7", []),
        ("MIG-1234", ["MIG-1234"]),
    ],
)
def test_the_user_says_which_gpus_there_are_to_choose_from(
    machine: Any, visible: str | None, chosen: list[Any]
) -> None:
    variables = {} if visible is None else {"CUDA_VISIBLE_DEVICES": visible}
    assert indices(usable_gpus(machine(SMALL, LARGE, BUSY, **variables))) == chosen


def test_a_gpu_that_is_lost_is_none_and_one_that_shares_the_memory_is_one(machine: Any) -> None:
    gpus = usable_gpus(
        machine("0, GPU-a, [GPU is lost], 81920", "1, GPU-b, [N/A], [N/A]", LARGE.replace("1,", "2,", 1))
    )
    assert indices(gpus) == ["1", "2"]
    assert [gpu.free_bytes for gpu in gpus] == [None, 81000 * 1024**2]


def test_without_nvidia_smi_there_is_no_gpu() -> None:
    assert usable_gpus({"PATH": "/nowhere"}) == []


def test_a_fold_takes_the_emptiest_gpu_and_the_next_fold_another(machine: Any) -> None:
    environment = machine(SMALL, LARGE)
    with device_lease("auto", environment) as first, device_lease("cuda", environment) as second:
        assert first.variables == {"CUDA_VISIBLE_DEVICES": "GPU-bbbb2222"}
        assert second.variables == {"CUDA_VISIBLE_DEVICES": "GPU-aaaa1111"}
    with device_lease("auto", environment) as again:
        assert indices(again.gpus) == ["1"]


def test_a_fold_waits_with_a_sentence_until_a_gpu_is_free(machine: Any) -> None:
    environment = machine(LARGE)
    said: list[str] = []
    with ExitStack() as other:
        other.enter_context(device_lease("auto", environment))
        with device_lease("auto", environment, progress=RecordedProgress(said.append, on_poll=other.close)) as lease:
            assert indices(lease.gpus) == ["1"]
    (sentence,) = said
    assert sentence.startswith("The fold waits for a GPU. Other folds or predictions use what there is")
    assert "GPU 1 (79.1 GiB free)" in sentence


def test_whoever_waits_is_named(machine: Any) -> None:
    environment = machine(LARGE)
    for what in ("The prediction", "The ensemble", "The round trip"):
        said: list[str] = []
        with ExitStack() as other:
            other.enter_context(device_lease("auto", environment))
            progress = RecordedProgress(said.append, on_poll=other.close)
            with device_lease("auto", environment, progress=progress, what=what):
                pass
        assert [sentence.partition(" for a GPU.")[0] for sentence in said] == [f"{what} waits"]


def test_folds_share_a_gpu_where_they_are_allowed_to_and_fit(machine: Any) -> None:
    environment = machine(LARGE, NNUNET_ASSETS_FOLDS_PER_GPU="2")
    with device_lease("auto", environment, needed_bytes=10 * GIB):
        machine("1, GPU-bbbb2222, 70000, 81920")
        with device_lease("auto", environment, needed_bytes=10 * GIB) as second:
            assert indices(second.gpus) == ["1"]
            with pytest.raises(Waited), device_lease("auto", environment, progress=RecordedProgress(on_poll=give_up)):
                pass
    with device_lease("auto", environment):
        machine("1, GPU-bbbb2222, 30000, 81920")  # less than half: the second would not fit either
        with pytest.raises(Waited), device_lease("auto", environment, progress=RecordedProgress(on_poll=give_up)):
            pass


def test_folds_spread_over_the_gpus_before_they_share_one(machine: Any) -> None:
    environment = machine(SMALL, LARGE, NNUNET_ASSETS_FOLDS_PER_GPU="2")
    with device_lease("auto", environment) as first, device_lease("auto", environment) as second:
        assert indices([*first.gpus, *second.gpus]) == ["1", "0"]


def test_a_gpu_that_others_fill_is_not_taken(machine: Any) -> None:
    said: list[str] = []
    with (
        pytest.raises(Waited),
        device_lease(
            "auto", machine(BUSY), needed_bytes=8 * GIB, progress=RecordedProgress(said.append, on_poll=give_up)
        ),
    ):
        pass
    assert said[0].startswith("The fold waits for a GPU with 8.0 GiB free, which an earlier fold used.")
    # No GPU of this machine could: then torch may say so.
    with device_lease("auto", machine(SMALL), needed_bytes=40 * GIB) as lease:
        assert indices(lease.gpus) == ["0"]


def test_a_fold_on_two_gpus_takes_both_or_none(machine: Any) -> None:
    environment = machine(SMALL, LARGE)
    with device_lease("cuda", environment, n_gpus=2) as lease:
        assert lease.variables == {"CUDA_VISIBLE_DEVICES": "GPU-bbbb2222,GPU-aaaa1111"}
    with device_lease("auto", environment) as one:
        with (
            pytest.raises(Waited),
            device_lease("cuda", environment, n_gpus=2, progress=RecordedProgress(on_poll=give_up)),
        ):
            pass
        with device_lease("auto", environment) as other:
            assert indices([*one.gpus, *other.gpus]) == ["1", "0"]
    with (
        pytest.raises(DeviceError, match="is to use 3 GPUs, and there are 2: GPU 0"),
        device_lease("cuda", environment, n_gpus=3),
    ):
        pass


HOLDER = """
import os, sys, tempfile, time
from nnunet_assets.processes.machine.device_lease import device_lease
tempfile.tempdir = sys.argv[1]
with device_lease("auto", dict(os.environ)):
    print("it holds the GPU", flush=True)
    time.sleep(600)
"""


def test_a_gpu_whose_owner_is_killed_is_free_at_once(machine: Any, tmp_path: Path) -> None:
    environment = machine(LARGE)
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, tmp_path], env={**os.environ, **environment}, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout.readline() == b"it holds the GPU\n"
        with pytest.raises(Waited), device_lease("auto", environment, progress=RecordedProgress(on_poll=give_up)):
            pass
        holder.kill()
        assert living([holder.pid]) == []
        with device_lease("auto", environment, progress=RecordedProgress(on_poll=give_up)) as lease:
            assert indices(lease.gpus) == ["1"]


def test_on_processors_alone_the_threads_are_divided_among_the_folds_that_run(
    machine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = machine()
    monkeypatch.setattr(module, "usable_cpus", lambda: 8)
    with device_lease("auto", environment) as first, device_lease("cpu", environment) as second:
        assert (first.n_sharing, first.variables) == (1, {"OMP_NUM_THREADS": "8"})
        assert (second.n_sharing, second.variables) == (2, {"OMP_NUM_THREADS": "4"})
    with device_lease("cpu", {**environment, "NNUNET_ASSETS_FOLDS_AT_ONCE": "5"}) as fifth:
        assert fifth.variables == {"OMP_NUM_THREADS": "1"}
    with device_lease("cpu", {**environment, "OMP_NUM_THREADS": "3"}) as own:
        assert own.variables == {}


@pytest.mark.parametrize("value", ["-1", "abc", "1.5", "1e1", "2 4", "+2", "0x2", "None", "½"])
@pytest.mark.parametrize("name", ["nnUNet_def_n_proc", "nnUNet_n_proc_DA"])
def test_a_number_of_workers_that_is_none_is_refused_by_name(name: str, value: str) -> None:
    with pytest.raises(ConfigError, match=rf"^{name} is {re.escape(repr(value))}, not a whole number of at least"):
        worker_variables({name: value})


def test_without_workers_a_training_augments_by_itself_and_nobody_would_export() -> None:
    assert worker_variables({"nnUNet_n_proc_DA": "0", "nnUNet_def_n_proc": ""})["nnUNet_n_proc_DA"] == "0"
    with pytest.raises(ConfigError, match="nnUNet_def_n_proc is '0', not a whole number of at least 1"):
        worker_variables({"nnUNet_def_n_proc": "0", "nnUNet_n_proc_DA": "0"})


def test_workers_are_divided_among_as_many_folds_as_the_gpus_hold(machine: Any) -> None:
    with device_lease("auto", machine(SMALL, LARGE, NNUNET_ASSETS_FOLDS_PER_GPU="2")) as lease:
        assert lease.n_sharing == 4
    assert worker_variables({}, 16, n_sharing=4) == {"nnUNet_def_n_proc": "2", "nnUNet_n_proc_DA": "3"}
    assert worker_variables({}, 1, n_sharing=4) == {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1"}
    own = {"nnUNet_n_proc_DA": "0", "nnUNet_def_n_proc": "12"}
    assert worker_variables(own, 2, n_sharing=4) == own
    assert worker_variables(own, 2, n_halvings=2) == {"nnUNet_n_proc_DA": "0", "nnUNet_def_n_proc": "3"}
    assert worker_variables({}, 8, n_halvings=9) == {"nnUNet_def_n_proc": "1", "nnUNet_n_proc_DA": "1"}
    assert usable_cpus() >= 1


@pytest.mark.parametrize("value", ["0", "two", "-1"])
def test_a_setting_that_is_no_number_is_an_error(machine: Any, value: str) -> None:
    with (
        pytest.raises(ConfigError, match=f"NNUNET_ASSETS_FOLDS_PER_GPU is '{value}', not a whole number of at least 1"),
        device_lease("auto", machine(LARGE, NNUNET_ASSETS_FOLDS_PER_GPU=value)),
    ):
        pass


def test_locks_of_somebody_else_are_not_trusted(machine: Any, tmp_path: Path) -> None:
    environment = machine()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / f"nnunet_assets-{os.getuid()}").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DeviceError, match="belongs to somebody else"), device_lease("cpu", environment):
        pass


@pytest.mark.skipif(shutil.which("nvidia-smi") is None, reason="nvidia-smi is not installed: no NVIDIA GPU here")
def test_the_real_nvidia_smi_is_understood() -> None:
    (gpu, *_) = usable_gpus(dict(os.environ))
    assert gpu.uuid.startswith("GPU-")
    assert 0 < gpu.free_bytes <= gpu.total_bytes
