"""The weights of a network and their gradients, copied at one moment for another thread to count."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

WEIGHTS, GRADIENTS = "weights/", "gradients/"


def copied_tensors(network: "torch.nn.Module") -> "dict[str, torch.Tensor]":
    """Returns copies on the host, by name, as the last step left them: gradients are clipped, as the step used them.

    Args:
        network: nnU-Net's, whatever wraps it.
    """
    for wrapped in ("module", "_orig_mod"):  # of distributed training, of torch.compile
        network = getattr(network, wrapped, network)
    copies: dict[str, torch.Tensor] = {}
    for name, weights in network.named_parameters():
        place = name.replace(".", "/")
        copies[f"{WEIGHTS}{place}"] = _copy(weights)
        if weights.grad is not None:
            copies[f"{GRADIENTS}{place}"] = _copy(weights.grad)
    return copies


def _copy(tensor: "torch.Tensor") -> "torch.Tensor":
    return tensor.detach().float().flatten().to("cpu", copy=True)
