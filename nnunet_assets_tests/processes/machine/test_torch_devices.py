"""A device that is not there is refused before work is done for it."""

import pytest

from nnunet_assets.errors import DeviceError
from nnunet_assets.processes.machine import torch_devices as module
from nnunet_assets.processes.machine.device_lease import Gpu
from nnunet_assets.processes.machine.torch_devices import TorchDevices, check_device, torch_devices

NOTHING, TWO = TorchDevices("2.0", (), has_mps=False), TorchDevices("2.0", ("A100", "A100"), has_mps=False)


@pytest.fixture(autouse=True)
def driver(monkeypatch: pytest.MonkeyPatch) -> list[Gpu]:
    """The GPUs that the driver names."""
    gpus: list[Gpu] = []
    monkeypatch.setattr(module, "usable_gpus", lambda _: gpus)
    return gpus


@pytest.mark.parametrize(
    ("found", "device", "n_gpus", "sentence"),
    [
        (NOTHING, "cuda", 1, "Device 'cuda' was asked for, but torch 2.0 finds only: cpu."),
        (TWO, "mps", 1, "Device 'mps' was asked for, but torch 2.0 finds only: cuda, cpu."),
        (TWO, "cuda", 3, "The fold is to use 3 GPUs, and torch 2.0 finds 2."),
        (NOTHING, "auto", 2, "The fold is to use 2 GPUs, and torch 2.0 finds 0."),
    ],
)
def test_what_torch_does_not_find_is_refused(
    monkeypatch: pytest.MonkeyPatch, found: TorchDevices, device: str, n_gpus: int, sentence: str
) -> None:
    monkeypatch.setattr(module, "torch_devices", lambda _: found)
    with pytest.raises(DeviceError) as refused:
        check_device(device, n_gpus, {})
    assert str(refused.value).startswith(sentence)


def test_more_gpus_than_the_driver_has_are_refused_without_torch(
    monkeypatch: pytest.MonkeyPatch, driver: list[Gpu]
) -> None:
    monkeypatch.setattr(module, "torch_devices", lambda _: pytest.fail("torch takes seconds"))
    driver.append(Gpu("0", "GPU-0", None, None))
    with pytest.raises(DeviceError, match="The fold is to use 2 GPUs, and there are 1: GPU 0"):
        check_device("cuda", 2, {})


def test_what_is_always_there_costs_nothing_and_what_is_there_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "torch_devices", lambda _: TWO)
    check_device("cuda", 2, {})
    monkeypatch.setattr(module, "torch_devices", lambda _: pytest.fail("torch takes seconds"))
    check_device("auto", 1, {})
    check_device("cpu", 1, {})


def test_a_torch_that_cannot_be_asked_is_no_refusal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PROBE", "raise ImportError")
    assert torch_devices({}) is None
    check_device("cuda", 1, {})
    monkeypatch.setattr(module, "_PROBE", "print('a warning'); print('[\"2.0\", [\"A100\"], false]')")
    assert torch_devices({}) == TorchDevices("2.0", ("A100",), has_mps=False)
