"""What a declared search must not say: a space that cannot be searched, a fold that is not there, a taken name."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from nnunet_assets.core.dataset.configurations import unknown_configuration
from nnunet_assets.core.search.space import Space
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.engine_file import ENGINE_FILE
from nnunet_assets.declarations.rules.contradictions import undeclared_sentence
from nnunet_assets.declarations.rules.planned import PlannedConfigurations
from nnunet_assets.declarations.search_config import TAKEN, DimensionConfig, SearchConfig
from nnunet_assets.declarations.sections.engine_config import EngineConfig
from nnunet_assets.declarations.sections.tunable_trainers import TRAINERS, TunableChoices
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.declarations.yaml_files.documents import Declared, FileProblem
from nnunet_assets.declarations.yaml_files.sentences import validation_problems
from nnunet_assets.declarations.yaml_files.yaml_source import Location
from nnunet_assets.errors import ConfigError, did_you_mean

SPACE: Location = ("attributes", "space")
_TRIALS: Location = ("attributes", "budget", "trials")


def search_problems(
    searches: Sequence[Declared[SearchConfig]],
    experiments: Sequence[Declared[ExperimentConfig]],
    datasets: Sequence[Declared[DatasetConfig]],
    planned: PlannedConfigurations,
    engine: EngineConfig,
    *,
    knows_all: bool,
) -> Iterator[FileProblem]:
    """Yields what is wrong with searches.

    Args:
        searches: The valid ones, in file order; of two that clash, the later is reported.
        experiments: The valid ones.
        datasets: The valid ones.
        planned: What the plans have, where they are there.
        engine: The project's.
        knows_all: Whether every declaration could be read; else a dataset that is not there may only be wrong.
    """
    n_folds = {declared.config.dataset: declared.config.folds for declared in datasets}
    first_by_name: dict[tuple[str, str], Declared[SearchConfig]] = {}
    for declared in searches:
        config = declared.config
        key = (config.of.dataset, config.name.casefold())
        if (first := first_by_name.setdefault(key, declared)) is not declared:
            sentence = (
                f"a search {config.name} of {config.of.dataset} is already declared at {first.place}, and the trials "
                "of both would have the same names. Give one of them another name."
            )
            yield declared.problem(("attributes", "name"), sentence)
        if config.of.dataset in n_folds:
            yield from _fold_outside(declared, n_folds[config.of.dataset])
        elif knows_all:
            sentence = undeclared_sentence(config.of.dataset, list(n_folds))
            yield declared.problem(("attributes", "of", "dataset"), sentence)
        yield from _configuration(declared, planned)
        yield from _engine(declared, engine)
        wrong = [*space_problems(declared, planned)]
        yield from wrong or _taken_names(declared, experiments)


def space_problems(declared: Declared[SearchConfig], planned: PlannedConfigurations) -> Iterator[FileProblem]:
    """Yields what is wrong with a search's space, and with the number of trials for it."""
    found = [*_settings(declared, planned)]
    yield from found
    if found:
        return
    config, space = declared.config, declared.config.declared_space
    if not space.dimensions:
        sentence = "varies nothing. Write how a setting is varied, such as `initial_lr: {log: [1.0e-4, 1.0e-1]}`."
        yield declared.problem(SPACE, sentence)
        return
    n_points = space.n_points
    if n_points == 1:
        yield declared.problem(
            SPACE, "has one point, so that there is nothing to search. Widen it, or train that point."
        )
    elif config.sampler == "grid" and n_points is None:
        name = next(one.name for one in space.dimensions if one.values is None)
        sentence = "is a range of numbers, of which there is no grid: list them in a `choice`, or take another sampler."
        yield declared.problem((*SPACE, name), sentence)
    elif n_points is None and config.budget.trials is None:
        sentence = "is missing: only of a grid is it known how many there are."
        yield declared.problem(_TRIALS, sentence)
    elif config.sampler != "grid" and config.budget.trials is None:
        sentence = f"is missing. The space has {n_points} points; `sampler: grid` tries them all."
        yield declared.problem(_TRIALS, sentence)
    elif n_points is not None and (config.budget.trials or 0) > n_points:
        sentence = f"{config.budget.trials} trials are asked for, and the space has {n_points} points. Ask for no more."
        yield declared.problem(_TRIALS, sentence)


def _settings(declared: Declared[SearchConfig], planned: PlannedConfigurations) -> Iterator[FileProblem]:
    """Yields what is wrong with single settings: how each is varied, and whether a trial can have its values."""
    config, earlier = declared.config, Space(())
    for name, value in config.space.items():
        problems = [*_name_problems(declared, name), *_dimension_problems(declared, name, value)]
        if isinstance(value, dict) and not problems:
            dimension = DimensionConfig.model_validate(value).dimension(name)
            problems += _condition_problems(declared, name, dimension.when, earlier)
            earlier = Space((*earlier.dimensions, dimension))
            values: Sequence[Any] = dimension.ends
        else:
            values = [value]
        yield from problems or _value_problems(declared, name, values, planned)


