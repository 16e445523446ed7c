"""What the flags of `train` mean: which dataset, which fold, and which experiment, declared or made of flags alone."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from nnunet_assets.assets.fold.fold_training import AskedNow
from nnunet_assets.core.files.layout import (
    DATASET_PATTERN,
    DEFAULT_PLANS,
    DEFAULT_TRAINER,
    FULL_FOLD,
    Experiment,
    Roots,
    fold_key,
)
from nnunet_assets.declarations.config import RESULT_OPTIONS, ExperimentConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import ConfigError, did_you_mean, first_offenders


@dataclass(frozen=True)
class Flags:
    """The command line of `train`; None and False: not given."""

    dataset: str | None
    configuration: str | None
    fold: str | None
    trainer: str | None
    plans: str | None
    pretrained_weights: str | None
    num_gpus: int | None
    npz: bool
    continue_training: bool
    validation_only: bool
    val_best: bool
    use_compressed: bool
    disable_checkpointing: bool
    device: str | None
    tracker_disable: bool
    variant: str | None
    seed: int | None
    deterministic: bool
    patience: int | None
    time_budget_minutes: float | None
    tensorboard: bool
    retrain: bool
    from_run: str | None
    despite_changes: bool
    as_json: bool
    project: Path

    @property
    def named(self) -> tuple[str, str, str]:
        """DATASET, CONFIGURATION and FOLD.

        Raises:
            ConfigError: One of them is not given.
        """
        if self.dataset is None or self.configuration is None or self.fold is None:
            raise ConfigError(
                "DATASET, CONFIGURATION and FOLD are needed, such as in `nnunet-assets train 4 3d_fullres 0`; only "
                "--from-run knows them from an MLflow run."
            )
        return self.dataset, self.configuration, self.fold

    @property
    def asked_now(self) -> AskedNow:
        """What is asked of this training alone."""
        return AskedNow(
            retrain=self.retrain,
            device=self.device,
            validation_only=self.validation_only,
            val_best=self.val_best,
            npz=self.npz,
            time_budget_minutes=self.time_budget_minutes,
            despite_changes=self.despite_changes,
        )

    @property
    def changing(self) -> dict[str, Any]:
        """What is given of the options that change the result."""
        given = {name: getattr(self, name) for name in RESULT_OPTIONS}
        return {name: value for name, value in given.items() if value is not None and value is not False}

    @property
    def unchanging(self) -> dict[str, Any]:
        """What is given of an experiment's fields that do not change the result."""
        given = {
            "num_gpus": self.num_gpus,
            "disable_checkpointing": self.disable_checkpointing or None,
            "tensorboard": self.tensorboard or None,
        }
        return {name: value for name, value in given.items() if value is not None}


def fold_named(text: str) -> str:
    """Returns the folder of nnU-Net's FOLD: `fold_3` of `3`, `fold_all` of `all`.

    Raises:
        ConfigError: It is neither a number nor `all`.
    """
    if text == "all":
        return FULL_FOLD
    if not re.fullmatch(r"[0-9]+", text, re.ASCII):
        raise ConfigError(f"FOLD is {text!r}. It is the number of a fold, such as 0, or all: a model on every case.")
    return fold_key(int(text))


def dataset_named(text: str, project: Project, roots: Roots) -> str:
    """Returns the name of nnU-Net's DATASET: `4`, `004` and `Dataset004_Hippocampus` are one.

    Raises:
        ConfigError: There is no such dataset, or more than one with that number.
    """
    there = {dataset.dataset for dataset in project.datasets}
    for folder in (roots.raw, roots.preprocessed):
        there |= {path.name for path in folder.glob("Dataset*") if re.fullmatch(DATASET_PATTERN, path.name)}
    number = f"Dataset{int(text):03}_" if re.fullmatch(r"[0-9]+", text, re.ASCII) else None
    found = sorted(name for name in there if name == text or (number and name.startswith(number)))
    if len(found) == 1:
        return found[0]
    if found:
        raise ConfigError(f"The number {text} is that of {first_offenders(found)}. nnU-Net needs one dataset a number.")
    known = first_offenders(sorted(there)) or "none"
    raise ConfigError(
        f"There is no dataset {text!r}.{did_you_mean(text, there)} There are: {known} (declared in {project.root}, in "
        f"{roots.raw}, or in {roots.preprocessed})."
    )


def chosen_experiment(flags: Flags, dataset: str, project: Project) -> ExperimentConfig:
    """Returns the declared experiment that the flags name; one made of the flags where none is declared.

    Options that change the result make a variant, so that its results lie apart: `--seed 7` is the variant `seed7`
    where `--variant` gives it no other name.

    Raises:
        ConfigError: A flag contradicts what is declared, or a value cannot be one of an experiment.
    """
    changing = flags.changing
    name = flags.variant or _variant_name(changing)
    _, configuration, _ = flags.named
    trainer, plans = flags.trainer or DEFAULT_TRAINER, flags.plans or DEFAULT_PLANS
    identity = Experiment(dataset, configuration, trainer, plans, name)
    for declared in project.experiments:
        if declared.identity == identity:
            _refuse_other_settings(declared, changing, project)
            return declared.model_copy(update=flags.unchanging)
    if flags.variant and not changing:
        variants = sorted({e.variant.name for e in project.experiments if e.variant})
        raise ConfigError(
            f"{identity.title} is not declared in {project.root}.{did_you_mean(flags.variant, variants)} Declared "
            f"variants: {', '.join(variants) or 'none'}. Declare it, or give a flag that makes it one, such as --seed."
        )
    return experiment_of(
        dataset=dataset,
        configuration=configuration,
        plans=plans,
        trainer=trainer,
        variant={"name": name, **changing} if name else None,
        **flags.unchanging,
    )


def experiment_of(**fields: Any) -> ExperimentConfig:
    """Returns an experiment of these fields, as a declaration has them.

    Raises:
        ConfigError: A value cannot be one of an experiment.
    """
    try:
        return ExperimentConfig(**fields)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['input']!r}: {e['msg']}." for e in error.errors()]
        raise ConfigError("\n".join(wrong)) from error


def _variant_name(changing: Mapping[str, Any]) -> str | None:
    names = {"pretrained_weights": "pretrained", "deterministic": "deterministic"}
    return "-".join(names.get(option, f"{option}{value}") for option, value in changing.items()) or None


def _refuse_other_settings(declared: ExperimentConfig, changing: Mapping[str, Any], project: Project) -> None:
    options = declared.options(project.root)
    for name, value in changing.items():
        there = getattr(options, name)
        if there != value:
            raise ConfigError(
                f"{declared.identity.title} is declared with {name} {there}, and the command line says {value}. Its "
                "folds must all be trained in the same way: change the declaration, or leave the flag out, or give the "
                "training a name of its own with --variant."
            )
