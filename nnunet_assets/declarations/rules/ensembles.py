"""What a declared ensemble must not say beside the experiments: members that are not there, twice, or share no fold."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.declarations.experiment_words import named_experiments, parts_of, words_of
from nnunet_assets.declarations.yaml_files.documents import Declared, FileProblem
from nnunet_assets.errors import did_you_mean, first_offenders


@dataclass(frozen=True)
class ReadEnsembles:
    """The declared ensembles as far as they are right.

    Attributes:
        members: By ensemble, the experiments that it names, in the order of their names.
        problems: What is wrong.
    """

    members: Mapping[Experiment, tuple[Experiment, ...]] = field(default_factory=dict)
    problems: Sequence[FileProblem] = ()


def read_ensembles(
    ensembles: Sequence[Declared[EnsembleConfig]],
    experiments: Sequence[Declared[ExperimentConfig]],
    datasets: Sequence[Declared[DatasetConfig]],
    *,
    knows_all: bool,
) -> ReadEnsembles:
    """Returns the members of the ensembles, and what is wrong with them.

    Args:
        ensembles: The valid ones, in file order; of two that clash, the later is reported.
        experiments: The valid ones.
        datasets: The valid ones.
        knows_all: Whether every declaration could be read; else a member that is not there may only be wrong.
    """
    members: dict[Experiment, tuple[Experiment, ...]] = {}
    problems: list[FileProblem] = []
    n_folds = {declared.config.dataset: declared.config.folds for declared in datasets}
    by_identity = {declared.config.identity: declared.config for declared in experiments}
    first_by_name: dict[tuple[str, ...], Declared[EnsembleConfig]] = {}
    for declared in ensembles:
        config = declared.config
        key = tuple(part.casefold() for part in config.identity.key_prefix)
        if (first := first_by_name.setdefault(key, declared)) is not declared:
            sentence = f"{config.identity.title} is already declared at {first.place}. Give one of them another name."
            problems.append(declared.problem(("attributes", "name"), sentence))
            continue
        if config.dataset not in n_folds:
            if knows_all:
                sentence = f"{config.dataset} is not declared.{did_you_mean(config.dataset, n_folds)}"
                problems.append(declared.problem(("attributes", "dataset"), sentence))
            continue
        found, wrong = _members(declared, by_identity, knows_all=knows_all)
        problems += wrong
        if not wrong:
            problems += _unfit(declared, [by_identity[member] for member in found], n_folds[config.dataset])
            members[config.identity] = tuple(sorted(found, key=lambda member: member.name_in_dataset))
    return ReadEnsembles(members, problems)


def shared_indices(configs: Sequence[ExperimentConfig], n_folds: int) -> list[int]:
    """Returns the numbers of the folds that all of some experiments train, of a dataset with so many folds."""
    wanted = [set(range(n_folds) if config.folds is None else config.folds) for config in configs]
    return sorted(set.intersection(*wanted))


def _members(
    declared: Declared[EnsembleConfig], experiments: Mapping[Experiment, ExperimentConfig], *, knows_all: bool
) -> tuple[list[Experiment], list[FileProblem]]:
    """Returns the experiments that the members name, and what is wrong with those that name none, or several."""
    dataset = declared.config.dataset
    of_dataset = [one for one in experiments if one.dataset == dataset]
    found: list[Experiment] = []
    problems = []
    for index, text in enumerate(declared.config.members):
        named = named_experiments(parts_of([text]), of_dataset)
        sentence = None
        if len(named) != 1:
            sentence = _not_one(text, dataset, named, [*experiments]) if named or knows_all else ""
        elif named[0] in found:
            sentence = f"{text!r} is {named[0].name_in_dataset}, which another member of the list is already."
        else:
            found += named
        if sentence is not None:
            problems.append(declared.problem(("attributes", "members", index), sentence))
    return found, [problem for problem in problems if problem.problem.sentence]


def _not_one(text: str, dataset: str, named: Sequence[Experiment], experiments: Sequence[Experiment]) -> str:
    if named:
        names = first_offenders([one.name_in_dataset for one in named])
        return f"{text!r} may mean {names}. Name one of them, such as {named[0].name_in_dataset}."
    if others := named_experiments(parts_of([text]), experiments):
        return f"{others[0].title} is of another dataset than the ensemble, {dataset}. Its members are of one."
    there = [one for one in experiments if one.dataset == dataset]
    near = did_you_mean(text, {word for one in there for word in words_of(one)})
    names = first_offenders([one.name_in_dataset for one in there]) or "none"
    return f"{text!r} is no declared experiment of {dataset}.{near} There are: {names}."


def _unfit(
    declared: Declared[EnsembleConfig], configs: Sequence[ExperimentConfig], n_folds: int
) -> Iterator[FileProblem]:
    location = ("attributes", "members")
    if without := [config.identity.name_in_dataset for config in configs if config.disable_checkpointing]:
        sentence = f"{first_offenders(without)} has `disable_checkpointing`, and without a checkpoint nothing predicts."
        yield declared.problem(location, sentence)
    if not shared_indices(configs, n_folds):
        sentence = "the members train no fold in common, and an ensemble is scored fold by fold. Look at their `folds`."
        yield declared.problem(location, sentence)
