"""What a researcher may declare of a search: which settings of an experiment are varied, how long, on which fold."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from nnunet_assets.core.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER, NAME_PATTERN, Experiment, fold_key
from nnunet_assets.core.search.space import Dimension, Kind, Space, is_same
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.fields import (
    Configuration,
    DatasetName,
    Declaration,
    Device,
    Owners,
    PlansName,
    TrainerName,
)
from nnunet_assets.declarations.made_experiment import experiment_of
from nnunet_assets.declarations.sections.engine_config import EngineConfig
from nnunet_assets.declarations.sections.variant_config import VariantConfig

LONGEST_NAME = 50
"""With the number of a trial it is the name of a variant."""

TAKEN = ("name", "hyperparameters", "num_epochs", "patience", "continues")
"""Fields of a variant that a space has not: the search says them itself, or trials would end after different epochs."""

_RANGES: tuple[Kind, ...] = ("log", "uniform", "int", "log_int")
_KINDS: tuple[Kind, ...] = (*_RANGES, "choice")


def _short_enough(name: str) -> str:
    if len(name) > LONGEST_NAME:
        raise ValueError(
            f"{name!r} has {len(name)} characters, and at most {LONGEST_NAME} leave room for a trial's number behind it"
        )
    return name


def _bounds(bounds: list[Any]) -> list[Any]:
    if len(bounds) != 2:
        raise ValueError(f"a range has a lower and an upper bound, such as [0, 1], not {len(bounds)} values")
    low, high = bounds
    if low > high:
        raise ValueError(f"the range is upside down: write [{high:g}, {low:g}]")
    return bounds


def _positive(bounds: list[Any]) -> list[Any]:
    if bounds[0] <= 0:
        raise ValueError(f"a logarithmic range begins above 0, not at {bounds[0]:g}")
    return bounds


def _choices(values: list[Any]) -> list[Any]:
    if not values:
        raise ValueError("the list is empty; name what is to be chosen from")
    for place, value in enumerate(values):
        if any(is_same(value, other) for other in values[:place]):
            raise ValueError(f"{value!r} is listed more than once")
    return values


Numbers = Annotated[list[float], AfterValidator(_bounds)]
Whole = Annotated[list[Annotated[int, Field(ge=-(2**53), le=2**53)]], AfterValidator(_bounds)]
"""Up to where every whole number is one of a sampler's, too."""


class DimensionConfig(Declaration):
    """How one setting is varied; exactly one of the first five is said."""

    log: Annotated[Numbers, AfterValidator(_positive)] | None = None
    """From a number above 0 to another, evenly on a logarithmic scale: [1.0e-4, 1.0e-1]."""
    uniform: Numbers | None = None
    """From a number to another, evenly: [0.0, 0.5]."""
    int: Whole | None = None
    """From a whole number to another, both included: [0, 20]."""
    log_int: Annotated[Whole, AfterValidator(_positive)] | None = None
    """The same on a logarithmic scale."""
    choice: Annotated[list[Any], AfterValidator(_choices)] | None = None
    """One of a list: [SGD, AdamW]."""
    when: dict[str, Any] = {}
    """Only with these values of settings that stand before it and are chosen: {optimizer_name: AdamW}."""

    @model_validator(mode="after")
    def _is_one_kind(self) -> "DimensionConfig":
        said = [name for name in _KINDS if getattr(self, name) is not None]
        if len(said) != 1:
            kinds = ", ".join(_KINDS)
            raise ValueError(f"a setting is varied in one way, of {kinds}; here are {' and '.join(said) or 'none'}")
        return self

    def dimension(self, name: str) -> Dimension:
        """Returns what it says of a setting."""
        kind = next(kind for kind in _KINDS if getattr(self, kind) is not None)
        said = getattr(self, kind)
        when = {key: tuple(value) if isinstance(value, list) else (value,) for key, value in self.when.items()}
        if kind == "choice":
            return Dimension(name, "choice", tuple(said), when=when)
        return Dimension(name, kind, low=said[0], high=said[1], when=when)


class SearchedConfig(Declaration):
    """Whose settings are searched: one experiment, as it would be declared."""

    dataset: DatasetName
    configuration: Configuration
    """nnU-Net's 2d, 3d_fullres or 3d_lowres, or one that was added to the plans."""
    plans: PlansName = DEFAULT_PLANS
    """Plans identifier."""
    trainer: TrainerName = DEFAULT_TRAINER
    """Name of the trainer class; nnUNetTrainerTunable has more to choose."""
    device: Device = "auto"
    """Where to train. auto: a GPU where there is one, else the CPU."""


