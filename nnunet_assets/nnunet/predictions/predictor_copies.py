"""nnU-Net's predictor for several cases at once on the processors, each by a network of its own.

torch computes a small convolution on one processor, however many there are, and of a network that is made of these one
case after the other leaves the others idle. Each case has the threads, the kernels and the order of sums that it would
have alone, so its logits are the same, bit by bit. What that takes of the memory is bounded by the patch.
"""

from collections.abc import Sequence
from copy import copy, deepcopy
from math import prod
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    import torch

MOST_VOXELS = 64**3
"""Of a patch that is predicted beside others: of 32 features one takes 32 MiB, and the network holds a few. Larger ones
keep the processors busy (measured on two: 64 x 64 x 64 took 0.8 of the time by two networks, 96 x 96 x 96 0.9)."""


class PredictorCopies:
    """A predictor of one model, and its copies.

    Args:
        predictor: An `nnUNetPredictor`, with its weights.
    """

    def __init__(self, predictor: Any) -> None:
        self._predictor = predictor
        self._free: SimpleQueue[Any] = SimpleQueue()
        self._free.put(predictor)

    @property
    def may_be_several(self) -> bool:
        """Whether copies may make it faster: on a GPU they would wait for each other, and compile one by one."""
        is_compiled = hasattr(self._predictor.network, "_orig_mod")
        is_small = prod(self._predictor.configuration_manager.patch_size) <= MOST_VOXELS
        return self._predictor.device.type == "cpu" and is_small and not is_compiled

    def add(self, n: int) -> None:
        """Makes so many copies; they share the weights of the folds."""
        for _ in range(n):
            one = copy(self._predictor)
            one.network = deepcopy(self._predictor.network)
            self._free.put(one)

    def logits(self, data: "torch.Tensor") -> "np.ndarray":
        """Returns the mean over the folds, in the geometry of what was preprocessed; waits for a predictor."""
        predictor = self._free.get()
        try:
            logits: np.ndarray = predictor.predict_logits_from_preprocessed_data(data).cpu().numpy()
        finally:
            self._free.put(predictor)
        return logits


def predict_at_once(copies: Sequence[PredictorCopies], n_most: int) -> int:
    """Makes the copies by which several cases are predicted at once, and returns how many cases that may be.

    Args:
        copies: Of each member of a model, one of which may take a case while another takes the next.
        n_most: No more than so many.
    """
    n = n_most if all(one.may_be_several for one in copies) else 1
    for one in copies:
        one.add(n - 1)
    return n
