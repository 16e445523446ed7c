"""BatchNorm's running statistics, made anew of training batches as the weights stand.

While a network trains, its running statistics are an average over weights that are gone. With small batches that is far
off what a validation needs; passes through the network as it is, in full precision, make them true.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch.nn.modules.batchnorm import _BatchNorm


def batch_norms(network: torch.nn.Module) -> list[_BatchNorm]:
    """Returns the layers of a network that have running statistics."""
    layers = [module for module in network.modules() if isinstance(module, _BatchNorm)]
    return [layer for layer in layers if layer.track_running_stats]


@contextmanager
def fresh_statistics(network: torch.nn.Module) -> Iterator[None]:
    """Forgets the running statistics; each pass inside counts alike, and nothing else of the network changes.

    Args:
        network: With BatchNorm. Its modes are afterwards as they were before.
    """
    layers = batch_norms(network)
    modes = [(module, module.training) for module in network.modules()]
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for the mean of all passes
        layer.train()
    try:
        with torch.no_grad():
            yield
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        for module, mode in modes:
            module.training = mode