class BudgetConfig(Declaration):
    """What a search may cost, and after how many epochs a trial may be stopped."""

    trials: Annotated[int, Field(ge=1)] | None = None
    """How many points are tried. Absent: every point of a grid."""
    at_once: Annotated[int, Field(ge=1)] = 1
    """How many trials train at once; with one GPU, one."""
    max_epochs: Annotated[int, Field(ge=1)]
    """Epochs of a trial that is not stopped, and of the schedule that all trials have. nnU-Net: 1000."""
    min_epochs: Annotated[int, Field(ge=1)] | None = None
    """Stop the worse trials after so many epochs, and so on (ASHA). Absent: every trial is trained to its end."""
    reduction: Annotated[float, Field(gt=1)] = 3.0
    """Of the trials compared at one epoch about one in so many goes on; they are compared again so many times later."""
    hours: Annotated[float, Field(gt=0)] | None = None
    """Stop when the epochs of all trials have taken so many hours together. Absent: no limit."""

    @model_validator(mode="after")
    def _has_epochs_to_stop_at(self) -> "BudgetConfig":
        if self.min_epochs is not None and self.min_epochs >= self.max_epochs:
            raise ValueError(
                f"min_epochs is {self.min_epochs} and max_epochs {self.max_epochs}, so that no trial could be stopped "
                "before its end; write less, or leave min_epochs out"
            )
        return self


class SearchConfig(Declaration):
    """A search: trials that differ in some settings, each trained on one fold, ranked by their pseudo Dice."""

    name: Annotated[str, Field(pattern=NAME_PATTERN), AfterValidator(_short_enough)]
    """The search's name; its trials are variants of this name with a number behind it."""
    of: SearchedConfig
    """Whose settings are searched."""
    space: dict[str, Any]
    """What is varied, by name, and how; a plain value is the same in every trial."""
    sampler: Literal["tpe", "random", "grid"] = "tpe"
    """How points are chosen: by Optuna's TPE, which learns from the trials before, at random, or all of a grid."""
    fold: Annotated[int, Field(ge=0)] = 0
    """The fold that every trial is trained on, whose validation cases are used up by the choice."""
    budget: BudgetConfig
    """What it may cost."""
    each: EngineConfig | None = None
    """Where each trial trains, and with what, over what engine.yaml says. Absent: as the project."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Seed of the points; for that of the trainings, write `seed` into the space."""
    owners: Owners = []
    """Who answers for the search: e-mail addresses or team:NAME."""
    description: str = ""
    """What the search is for, shown in the web UI."""

    @property
    def identity(self) -> Experiment:
        """What its trials have in common, named by the search."""
        of = self.of
        return Experiment(of.dataset, of.configuration, of.trainer, of.plans, self.name)

    @property
    def title(self) -> str:
        """The search in one line for people."""
        return f"search {self.identity.title}"

    @property
    def fold_key(self) -> str:
        """nnU-Net's folder of the fold: `fold_0`."""
        return fold_key(self.fold)

    @property
    def declared_space(self) -> Space:
        """What is varied; it must be right, see `rules.searches`."""
        varied = {name: value for name, value in self.space.items() if isinstance(value, dict)}
        return Space(
            tuple(DimensionConfig.model_validate(value).dimension(name) for name, value in varied.items()),
            {name: value for name, value in self.space.items() if name not in varied},
        )

    @property
    def n_trials(self) -> int:
        """How many points are to be tried."""
        return self.budget.trials or self.declared_space.n_points or 0

    def trial_name(self, number: int) -> str:
        """Returns the name of a trial's variant: `lr_007`."""
        return f"{self.name}_{number:03}"

    def trial(self, number: int, point: Mapping[str, Any]) -> ExperimentConfig:
        """Returns a trial as the experiment that it is.

        Args:
            number: From 0.
            point: What is varied, with its values; what every trial has is added.

        Raises:
            ConfigError: A value cannot be one of an experiment.
        """
        constants = {name: value for name, value in self.space.items() if not isinstance(value, dict)}
        return experiment_of(
            **self.of.model_dump(),
            folds=[self.fold],
            engine=self.each,
            owners=self.owners,
            variant=variant_fields(self.trial_name(number), self.budget.max_epochs, {**constants, **point}),
        )

    def is_like_a_trial(self, experiment: ExperimentConfig) -> bool:
        """Says whether an experiment has what every trial has, whatever its point: the space may have been another."""
        of, variant = self.of, experiment.variant
        same = (of.dataset, of.configuration, of.plans, of.trainer)
        if variant is None or same != (
            experiment.dataset,
            experiment.configuration,
            experiment.plans,
            experiment.trainer,
        ):
            return False
        settings = {**variant.model_dump(), **variant.hyperparameters}
        fixed = {**self.declared_space.constants, "num_epochs": self.budget.max_epochs}
        return {name: settings.get(name) for name in fixed} == fixed


def variant_fields(name: str, num_epochs: int, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Returns a variant as a declaration has it: its own fields, and the trainer's hyperparameters apart."""
    own = {key: value for key, value in settings.items() if key in VariantConfig.model_fields}
    others = {key: value for key, value in settings.items() if key not in own}
    return {"name": name, "num_epochs": num_epochs, **own, **({"hyperparameters": others} if others else {})}
