"""What a researcher may declare in YAML: a dataset, and a cross-validation experiment on it.

Plain pydantic, without Dagster, so that `nnunet-assets check-config` and the asset graph read the same models.
"""

import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from nnunet_assets.core.layout import DATASET_PATTERN, DEFAULT_PLANS, DEFAULT_TRAINER, NAME_PATTERN, Experiment
from nnunet_assets.core.provenance import json_sha256

TRAINER_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"

PATTERN_MEANINGS = {
    DATASET_PATTERN: "nnU-Net's form DatasetXXX_Name, with three digits and then letters, digits, '.', '_' or '-'",
    NAME_PATTERN: "a name of at most 64 letters, digits, '.', '_' or '-' that starts with a letter",
    TRAINER_PATTERN: "the name of a Python class, at most 100 characters",
}
"""What each pattern asks for, in words."""

Configuration = Literal["2d", "3d_fullres", "3d_lowres"]
Device = Literal["auto", "cuda", "cpu", "mps"]


def _splits_cleanly(name: str) -> str:
    if "__" in name or name.endswith("_"):
        raise ValueError(
            f"{name!r} must not hold '__' nor end with '_': nnU-Net splits its folder names "
            "TRAINER__PLANS__CONFIGURATION at '__'"
        )
    return name


def _each_once(folds: list[int]) -> list[int]:
    if not folds:
        raise ValueError("the list is empty; leave it out for every fold of the dataset, or name at least one")
    repeated = sorted({fold for fold in folds if folds.count(fold) > 1})
    if repeated:
        raise ValueError(f"fold {repeated[0]} is listed more than once")
    return folds


def _owner(owner: str) -> str:
    # Dagster's own rule (is_valid_owner): there a wrong owner stops the whole location, and no file is named.
    email = re.fullmatch(r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Z|a-z]{2,7}\b", owner)
    if not email and not (owner.startswith("team:") and owner != "team:"):
        raise ValueError(f"{owner!r} is neither an e-mail address nor of the form team:NAME")
    return owner


DatasetName = Annotated[
    str, Field(pattern=DATASET_PATTERN, description="nnU-Net's dataset name, such as Dataset004_Hippocampus.")
]
Owners = list[Annotated[str, AfterValidator(_owner)]]


class Declaration(BaseModel):
    """Unknown fields are errors, and a wrong type is never converted in silence."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class PhantomConfig(Declaration):
    """A generated dataset that looks like a small MRI cohort, for the demo and for trying things out."""

    cases: Annotated[int, Field(ge=5, le=1000)] = 20
    """How many cases to generate."""
    seed: Annotated[int, Field(ge=0)] = 0
    """The same seed gives the same voxels."""


class DatasetConfig(Declaration):
    """A raw dataset in nnUNet_raw and how it is split into folds."""

    dataset: DatasetName
    folds: Annotated[int, Field(ge=2, le=100)] = 5
    """How many folds the cross-validation has. nnU-Net's own is 5."""
    phantom: PhantomConfig | None = None
    """Generate this dataset where it does not exist yet. Absent: the dataset is the user's own."""
    owners: Owners = []
    """Who answers for the data: e-mail addresses or team:NAME."""

    @model_validator(mode="after")
    def _a_case_for_each_fold(self) -> "DatasetConfig":
        if self.phantom and self.phantom.cases < self.folds:
            raise ValueError(
                f"{self.phantom.cases} phantom cases do not fill {self.folds} folds; generate more of them"
            )
        return self


class VariantConfig(Declaration):
    """Named overrides of the trainer's hyperparameters, in nnU-Net's own words. What is absent stays the trainer's."""

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

    @model_validator(mode="after")
    def _overrides_something(self) -> "VariantConfig":
        if not self.overrides():
            raise ValueError(
                f"variant {self.name!r} overrides nothing; leave it out, or set at least one hyperparameter"
            )
        return self

    def overrides(self) -> dict[str, Any]:
        """Returns trainer attribute to value, only what is set."""
        return self.model_dump(exclude={"name"}, exclude_none=True)


class ExperimentConfig(Declaration):
    """One cross-validation: a dataset trained with a configuration, plans and trainer, over its folds."""

    dataset: DatasetName
    configuration: Configuration
    """nnU-Net's configuration: 2d, 3d_fullres or 3d_lowres."""
    plans: Annotated[str, Field(pattern=NAME_PATTERN), AfterValidator(_splits_cleanly)] = DEFAULT_PLANS
    """Plans identifier."""
    trainer: Annotated[str, Field(pattern=TRAINER_PATTERN), AfterValidator(_splits_cleanly)] = DEFAULT_TRAINER
    """Name of the trainer class."""
    folds: Annotated[list[Annotated[int, Field(ge=0)]], AfterValidator(_each_once)] | None = None
    """The folds to train, such as [0, 1]. Absent: every fold of the dataset."""
    variant: VariantConfig | None = None
    """Named overrides of hyperparameters. Absent: the trainer's own."""
    device: Device = "auto"
    """Where to train. auto: a GPU where there is one, else the CPU."""
    owners: Owners = []
    """Who answers for the experiment: e-mail addresses or team:NAME."""
    description: str = ""
    """What the experiment is for, shown in the web UI."""

    @property
    def identity(self) -> Experiment:
        """The experiment that this declares."""
        return Experiment(
            dataset=self.dataset,
            configuration=self.configuration,
            trainer=self.trainer,
            plans=self.plans,
            variant=self.variant.name if self.variant else None,
        )

    def training_hash(self) -> str:
        """Returns the digest of the fields that change what is trained; not owners, device, folds or description."""
        overrides = self.variant.overrides() if self.variant else {}
        return json_sha256(
            {
                "configuration": self.configuration,
                "plans": self.plans,
                "trainer": self.trainer,
                "variant": self.variant.name if self.variant else None,
                "overrides": overrides,
            }
        )
