"""What a variant of an experiment may set: whatever makes a training differ in its result."""

import math
import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field, field_validator, model_validator

from nnunet_assets.core.dataset.plan_sizes import PlanSizes
from nnunet_assets.core.files.layout import NAME_PATTERN
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.declarations.fields import Declaration

RESULT_OPTIONS = ("pretrained_weights", "seed", "deterministic", "patience", "restore_best")
"""The options of a training that change its result."""

SIZES = ("batch_size", "patch_size")
"""The fields of a variant that change plans, and no attribute of a trainer."""


def _attribute_problem(name: str, value: object) -> str | None:
    """Returns why a trainer cannot have this attribute; None: it can."""
    if not name.isidentifier() or name.startswith("_"):
        return f"{name!r} is not the name of a trainer's attribute"
    if not isinstance(value, bool | int | float | str):
        return f"{name} must be a number, a text, true or false"
    if isinstance(value, float) and not math.isfinite(value):
        return f"{name} must be a finite number, not {value}"
    if isinstance(value, str) and re.fullmatch(r"[-+]?[0-9.,]+(?:[eE][-+]?[0-9]+)?", value):
        return (
            f"{name} is the text {value!r}, which looks like a number. YAML takes 1.0e-3 for one, but not 1e-3 or 0,1"
        )
    return None


def _by_axis(sizes: list[int]) -> list[int]:
    if len(sizes) not in (2, 3):
        raise ValueError(f"{sizes} are no sizes of a patch: give two (y, x) or three (z, y, x)")
    return sizes


class VariantConfig(Declaration):
    """What makes a training differ in its result, under a name. What is absent stays the trainer's own."""

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    """The variant's name; its results lie apart from the default's."""
    num_epochs: Annotated[int, Field(ge=1)] | None = None
    """Epochs to train. nnU-Net: 1000."""
    num_iterations_per_epoch: Annotated[int, Field(ge=1)] | None = None
    """Training iterations per epoch. nnU-Net: 250."""
    num_val_iterations_per_epoch: Annotated[int, Field(ge=1)] | None = None
    """Validation iterations per epoch, on random patches. nnU-Net: 50."""
    initial_lr: Annotated[float, Field(gt=0, le=10)] | None = None
    """Learning rate at epoch 0. nnU-Net: 0.01."""
    weight_decay: Annotated[float, Field(ge=0, le=1)] | None = None
    """Weight decay of the optimizer. nnU-Net: 3e-5."""
    oversample_foreground_percent: Annotated[float, Field(ge=0, le=1)] | None = None
    """Part of the patches of a batch that must hold foreground, from 0 to 1. nnU-Net: 0.33."""
    probabilistic_oversampling: bool | None = None
    """Draw the foreground patches at random instead of a fixed number a batch. nnU-Net: false."""
    enable_deep_supervision: bool | None = None
    """Losses at lower resolutions too. nnU-Net: true."""
    save_every: Annotated[int, Field(ge=1)] | None = None
    """Write checkpoint_latest.pth every so many epochs. nnU-Net: 50."""
    batch_size: Annotated[int, Field(ge=1, le=4096)] | None = None
    """Patches in a batch, by plans derived from the dataset's. nnU-Net: as planned."""
    patch_size: Annotated[list[Annotated[int, Field(ge=1, le=4096)]], AfterValidator(_by_axis)] | None = None
    """Voxels of a patch in nnU-Net's order (y, x or z, y, x), by plans derived likewise. nnU-Net: as planned."""
    hyperparameters: dict[str, Any] = {}
    """Further attributes of a trainer that has them, by name: numbers, texts, true or false. nnU-Net: none."""
    continues: Annotated[str, Field(pattern=NAME_PATTERN)] | None = None
    """Variant whose finished folds this one goes on with, `default` for the one without a name; num_epochs counts all
    epochs. nnU-Net: none."""
    pretrained_weights: Annotated[str, Field(min_length=1)] | None = None
    """Checkpoint to take the first weights from, by a path, absolute or from the project's folder. nnU-Net: none."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] | None = None
    """Seed of Python, numpy, torch and the augmentation. nnU-Net: none."""
    deterministic: bool = TrainingOptions.deterministic
    """One process for training and augmentation, and deterministic algorithms only; slower. nnU-Net: false."""
    patience: Annotated[int, Field(ge=1)] | None = None
    """Stop after so many epochs without a better moving average of the pseudo Dice. nnU-Net: train every epoch."""
    restore_best: bool = TrainingOptions.restore_best
    """End with the weights of the best epoch by that average, in the final checkpoint. nnU-Net: false."""

    @field_validator("hyperparameters")
    @classmethod
    def _are_attributes(cls, values: dict[str, Any]) -> dict[str, Any]:
        for name, value in values.items():
            if name in cls.model_fields:
                raise ValueError(f"{name} is a field of the variant itself; write it there")
            if problem := _attribute_problem(name, value):
                raise ValueError(problem)
        return values

    @model_validator(mode="after")
    def _changes_something(self) -> "VariantConfig":
        if self.continues == self.name:
            raise ValueError(f"variant {self.name!r} continues itself; name another one, or give it a name of its own")
        if self.continues and self.pretrained_weights:
            raise ValueError("`continues` begins with the weights of a finished fold; leave `pretrained_weights` out")
        if not self.changes():
            raise ValueError(
                f"variant {self.name!r} overrides nothing; leave it out, or set at least one hyperparameter"
            )
        return self

    def overrides(self) -> dict[str, Any]:
        """Returns trainer attribute to value, only what is set."""
        own = self.model_dump(
            exclude={"name", "hyperparameters", "continues", *SIZES, *RESULT_OPTIONS}, exclude_none=True
        )
        return {**own, **self.hyperparameters}

    def options(self) -> dict[str, Any]:
        """Returns what else changes the result, as `TrainingOptions` names it, only what is set."""
        return self.model_dump(include=set(RESULT_OPTIONS), exclude_defaults=True)

    def changes(self) -> dict[str, Any]:
        """Returns all that is set, as it is declared, without the name."""
        others = self.model_dump(include={*SIZES, "continues"}, exclude_none=True)
        return {**others, **self.overrides(), **self.options()}

    @property
    def sizes(self) -> PlanSizes:
        """What plans are derived with."""
        return PlanSizes(self.batch_size, tuple(self.patch_size) if self.patch_size else None)
