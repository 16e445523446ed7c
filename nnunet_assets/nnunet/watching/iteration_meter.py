"""Measures each training iteration of any trainer: loss, learning rate, norm of the gradient, time.

The norm is that before clipping: nnU-Net's step computes it to clip by it and drops it, and here it is taken up. Of a
trainer that clips in no such way it is computed once more, before the optimizer's step.
"""

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.fold.iterations import GRADIENT_NORM, LEARNING_RATE, LOSS, SECONDS, SPIKE, WAIT
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.training.spikes import SpikeFinder
from nnunet_assets.errors import first_offenders
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.watching.health import MOST_TOLD, cases_of

if TYPE_CHECKING:
    import torch

NAMES = (LOSS, LEARNING_RATE, GRADIENT_NORM, SPIKE, SECONDS, WAIT)


class IterationMeter:
    """Measures the training steps of a trainer from now on.

    Args:
        trainer: Not yet training.
        progress: Is told of spikes of the gradient, with the cases of the batch.
    """

    def __init__(self, trainer: NnunetTrainer, progress: Progress) -> None:
        self._trainer, self._progress = trainer, progress
        self._series: dict[str, list[float | None]] = {name: [] for name in NAMES}
        self._spikes, self._n_told = SpikeFinder(), 0
        self._norm: torch.Tensor | None = None
        self._ended_at: float | None = None
        self._step = trainer.train_step
        start = trainer.on_train_start

        def on_train_start() -> None:
            start()  # which builds the optimizer, where nothing did before
            trainer.optimizer.register_step_pre_hook(self._before_step)

        trainer.on_train_start, trainer.train_step = on_train_start, self._train_step

    def take(self) -> dict[str, list[float | None]]:
        """Returns the iterations since the last call, by series."""
        series, self._series = self._series, {name: [] for name in NAMES}
        self._ended_at = None  # what lies between two epochs is no wait for a batch
        return series

    def _train_step(self, batch: Mapping[str, Any]) -> dict[str, Any]:
        from torch.nn import utils

        clip = utils.clip_grad_norm_

        def clip_and_keep(*arguments: Any, **named: Any) -> "torch.Tensor":
            self._norm = clip(*arguments, **named)
            return self._norm

        self._norm = None
        began = time.perf_counter()
        utils.clip_grad_norm_ = clip_and_keep  # nnU-Net calls it by this name
        try:
            output = self._step(batch)
        finally:
            utils.clip_grad_norm_ = clip
        # The loss is on the host by now, and with it the norm is computed: no wait for the device.
        norm = None if self._norm is None else float(self._norm)
        ended = time.perf_counter()
        since = began if self._ended_at is None else self._ended_at
        wait = None if self._ended_at is None else began - self._ended_at
        self._ended_at = ended
        rate = self._trainer.optimizer.param_groups[0]["lr"]
        values = (float(output["loss"]), float(rate), norm, self._spike(norm, batch), ended - since, wait)
        for name, value in zip(NAMES, values, strict=True):
            self._series[name].append(value)
        return output

    def _before_step(self, optimizer: "torch.optim.Optimizer", *_: object) -> None:
        if self._norm is None:
            self._norm = _norm_of(optimizer)

    def _spike(self, norm: float | None, batch: Mapping[str, Any]) -> float | None:
        """Returns the norm where it is a spike, of which the first few are told of."""
        times = None if norm is None else self._spikes.take(norm)
        if times is None:
            return None
        self._n_told += 1
        if self._n_told <= MOST_TOLD:
            last = " No further one is told of." if self._n_told == MOST_TOLD else ""
            self._progress.say(
                f"The gradient of training iteration {len(self._series[LOSS])} of epoch {self._trainer.current_epoch} "
                f"is a spike: its norm is {norm:.3g}, {times:.0f} times the median of those before it, with patches of "
                f"{first_offenders(cases_of(batch))}.{last}"
            )
        return norm


def _norm_of(optimizer: "torch.optim.Optimizer") -> "torch.Tensor | None":
    import torch

    gradients = [
        weights.grad.detach()
        for group in optimizer.param_groups
        for weights in group["params"]
        if weights.grad is not None
    ]
    norms = [torch.linalg.vector_norm(gradient.float()) for gradient in gradients]
    return torch.linalg.vector_norm(torch.stack(norms)) if norms else None
