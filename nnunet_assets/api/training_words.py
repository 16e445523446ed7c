"""The flags of `train` as keywords, by their words in a declaration: one place for every function that trains."""

from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict

from nnunet_assets.api.given import settings_of
from nnunet_assets.core.progress import Progress

if TYPE_CHECKING:
    from nnunet_assets.declarations.named_fold import NamedFold
    from nnunet_assets.workflows.fold.named_training import Training

Device = Literal["cuda", "cpu", "mps"]


class TrainingWords(TypedDict, total=False):
    """What may be asked of a training beside which fold it is of; what is left out is as declared, or nnU-Net's own.

    Attributes:
        pretrained_weights: Checkpoint whose weights the training starts from.
        seed: Seeds everything that draws random numbers.
        deterministic: One process, deterministic algorithms only; slower.
        patience: Stops after so many epochs without a better pseudo Dice.
        restore_best: Ends with the weights of the epoch of the best pseudo Dice.
        num_gpus: GPUs that a fold trains on together.
        npz: Keeps the class probabilities of the validation cases.
        validation_only: Only validates a fold that is trained, as nnU-Net's `--val`.
        val_best: Validates checkpoint_best.pth in place of the final one.
        continue_training: nnU-Net's `--c`: an interrupted fold goes on anyway.
        disable_checkpointing: Writes no checkpoint at all, to try things out.
        time_budget_minutes: Stops after the last epoch that leaves time to validate within so many minutes.
        tensorboard: Writes the curves for TensorBoard too.
        despite_changes: Also goes on with a fold that another minor version of nnU-Net began; of a run that is trained
            again also on other data, plans or splits.
    """

    pretrained_weights: Path | str
    seed: int
    deterministic: bool
    patience: int
    restore_best: bool
    num_gpus: int
    npz: bool
    validation_only: bool
    val_best: bool
    continue_training: bool
    disable_checkpointing: bool
    time_budget_minutes: float
    tensorboard: bool
    despite_changes: bool


def training(
    words: TrainingWords,
    *,
    project: Path | str | None,
    progress: Progress,
    track: bool,
    device: Device | None,
    retrain: bool,
) -> "Training":
    """Returns how folds are trained that these words ask for.

    Raises:
        ConfigError: The project's declarations are wrong.
        TypeError: A word is none of `TrainingWords`.
    """
    from nnunet_assets.declarations.project import declared_if_any
    from nnunet_assets.tracking.store.destination import Destination
    from nnunet_assets.workflows.fold.named_training import Training
    from nnunet_assets.workflows.fold.train import AskedNow

    if unknown := sorted(set(words) - set(TrainingWords.__annotations__)):
        known = ", ".join(sorted(TrainingWords.__annotations__))
        raise TypeError(f"A training has no {unknown[0]!r}. It takes {known}.")
    settings = settings_of(project)
    now: dict[str, Any] = {item.name: words[item.name] for item in fields(AskedNow) if item.name in words}  # type: ignore[literal-required] # its own names
    return Training(
        settings,
        declared_if_any(settings.project),
        AskedNow(**now, retrain=retrain, device=device),
        Destination.of(settings) if track else None,
        progress,
        continue_training=words.get("continue_training", False),
    )


def named_fold(
    words: TrainingWords,
    dataset: str | int | None,
    configuration: str | None,
    fold: int | str | None,
    *,
    trainer: str | None = None,
    plans: str | None = None,
    variant: str | None = None,
    undeclared: bool = False,
) -> "NamedFold":
    """Returns the fold that is named, with what of the words makes a variant of it or says how it is trained."""
    from nnunet_assets.declarations.named_fold import NamedFold
    from nnunet_assets.declarations.sections.variant_config import RESULT_OPTIONS

    def given(*names: str) -> dict[str, Any]:
        found = {name: words.get(name) for name in names}
        return {name: value for name, value in found.items() if value is not None and value is not False}

    changing = given(*RESULT_OPTIONS)
    if weights := changing.get("pretrained_weights"):
        changing["pretrained_weights"] = str(Path(weights).absolute())
    return NamedFold(
        None if dataset is None else str(dataset),
        configuration,
        None if fold is None else str(fold),
        trainer=trainer,
        plans=plans,
        variant=variant,
        undeclared=undeclared,
        changing=changing,
        unchanging=given("num_gpus", "disable_checkpointing", "tensorboard"),
    )
