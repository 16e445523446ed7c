"""Samples of the machine, of real processes and of what stands for nvidia-smi."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from nnunet_assets.core.fold.journal import Record, append_record, read_records
from nnunet_assets.processes.machine import fold_samples
from nnunet_assets.processes.machine.fold_samples import SystemSampler, gpu_sample, parse_gpus, system_path
from nnunet_assets.tracking.fold.fold_tracker import send_waiting
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets_tests.tracking.folds import Tracked, start, tracker, train, wait_until
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port

pytestmark = MLFLOW_WARNINGS


@pytest.fixture
def fold(tmp_path: Path) -> Path:
    return tmp_path / "fold_0"


@contextmanager
def busy_child() -> Iterator[None]:
    """A process that computes, with 50 MB in its hands."""
    code = "held = b'x' * 50_000_000\nwhile True: pass"
    child = subprocess.Popen([sys.executable, "-c", code])
    try:
        yield
    finally:
        child.kill()
        child.wait()


def samples(fold: Path) -> list[Record]:
    return list(read_records(system_path(fold)))


def write_nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    folder.mkdir()
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")


def test_the_processes_of_the_fold_are_sampled_and_reach_its_run(uri: str, fold: Path, tmp_path: Path) -> None:
    with tracker(uri, fold) as following:
        with busy_child(), SystemSampler(fold, 0, seconds=0.1):
            start(fold)
            wait_until(lambda: len(samples(fold)) >= 3 and samples(fold)[-1].values["system/cpu_percent"] > 10)
            held = sum(process.memory_full_info().pss for process in psutil.Process().children(recursive=True))
        train(fold, 0, 0)
        report = following.finish("FINISHED")
    taken = samples(fold)
    assert report.problem is None
    assert 50_000_000 < taken[-1].values["system/memory_used_bytes"] == pytest.approx(held, rel=0.1)
    tracked = Tracked(uri, tmp_path)
    sent = tracked.history("system/memory_used_bytes")
    assert sent == [(number, record.values["system/memory_used_bytes"]) for number, record in enumerate(taken)]
    # They are no records of the journal: its start and one epoch.
    assert report.n_sent == 2


def test_a_fold_that_trains_for_less_than_two_samples_has_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fold_samples, "LOOK_SECONDS", 0.1)

    def percent(fold: Path) -> float:
        with busy_child(), SystemSampler(fold, 0, seconds=600.0):
            start(fold)
            wait_until(lambda: len(samples(fold)) >= 1)
        (taken,) = samples(fold)
        return float(taken.values["system/cpu_percent"])

    # In a tenth of a second of a crowded machine one of them may get no turn.
    assert any(percent(tmp_path / f"fold_{number}") > 10 for number in range(10))


def test_samples_of_an_outage_are_sent_later_and_once(uri: str, fold: Path, tmp_path: Path) -> None:
    with tracker(f"http://127.0.0.1:{free_port()}", fold) as following:
        start(fold)
        for number in range(3):
            append_record(system_path(fold), "epoch", {"system/cpu_percent": 100.0 * number}, epoch=number)
        assert not following.finish("FINISHED", timeout_seconds=0.1).is_done
    for _ in range(2):
        assert send_waiting(Destination(uri, tmp_path / "artifacts"), fold).is_done
    assert Tracked(uri, tmp_path).history("system/cpu_percent") == [(0, 0.0), (1, 100.0), (2, 200.0)]


def test_a_resumed_fold_goes_on_counting_and_what_a_crash_tore_is_cut_off(fold: Path) -> None:
    start(fold)
    append_record(system_path(fold), "epoch", {"system/cpu_percent": 1.0}, epoch=0)
    with system_path(fold).open("ab") as file:
        file.write(b"deadbeef {")
    with SystemSampler(fold, 0, seconds=0.05):
        train(fold, 0, 0)
        wait_until(lambda: len(samples(fold)) >= 2)
    assert [record.epoch for record in samples(fold)] == list(range(len(samples(fold))))


def test_a_fold_whose_journal_rests_has_no_samples(fold: Path) -> None:
    start(fold)
    with SystemSampler(fold, 0, seconds=0.01):
        threading.Event().wait(0.2)
    assert not system_path(fold).exists()


def test_a_fold_that_never_began_gets_no_folder(fold: Path) -> None:
    with SystemSampler(fold, 0, seconds=0.01):
        threading.Event().wait(0.1)
    assert not fold.exists()


def test_sampling_ends_with_its_block(fold: Path) -> None:
    before = threading.active_count()
    with SystemSampler(fold, 0):
        assert threading.active_count() == before + 1
    assert threading.active_count() == before


def test_memory_and_power_of_several_gpus_are_added_and_their_utilization_averaged() -> None:
    assert parse_gpus("1024, 90, 300.5\n2048, 50, 200.0\n") == {
        "system/gpu_memory_used_bytes": 3072 * 1024**2,
        "system/gpu_utilization_percent": 70.0,
        "system/gpu_power_watts": 500.5,
    }


@pytest.mark.parametrize(
    ("answer", "series"),
    [
        ("1024, [N/A], [N/A]\n", {"system/gpu_memory_used_bytes"}),
        ("No devices were found\n", set()),
        ("", set()),
    ],
)
def test_what_a_gpu_does_not_know_is_missing_and_not_0(answer: str, series: set[str]) -> None:
    assert set(parse_gpus(answer)) == series


def test_the_gpus_of_the_fold_are_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nvidia_smi(tmp_path / "bin", monkeypatch, f'echo "$@" > {tmp_path}/asked; echo "1, 2, 3"')
    assert gpu_sample(["1", "3"])["system/gpu_power_watts"] == 3.0
    assert (tmp_path / "asked").read_text().split() == [
        "--id=1,3",
        "--query-gpu=memory.used,utilization.gpu,power.draw",
        "--format=csv,noheader,nounits",
    ]


def test_the_fold_s_process_says_which_gpus_it_sees(
    fold: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_nvidia_smi(tmp_path / "bin", monkeypatch, f'echo "$1" >> {tmp_path}/asked; echo "1, 2, 3"')
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,6,7")
    with busy_child(), SystemSampler(fold, 2, seconds=0.05):
        start(fold)
        wait_until(lambda: len(samples(fold)) >= 1)
    assert (tmp_path / "asked").read_text().splitlines()[0] == "--id=4,6"


def test_an_nvidia_smi_that_fails_costs_only_its_series(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_nvidia_smi(tmp_path / "bin", monkeypatch, "echo no driver; exit 9")
    assert gpu_sample(["0"]) == {}
    monkeypatch.setenv("PATH", str(tmp_path))
    assert gpu_sample(["0"]) == {}
