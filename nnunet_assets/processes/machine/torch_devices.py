"""The devices that torch finds, asked in a process of its own: its import takes seconds, and a broken one may crash."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass

from nnunet_assets.errors import DeviceError
from nnunet_assets.processes.interpreter import python_command, with_safe_imports
from nnunet_assets.processes.machine.device_lease import refuse_too_few, usable_gpus

_PROBE = """
import json, torch
gpus = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
print(json.dumps([torch.__version__, gpus, torch.backends.mps.is_available()]))
"""
_SECONDS = 300


@dataclass(frozen=True)
class TorchDevices:
    """What torch finds.

    Attributes:
        version: Torch's own.
        gpus: Models of the CUDA devices.
        has_mps: Whether there is Apple's GPU.
    """

    version: str
    gpus: tuple[str, ...]
    has_mps: bool

    @property
    def kinds(self) -> list[str]:
        """What a fold may be told to train on."""
        return [*(["cuda"] if self.gpus else []), *(["mps"] if self.has_mps else []), "cpu"]


def torch_devices(variables: Mapping[str, str]) -> TorchDevices | None:
    """Returns what torch finds in this environment; None: it cannot be asked, and whoever needs it says why."""
    try:
        probe = subprocess.run(
            python_command("-c", _PROBE),
            env=with_safe_imports(variables),
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
        )
        version, gpus, has_mps = json.loads(probe.stdout.splitlines()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None
    return TorchDevices(version, tuple(gpus), has_mps)


def check_device(device: str, n_gpus: int, variables: Mapping[str, str]) -> None:
    """Passes where a fold finds what it is to train on, before hours of work for it.

    Args:
        device: `auto`, `cuda`, `cpu` or `mps`; the first and the third are always there.
        n_gpus: How many GPUs it uses together.
        variables: The environment that it will have.

    Raises:
        DeviceError: It does not.
    """
    if device in ("auto", "cuda") and n_gpus > 1 and (gpus := usable_gpus(variables)):
        refuse_too_few(gpus, n_gpus)
    if device not in ("cuda", "mps") and n_gpus == 1:
        return
    if (found := torch_devices(variables)) is None:
        return
    if n_gpus > 1 and n_gpus > len(found.gpus):
        raise DeviceError(
            f"The fold is to use {n_gpus} GPUs, and torch {found.version} finds {len(found.gpus)}. Set num_gpus to "
            "what there is, or install a torch build and driver for cuda."
        )
    if device in ("cuda", "mps") and device not in found.kinds:
        raise DeviceError(missing_device(device, found.version, found.kinds))


def missing_device(wanted: str, version: str, found: list[str]) -> str:
    """Returns what refuses a device that torch does not find."""
    return (
        f"Device {wanted!r} was asked for, but torch {version} finds only: {', '.join(found)}. Set `device: auto` or "
        f"another device in the experiment, leave `-device` out, or install a torch build and driver for {wanted}."
    )
