"""What may be chosen of the trainers that come with this package, known without importing them: they load torch."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from nnunet_assets.core.files.layout import DEFAULT_TRAINER
from nnunet_assets.declarations.fields import Declaration
from nnunet_assets.errors import did_you_mean

TUNABLE = "nnUNetTrainerTunable"
TRAINERS = frozenset({TUNABLE, f"{TUNABLE}BN", "nnUNetTrainerSliceWise", "nnUNetTrainerSliceWiseBN"})


class TunableChoices(Declaration):
    """The hyperparameters of a tunable trainer; what is absent stays the trainer's own."""

    optimizer_name: Literal["SGD", "AdamW"] | None = None
    lr_schedule: Literal["poly", "OneCycle", "cosine"] | None = None
    max_lr: Annotated[float, Field(gt=0, le=10)] | None = None
    warmup_epochs: Annotated[int, Field(ge=0)] | None = None
    loss_function: Literal["dice_ce", "dice", "ce"] | None = None
    dropout_rate: Annotated[float, Field(ge=0, lt=1)] | None = None
    augmentation: Literal["nnunet", "light", "none", "DA5"] | None = None
    warmup_batches: Annotated[int, Field(ge=0)] | None = None
    slice_batch: Annotated[int, Field(ge=0)] | None = None


def problem_with_choices(trainer: str, hyperparameters: Mapping[str, Any]) -> str | None:
    """Returns what is wrong with a variant's hyperparameters for a trainer, in a sentence without its end.

    Returns:
        None: nothing, or the trainer is one that nobody knows before it is imported.
    """
    known = TunableChoices.model_fields
    if trainer == DEFAULT_TRAINER and (foreign := [name for name in hyperparameters if name in known]):
        return f"`{trainer}` has no hyperparameter {foreign[0]}; write `trainer: {TUNABLE}`, which has it"
    if trainer not in TRAINERS:
        return None
    for name in hyperparameters:
        if name not in known:
            return f"{trainer} has no hyperparameter {name}.{did_you_mean(name, known)} It has {', '.join(known)}"
    try:
        TunableChoices.model_validate(dict(hyperparameters))
    except ValidationError as error:
        first = error.errors()[0]
        sentence = str(first["msg"]).replace("Input should be", "it is to be")
        return f"hyperparameter {first['loc'][0]} is {hyperparameters[str(first['loc'][0])]!r}; {sentence}"
    return None
