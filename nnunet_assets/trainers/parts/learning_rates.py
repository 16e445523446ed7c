"""Learning rates over a training: nnU-Net's own falls by epoch, these change with each iteration.

A rate follows from how many iterations are done and from nothing else, so that a training that is resumed has the same
one, and a checkpoint needs to hold nothing of it.
"""

import math
import warnings
from typing import Protocol

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR, LRScheduler, OneCycleLR


class Training(Protocol):
    """What of a trainer its learning rate depends on.

    Attributes:
        num_epochs: Of the whole training.
        num_iterations_per_epoch: Of the training, not of its validation.
        initial_lr: Where OneCycle begins, and cosine after its warm-up.
        max_lr: The peak of OneCycle; None: 25 times `initial_lr`, as in torch.
        warmup_epochs: Over so many the cosine's rate rises from near 0.
    """

    num_epochs: int
    num_iterations_per_epoch: int
    initial_lr: float
    max_lr: float | None
    warmup_epochs: int


class EachIteration:
    """A scheduler of torch that is moved with each iteration, and can be moved to any.

    nnU-Net calls `step` with the epoch when one begins, and the trainer `begin_iteration` before each batch.

    Args:
        scheduler: One whose rates follow from its `last_epoch` alone, which counts iterations here.
        iterations: Of an epoch.
        n_epochs: Of the training.
    """

    def __init__(self, scheduler: LRScheduler, iterations: int, n_epochs: int) -> None:
        self.scheduler = scheduler
        self.iterations_per_epoch = iterations
        self.n_iterations = iterations * n_epochs
        self._next = 0

    def step(self, epoch: int) -> None:
        """Moves to the first iteration of an epoch."""
        self._next = epoch * self.iterations_per_epoch
        with warnings.catch_warnings():  # torch takes it for a mistake that a resumed training has made no step yet
            warnings.simplefilter("ignore", UserWarning)
            self._move()

    def begin_iteration(self) -> None:
        """Moves on by one; the first of an epoch is where `step` moved to."""
        self._move()
        self._next += 1

    def get_last_lr(self) -> list[float]:
        """Returns the rate of each group of parameters."""
        return [float(rate) for rate in self.scheduler.get_last_lr()]

    def _move(self) -> None:
        # The last one where a trainer has more of them than it said.
        iteration = min(self._next, self.n_iterations - 1)
        if iteration != self.scheduler.last_epoch:
            self.scheduler.last_epoch = iteration - 1
            self.scheduler.step()


def one_cycle(optimizer: Optimizer, training: Training) -> EachIteration:
    """Returns torch's OneCycle over the whole training: up from `initial_lr` to `max_lr` in 30 % of it, then to near 0.

    Its momentum (SGD), or first beta (AdamW), falls and rises against the rate, as torch has it.
    """
    peak = training.max_lr if training.max_lr is not None else 25 * training.initial_lr
    n = training.num_epochs * training.num_iterations_per_epoch
    scheduler = OneCycleLR(optimizer, peak, total_steps=max(n, 2), div_factor=peak / training.initial_lr)
    return EachIteration(scheduler, training.num_iterations_per_epoch, training.num_epochs)


def cosine(optimizer: Optimizer, training: Training) -> EachIteration:
    """Returns half a cosine from `initial_lr` to 0, after a linear rise over `warmup_epochs`."""
    iterations = training.num_iterations_per_epoch
    n_warm, n = training.warmup_epochs * iterations, training.num_epochs * iterations

    def part(iteration: int) -> float:
        if iteration < n_warm:
            return (iteration + 1) / n_warm
        return (1 + math.cos(math.pi * (iteration - n_warm) / (n - n_warm))) / 2

    for group in optimizer.param_groups:
        group["lr"] = training.initial_lr
    return EachIteration(LambdaLR(optimizer, part), iterations, training.num_epochs)
