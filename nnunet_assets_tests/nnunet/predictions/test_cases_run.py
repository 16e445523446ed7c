"""Cases shared out to devices: no GPU and no child is there, all else is real."""

import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.nnunet.predictions import cases_run
from nnunet_assets.nnunet.predictions.cases_run import CasesRun, run_cases
from nnunet_assets.nnunet.predictions.prediction_request import CaseToPredict, PredictionFlags, PredictionRequest
from nnunet_assets.processes.child import ChildResult
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.machine.device_lease import DeviceLease, Gpu
from nnunet_assets.processes.variables import EXPORT
from nnunet_assets.processes.workers import usable_cpus
from nnunet_assets_tests.raw_builders import write_json
from nnunet_assets_tests.recorded_progress import RecordedProgress


class Devices:
    """GPUs that can be busy, and children that predict each case by making its file."""

    def __init__(self, n: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.gpus = [Gpu(str(index), f"GPU-{index}", None, None) for index in range(n)]
        self.free = {gpu.uuid: threading.Lock() for gpu in self.gpus}
        self.predicted: dict[str, list[list[str]]] = {}
        self.environments: list[Mapping[str, str]] = []
        self.fails: set[str] = set()
        monkeypatch.setattr(cases_run, "usable_gpus", lambda _: self.gpus)
        monkeypatch.setattr(cases_run, "device_lease", self.lease)
        monkeypatch.setattr(cases_run, "run_child", self.run_child)
        monkeypatch.setattr(cases_run, "POLL_SECONDS", 0.01)

    @contextmanager
    def lease(self, device: str, environment: Mapping[str, str], *, progress: Any, **_: Any) -> Iterator[DeviceLease]:
        while True:
            for gpu in self.gpus:
                if self.free[gpu.uuid].acquire(blocking=False):
                    try:
                        yield DeviceLease([gpu], 1, {"CUDA_VISIBLE_DEVICES": gpu.uuid})
                    finally:
                        self.free[gpu.uuid].release()
                    return
            if not self.gpus:
                yield DeviceLease([], 1, {"OMP_NUM_THREADS": "1"})
                return
            progress.poll()
            time.sleep(0.01)

    def run_child(
        self, module: str, request: PredictionRequest, *, environment: Mapping[str, str], on_poll: Any, **_: Any
    ) -> ChildResult:
        uuid = environment.get("CUDA_VISIBLE_DEVICES", "cpu")
        self.environments.append(environment)
        self.predicted.setdefault(uuid, []).append([case.name for case in request.cases])
        write_json(request.work_folder / "device.json", {"device": f"model of {uuid}"})
        for case in request.cases:
            if uuid in self.fails:
                time.sleep(0.1)  # the other device has begun by then
                return ChildResult(ExitCode.OUT_OF_GPU_MEMORY, f"{uuid} ran out of memory.", "the end")
            time.sleep(0.01)
            case.file.touch()
            on_poll()
        return ChildResult(ExitCode.DONE, None, "")


def request_of(folder: Path, n_cases: int, device: str = "auto") -> PredictionRequest:
    cases = (
        CaseToPredict(f"case_{index}", (), (), folder / f"part_{index}", folder / f"case_{index}")
        for index in range(n_cases)
    )
    return PredictionRequest((), (), PredictionFlags(), device, folder / "work", tuple(cases))


@pytest.mark.parametrize(("own", "policy"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_on_a_cpu_threads_that_wait_leave_the_processors_to_others_unless_the_user_wants_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, own: dict[str, str], policy: str
) -> None:
    devices = Devices(0, monkeypatch)
    run_cases(CasesRun(request_of(tmp_path, 2, "cpu"), own), RecordedProgress())
    assert [one["OMP_WAIT_POLICY"] for one in devices.environments] == [policy]


def test_each_device_predicts_its_part_and_no_case_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices, progress = Devices(3, monkeypatch), RecordedProgress()
    end = run_cases(CasesRun(request_of(tmp_path, 10), {}), progress)

    parts = [part for parts in devices.predicted.values() for part in parts]
    assert sorted(case for part in parts for case in part) == sorted(f"case_{index}" for index in range(10))
    assert [len(part) for part in sorted(parts, key=len)] == [3, 3, 4]
    assert (end.problem, sorted(end.devices)) == (None, [f"model of GPU-{index}" for index in range(3)])
    assert progress.steps[0] == ("cases predicted", 0, 10)
    assert progress.steps[-1] == ("cases predicted", 10, 10)


def test_a_gpu_that_others_use_leaves_its_part_to_those_that_are_free(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = Devices(2, monkeypatch)
    with devices.free["GPU-1"]:
        end = run_cases(CasesRun(request_of(tmp_path, 8), {}), RecordedProgress())
    assert end.problem is None
    assert set(devices.predicted) == {"GPU-0"}
    assert sum(map(len, devices.predicted["GPU-0"])) == 8


def test_what_a_device_could_not_predict_is_a_problem_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    devices = Devices(2, monkeypatch)
    devices.fails = {"GPU-0"}
    run = CasesRun(request_of(tmp_path, 6), {})
    end = run_cases(run, RecordedProgress())
    assert end.problem == "GPU-0 ran out of memory."
    assert end.code == ExitCode.OUT_OF_GPU_MEMORY
    assert len(run.missing) == len(devices.predicted["GPU-0"][0])
    assert run.n_done == 6 - len(run.missing) > 0


def test_an_interrupt_ends_every_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = Devices(2, monkeypatch)
    ended = []

    def forever(module: str, request: PredictionRequest, *, on_poll: Any, **_: Any) -> ChildResult:
        try:
            while True:
                on_poll()
                time.sleep(0.01)
        finally:
            ended.append(request.work_folder.name)

    monkeypatch.setattr(cases_run, "run_child", forever)

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_cases(CasesRun(request_of(tmp_path, 4), {}), RecordedProgress(), interrupt)
    assert sorted(ended) in (["device_0", "device_1"], ["device_0"], ["device_1"], [])
    assert not any(lock.locked() for lock in devices.free.values())


@pytest.mark.parametrize(("n_gpus", "n_cases", "n_wanted"), [(4, 2, 2), (4, 9, 2), (1, 5, 1)])
def test_no_more_devices_than_cases_or_wanted_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_gpus: int, n_cases: int, n_wanted: int
) -> None:
    devices = Devices(n_gpus, monkeypatch)
    assert run_cases(CasesRun(request_of(tmp_path, n_cases), {}, n_wanted), RecordedProgress()).problem is None
    assert 1 <= len(devices.predicted) <= n_wanted


def test_on_a_cpu_one_child_computes_on_every_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    devices = Devices(0, monkeypatch)
    run_cases(CasesRun(request_of(tmp_path, 3, "cpu"), {}), RecordedProgress())
    assert list(devices.predicted) == ["cpu"]
    assert devices.environments[0][EXPORT] == str(min(8, usable_cpus()))  # nnUNetv2_predict takes 8 at most
    run_cases(CasesRun(request_of(tmp_path / "own", 1, "cpu"), {EXPORT: "3"}), RecordedProgress())
    assert devices.environments[1][EXPORT] == "3"
