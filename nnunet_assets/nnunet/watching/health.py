"""What breaks a training, told with the cases whose patches were in the batch, and in which iteration.

It looks at nothing but the loss, which nnU-Net has on the host already, until that is no number or a step fails. Then
the batch is looked at patch by patch: intensities, labels, and what the network made of it.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.progress import Progress
from nnunet_assets.errors import first_offenders
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode

if TYPE_CHECKING:
    import torch

MOST_TOLD = 5
"""After so many batches of one process no further one is told of: a broken training has them all."""

Batch = Mapping[str, Any]
Step = Callable[[Batch], dict[str, Any]]


def tell_of_broken_batches(trainer: NnunetTrainer, progress: Progress) -> None:
    """Has the trainer say which case it was whose patch gave no number, or labels that there are none of.

    Args:
        trainer: Not yet training.
        progress: Is warned of a loss that is no number.

    Raises (from the trainer's steps):
        ChildFailure: A step failed, and the batch holds labels that the dataset does not have.
    """
    outputs = _Outputs()
    n_told, iterations, epoch = 0, {"training": 0, "validation": 0}, trainer.current_epoch

    def watched(step: Step, kind: str) -> Step:
        def place(number: int) -> str:
            return f"{kind} iteration {number} of epoch {epoch}"

        def take(batch: Batch) -> dict[str, Any]:
            nonlocal n_told, epoch
            if trainer.current_epoch != epoch:
                epoch = trainer.current_epoch
                iterations.update(dict.fromkeys(iterations, 0))
            number = iterations[kind]
            iterations[kind] = number + 1
            outputs.is_wanted = True
            try:
                output = step(batch)
            except (IndexError, RuntimeError, ValueError) as error:
                _refuse_bad_labels(trainer, batch, place(number), error)
                raise
            finally:
                outputs.is_wanted, last_output, outputs.last = False, outputs.last, None
            if n_told < MOST_TOLD and not math.isfinite(output.get("loss", 0.0)):
                n_told += 1
                last = " No further one is told of." if n_told == MOST_TOLD else ""
                progress.warn(f"{_broken(trainer, batch, last_output, place(number))}{last}")
            return output

        return take

    start = trainer.on_train_start

    def on_train_start() -> None:
        start()  # which builds the network, where nothing did before
        outputs.attach(trainer.network)

    trainer.on_train_start = on_train_start
    trainer.train_step = watched(trainer.train_step, "training")
    trainer.validation_step = watched(trainer.validation_step, "validation")


def cases_of(batch: Batch) -> list[str]:
    """Returns the case of each patch; of a loader of somebody's own that does not say them the number of the patch."""
    keys = batch.get("keys")
    return [str(key) for key in keys] if keys is not None else [f"patch {n}" for n in range(len(batch["data"]))]


class _Outputs:
    """Keeps what the network returned for as long as a step takes, which is how long nnU-Net keeps it too."""

    def __init__(self) -> None:
        self.last: Any = None
        self.is_wanted = False

    def attach(self, network: "torch.nn.Module") -> None:
        network.register_forward_hook(self._keep)

    def _keep(self, _network: object, _inputs: object, output: Any) -> None:
        if self.is_wanted:
            self.last = output


def _broken(trainer: NnunetTrainer, batch: Batch, output: Any, where: str) -> str:
    """Returns the sentence about a batch whose loss is no number; of a batch or a network of another form a short one.

    It is only told: a training that nnU-Net goes on with goes on.
    """
    try:
        return f"The loss of {where} is not a number: {_why(trainer, batch, output)}."
    except Exception:  # noqa: BLE001 (a network or a loader of somebody's own)
        return f"The loss of {where} is not a number."


def _why(trainer: NnunetTrainer, batch: Batch, output: Any) -> str:
    cases = cases_of(batch)
    found = [
        *_patches(cases, _not_finite(batch["data"]), "intensities that are no numbers"),
        *_bad_labels(trainer, batch),
        *(_patches(cases, _not_finite(_first(output)), "an output that is no number") if output is not None else ()),
    ]
    return first_offenders(found) if found else f"patches of {first_offenders(cases)}, all with finite outputs"


def _refuse_bad_labels(trainer: NnunetTrainer, batch: Batch, where: str, error: Exception) -> None:
    """Raises what a failed step means where labels are the reason; a device that asserts says no more than that."""
    if type(error).__name__ == "OutOfMemoryError":
        return
    found = _bad_labels(trainer, batch)
    if found:
        raise ChildFailure(
            ExitCode.BAD_INPUT,
            f"The {where} failed: {first_offenders(found)} ({type(error).__name__}). Correct the labels of the case, "
            "or put it in quarantine, and prepare the dataset again.",
        ) from error


def _bad_labels(trainer: NnunetTrainer, batch: Batch) -> list[str]:
    """Returns a text for each patch with values that are no label of the dataset; the batch lies on the host."""
    target = _first(batch["target"])
    manager = trainer.label_manager
    known = {0, 1} if manager.has_regions else {0, *_values(manager.foreground_labels), manager.ignore_label}
    found = []
    for case, patch in zip(cases_of(batch), target, strict=False):
        values = sorted(
            {float(value) for value in patch.unique().tolist()} - {float(v) for v in known if v is not None}
        )
        if values:
            named = ", ".join(f"{value:g}" for value in values[:5])
            found.append(f"{case} has the label {named}, which the dataset does not have")
    return found


def _values(labels: Sequence[Any]) -> set[int]:
    return {int(value) for label in labels for value in (label if isinstance(label, list | tuple) else [label])}


def _first(tensors: Any) -> Any:
    """Returns the tensor of the highest resolution: under deep supervision there is a list of them."""
    return tensors[0] if isinstance(tensors, list | tuple) else tensors


def _not_finite(tensor: "torch.Tensor") -> list[bool]:
    finite: list[bool] = tensor.detach().flatten(1).isfinite().all(1).tolist()
    return [not one for one in finite]


def _patches(cases: Sequence[str], is_broken: Sequence[bool], what: str) -> list[str]:
    return [f"{case} has {what}" for case, broken in zip(cases, is_broken, strict=False) if broken]
