"""Which device a fold trains on. Runs in the fold's process, where torch is loaded."""

from typing import TYPE_CHECKING

from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.machine.torch_devices import missing_device

if TYPE_CHECKING:
    import torch


def resolve_device(wanted: str) -> "torch.device":
    """Returns the `torch.device` for `auto`, `cuda`, `cpu` or `mps`, with torch set up as nnU-Net sets it up for a GPU.

    Raises:
        ChildFailure: The device asked for is not there; nothing falls back to the CPU in silence.
    """
    import torch

    there = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if wanted != "auto" and not there[wanted]:
        found = [name for name, is_there in there.items() if is_there]
        raise ChildFailure(ExitCode.BAD_INPUT, missing_device(wanted, torch.__version__, found))
    name = wanted if wanted != "auto" else next(name for name in ("cuda", "mps", "cpu") if there[name])
    if name == "cuda":
        torch.set_num_threads(1)
        torch.backends.cudnn.benchmark = True
    return torch.device(name)


def compute_repeatably() -> None:
    """Has a GPU compute by the algorithms that every process takes, in place of the fastest that this one measures.

    Two processes may measure differently, and two algorithms add in another order. After nnU-Net's predictors are made,
    each of which asks for the fastest; a CPU computes as before.
    """
    import torch

    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True


def device_name(device: "torch.device") -> str:
    """Returns what a person calls the device: the GPU's model, `cpu` or `mps`."""
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device.type)
