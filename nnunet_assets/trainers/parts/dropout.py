"""Dropout that leaves the names of the weights as they are, so that nnU-Net loads them into its own network.

nnU-Net's blocks take dropout as a layer of their own, and with it the names of the layers behind it change: whoever
predicts would have to know of it, though dropout does nothing then.
"""

from typing import Any

import torch
from dynamic_network_architectures.building_blocks.simple_conv_blocks import ConvDropoutNormReLU
from torch.nn import functional

_BY_AXES = {3: functional.dropout1d, 4: functional.dropout2d, 5: functional.dropout3d}


def add_dropout(network: torch.nn.Module, rate: float) -> int:
    """Drops whole feature maps behind each convolution of a network's blocks, before they are normalized.

    Args:
        network: nnU-Net's, compiled or not; nothing has gone through it yet.
        rate: How likely a map is dropped, from 0 to 1, without 1.

    Returns:
        Behind how many convolutions.

    Raises:
        ValueError: The network is not built of nnU-Net's blocks, or has dropout already.
    """
    blocks = [module for module in network.modules() if isinstance(module, ConvDropoutNormReLU)]
    if not blocks:
        raise ValueError("dropout_rate needs a network of nnU-Net's convolution blocks; this one has none of them.")
    if any(hasattr(block, "dropout") for block in blocks):
        raise ValueError("The plans have dropout already (dropout_op). Leave dropout_rate out, or use other plans.")

    def drop(convolution: torch.nn.Module, _: Any, maps: torch.Tensor) -> torch.Tensor:
        return _BY_AXES[maps.ndim](maps, rate, training=convolution.training)

    for block in blocks:
        block.conv.register_forward_hook(drop)
    return len(blocks)
