"""A fold that somebody names in nnU-Net's words: which dataset, which fold, which experiment, declared or not."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnunet_assets.core.files.layout import (
    DATASET_PATTERN,
    DEFAULT_PLANS,
    DEFAULT_TRAINER,
    FULL_FOLD,
    Experiment,
    Roots,
    fold_key,
)
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.made_experiment import experiment_of
from nnunet_assets.declarations.project import Project
from nnunet_assets.errors import ConfigError, did_you_mean, first_offenders


@dataclass(frozen=True)
class NamedFold:
    """A fold in the words of `nnUNetv2_train`; None: not said.

    Attributes:
        dataset: A name or a number: `4`, `004`, `Dataset004_Hippocampus`.
        configuration: `3d_fullres`.
        fold: `3`, or `all`.
        trainer: Trainer class.
        plans: Plans identifier.
        variant: The declared variant, or a name for what the options make.
        changing: The options that change the result, by their names in an experiment; only those that are given.
        unchanging: The others.
        undeclared: Whether an experiment that the project does not declare is meant, whatever it declares beside it.
    """

    dataset: str | None
    configuration: str | None
    fold: str | None
    trainer: str | None = None
    plans: str | None = None
    variant: str | None = None
    changing: Mapping[str, Any] = field(default_factory=dict)
    unchanging: Mapping[str, Any] = field(default_factory=dict)
    undeclared: bool = False

    def words(self) -> tuple[str, str, str]:
        """Returns DATASET, CONFIGURATION and FOLD.

        Raises:
            ConfigError: One of them is not given.
        """
        if self.dataset is None or self.configuration is None or self.fold is None:
            raise ConfigError(
                "DATASET, CONFIGURATION and FOLD are needed, such as in `nnunet-assets train 4 3d_fullres 0`; only "
                "--from-run knows them from an MLflow run."
            )
        return self.dataset, self.configuration, self.fold

    def chosen(self, project: Project, roots: Roots) -> tuple[str, ExperimentConfig]:
        """Returns the fold's folder and its experiment.

        Raises:
            ConfigError: As `words`, `fold_named`, `dataset_named` and `chosen_experiment`.
        """
        dataset, _, fold = self.words()
        return fold_named(fold), chosen_experiment(self, dataset_named(dataset, project, roots), project)


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
    there = datasets_there(project, roots)
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


def datasets_there(project: Project, roots: Roots) -> set[str]:
    """Returns the datasets that are declared, or have a folder of raw or preprocessed data."""
    there = {dataset.dataset for dataset in project.datasets}
    for folder in (roots.raw, roots.preprocessed):
        there |= {path.name for path in folder.glob("Dataset*") if re.fullmatch(DATASET_PATTERN, path.name)}
    return there


def chosen_experiment(named: NamedFold, dataset: str, project: Project) -> ExperimentConfig:
    """Returns the declared experiment that is named; one made of the options where none is declared.

    Options that change the result make a variant, so that its results lie apart: `--seed 7` is the variant `seed7`
    where `--variant` gives it no other name.

    Raises:
        ConfigError: An option contradicts what is declared, what is typed fits declared experiments without being one
            of them, or a value cannot be one of an experiment.
    """
    changing, unchanging = named.changing, named.unchanging
    name = named.variant or _variant_name(changing)
    _, configuration, _ = named.words()
    trainer, plans = named.trainer or DEFAULT_TRAINER, named.plans or DEFAULT_PLANS
    identity = Experiment(dataset, configuration, trainer, plans, name)
    for declared in project.experiments:
        if identity in (declared.declared_identity, declared.identity):
            _refuse_other_settings(declared, changing, project)
            return declared.model_copy(update=unchanging)
    if not changing:
        _refuse_half_named(named, identity, project)
    if named.variant and not changing:
        variants = sorted({e.variant.name for e in project.experiments if e.variant})
        raise ConfigError(
            f"{identity.title} is not declared in {project.root}.{did_you_mean(named.variant, variants)} Declared "
            f"variants: {', '.join(variants) or 'none'}. Declare it, or give a flag that makes it one, such as --seed."
        )
    return experiment_of(
        dataset=dataset,
        configuration=configuration,
        plans=plans,
        trainer=trainer,
        variant={"name": name, **changing} if name else None,
        **unchanging,
    )


def undeclared_remark(identity: Experiment, project: Project) -> str | None:
    """Returns what somebody should know of an experiment that is trained as typed; None: it is declared."""
    declared = [one.identity for one in project.experiments_of(identity.dataset)]
    if identity in declared:
        return None
    there = f" Declared on {identity.dataset}: {first_offenders([one.name_in_dataset for one in declared])}."
    return (
        f"{identity.title} is not declared in {project.root}: it is trained as typed, and {identity.trainer} sets the "
        f"rest itself (nnU-Net's own: 1000 epochs).{there if declared else ''}"
    )


def _refuse_half_named(named: NamedFold, identity: Experiment, project: Project) -> None:
    """Refuses what would begin nnU-Net's 1000 epochs in the place of a declared training, for want of a flag."""
    declared = [one.declared_identity for one in project.experiments_of(identity.dataset)]
    fitting = [one for one in declared if _is_of(one, named)]
    if not fitting or named.undeclared:
        return
    lines = [
        f"{identity.title} is not declared in {project.root}, which declares others that are all that is typed and "
        "more. Give the flags of the one that is meant:",
        *(f"    {' '.join(_flags_of(one))}" for one in fitting),
    ]
    if not named.variant:
        rest = f"with all that {identity.trainer} sets itself (nnU-Net's own: 1000 epochs)."
        lines.append(f"or --undeclared, to train what is typed {rest}")
    raise ConfigError("\n".join(lines))


def _is_of(experiment: Experiment, named: NamedFold) -> bool:
    """Says whether an experiment is all that is typed; it may be more."""
    typed = ("configuration", "trainer", "plans", "variant")
    return all(getattr(named, name) in (None, getattr(experiment, name)) for name in typed)


def _flags_of(experiment: Experiment) -> list[str]:
    """Returns what names an experiment beside its dataset and configuration."""
    named = {"--variant": experiment.variant}
    named |= {"-tr": experiment.trainer if experiment.trainer != DEFAULT_TRAINER else None}
    named |= {"-p": experiment.plans if experiment.plans != DEFAULT_PLANS else None}
    return [word for flag, value in named.items() if value for word in (flag, value)]


def _variant_name(changing: Mapping[str, Any]) -> str | None:
    names = {"pretrained_weights": "pretrained", "deterministic": "deterministic", "restore_best": "best"}
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