def _name_problems(declared: Declared[SearchConfig], name: str) -> Iterator[FileProblem]:
    trainer = declared.config.of.trainer
    remedies = {
        "num_epochs": "every trial has the whole schedule of `budget.max_epochs`",
        "patience": "trials would end after different epochs, and `budget.min_epochs` stops the worse ones",
        "continues": "every trial begins at its first epoch",
        "name": "each trial's variant has the search's name with a number",
        "hyperparameters": "write what the trainer has beside the rest, each by its own name",
    }
    if name in TAKEN:
        yield declared.problem((*SPACE, name), f"is not for a space: {remedies[name]}.")
    elif trainer in TRAINERS and name not in {**VariantConfig.model_fields, **TunableChoices.model_fields}:
        known = [*(set(VariantConfig.model_fields) - set(TAKEN)), *TunableChoices.model_fields]
        sentence = f"{trainer} has no such setting.{did_you_mean(name, known)} It has {', '.join(sorted(known))}."
        yield declared.problem((*SPACE, name), sentence)


def _dimension_problems(declared: Declared[SearchConfig], name: str, value: Any) -> Iterator[FileProblem]:
    location = (*SPACE, name)
    if isinstance(value, list):
        sentence = f"is a list. What is to be chosen from is a `choice`: write `{name}: {{choice: [...]}}`."
        yield declared.problem(location, sentence)
    elif isinstance(value, dict):
        try:
            DimensionConfig.model_validate(value)
        except ValidationError as error:
            known = {problem.location for problem in declared.document.problems}
            found = validation_problems(error, DimensionConfig, declared.document, location)
            yield from (FileProblem(declared.file, one) for one in found if one.location not in known)


def _condition_problems(
    declared: Declared[SearchConfig], name: str, when: Mapping[str, Sequence[Any]], earlier: Space
) -> Iterator[FileProblem]:
    choices = {one.name: one for one in earlier.dimensions if one.kind == "choice"}
    for other, values in when.items():
        location = (*SPACE, name, "when", other)
        if other not in choices:
            there = ", ".join(choices) or "none"
            sentence = (
                f"is no choice of this space that stands before {name}.{did_you_mean(other, choices)} Of these there "
                f"are: {there}."
            )
            yield declared.problem(location, sentence)
            continue
        if not values:
            yield declared.problem(
                location, f"is an empty list, so that {name} would be part of no trial. Name a value."
            )
        for value in values:
            if not choices[other].holds(value):
                offered = ", ".join(map(str, choices[other].choices))
                yield declared.problem(location, f"{value!r} is not among what {other} may be: {offered}.")


def _value_problems(
    declared: Declared[SearchConfig], name: str, values: Sequence[Any], planned: PlannedConfigurations
) -> Iterator[FileProblem]:
    of = declared.config.of
    plan = (planned.of(of.dataset, of.plans) or {}).get(of.configuration)
    for value in values:
        config = declared.config.model_copy(update={"space": {}})
        try:
            sizes = config.trial(0, {name: value}).sizes
        except ConfigError as error:
            first = str(error).splitlines()[0].removeprefix("variant.").removeprefix(f"{name}: ")
            sentence = first.rpartition("Value error, ")[2].removeprefix(f"{value!r}: ")
            yield declared.problem((*SPACE, name), f"no trial can have {value!r}: {sentence}")
            return
        if sizes and (problem := sizes.problem_with(of.configuration, plan)):
            yield declared.problem((*SPACE, name), problem)
            return


def _taken_names(
    declared: Declared[SearchConfig], experiments: Sequence[Declared[ExperimentConfig]]
) -> Iterator[FileProblem]:
    config = declared.config
    for other in experiments:
        variant = other.config.variant
        if (
            variant
            and other.config.dataset == config.of.dataset
            and re.fullmatch(rf"{re.escape(config.name)}_[0-9]{{3,}}", variant.name, re.IGNORECASE)
            and not config.is_like_a_trial(other.config)  # else the trial itself, adopted
        ):
            sentence = (
                f"the variant {variant.name} at {other.place} has the name of one of its trials. Give the search "
                "another name, or the variant."
            )
            yield declared.problem(("attributes", "name"), sentence)
            return


def _fold_outside(declared: Declared[SearchConfig], n_folds: int) -> Iterator[FileProblem]:
    config = declared.config
    if config.fold >= n_folds:
        sentence = f"fold {config.fold} does not exist: {config.of.dataset} has {n_folds} folds, 0 to {n_folds - 1}."
        yield declared.problem(("attributes", "fold"), sentence)


def _configuration(declared: Declared[SearchConfig], planned: PlannedConfigurations) -> Iterator[FileProblem]:
    config, of = declared.config, declared.config.of
    there = planned.of(of.dataset, of.plans)
    available = None if there is None else list(there)
    source = planned.file(of.dataset, of.plans)
    sentence = unknown_configuration(of.configuration, of.plans, available, source)
    if sentence and of.configuration not in planned.coming_back(of.dataset, of.plans):
        yield declared.problem(("attributes", "of", "configuration"), sentence)
    elif config.identity.previous_stage(there):
        sentence = (
            f"{of.configuration} reads the predictions of an earlier stage of the same variant, which a trial "
            "has not. Search the settings of that stage, or of 3d_fullres."
        )
        yield declared.problem(("attributes", "of", "configuration"), sentence)


def _engine(declared: Declared[SearchConfig], project: EngineConfig) -> Iterator[FileProblem]:
    config = declared.config
    own = config.each.over(project) if config.each else project
    if problem := own.problem_with(device=config.of.device, num_gpus=1, is_whole=True):
        yield declared.problem(("attributes", "each"), f"by {ENGINE_FILE} {problem}.")
