"""What valid declarations must not say together: the same twice, an undeclared dataset, names that collide."""

import re
from collections.abc import Iterator, Mapping, Sequence

from nnunet_assets.core.dataset.configurations import unknown_configuration
from nnunet_assets.core.files.layout import Experiment, plans_key
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.rules.continued import continued_problems
from nnunet_assets.declarations.rules.planned import PlannedConfigurations
from nnunet_assets.declarations.yaml_files.documents import DATASET_TYPE, Declared, FileProblem
from nnunet_assets.errors import did_you_mean


def contradictions(
    datasets: Sequence[Declared[DatasetConfig]],
    experiments: Sequence[Declared[ExperimentConfig]],
    invalid_datasets: frozenset[str],
    planned: PlannedConfigurations,
    *,
    knows_all: bool = True,
) -> Iterator[FileProblem]:
    """Yields what is wrong between declarations.

    Args:
        datasets: The valid ones, in file order; of two that clash, the later is reported.
        experiments: The valid ones, in file order.
        invalid_datasets: Names of datasets whose declaration has errors of its own; experiments on them are left alone.
        planned: What the plans have, where they are there.
        knows_all: Whether every declaration of a dataset could be read as far as its name; else none is missed.
    """
    yield from _dataset_clashes(datasets)
    yield from _experiment_clashes(experiments)
    folds = {declared.config.dataset: declared.config.folds for declared in datasets}
    for declared in experiments:
        dataset = declared.config.dataset
        if dataset in folds:
            yield from _folds_outside(declared, folds[dataset])
        elif knows_all and dataset not in invalid_datasets:
            yield declared.problem(("attributes", "dataset"), undeclared_sentence(dataset, list(folds)))
    yield from _configurations_unknown(experiments, planned)
    yield from _sizes_unfit(experiments, planned)
    yield from continued_problems(experiments, folds)
    yield from _stages_missing(experiments, folds, planned)


def undeclared_sentence(dataset: str, declared: Sequence[str]) -> str:
    """Says that a dataset is not declared, which are, and how to declare it."""
    there = f"Declared: {', '.join(declared)}." if declared else "No dataset is declared."
    return (
        f"{dataset} is not declared.{did_you_mean(dataset, declared)} {there} Declare it in a document with "
        f"`type: {DATASET_TYPE}` and `attributes: {{dataset: {dataset}}}`."
    )


def _dataset_clashes(datasets: Sequence[Declared[DatasetConfig]]) -> Iterator[FileProblem]:
    location = ("attributes", "dataset")
    first_by_id: dict[str, Declared[DatasetConfig]] = {}
    for declared in datasets:
        name = declared.config.dataset
        number = name[len("Dataset") :][:3]
        first = first_by_id.setdefault(number, declared)
        if first is declared:
            continue
        if first.config.dataset == name:
            sentence = (
                f"{name} is already declared at {first.place}. Declare it once; experiments name it in `dataset`."
            )
        else:
            sentence = (
                f"{name} has the number {number} of {first.config.dataset} ({first.place}), and nnU-Net finds datasets "
                "by their number. Give one of them another number."
            )
        yield declared.problem(location, sentence)


def _experiment_clashes(experiments: Sequence[Declared[ExperimentConfig]]) -> Iterator[FileProblem]:
    """Yields experiments that are the same, or become the same in the names that Dagster or the disk gives them."""
    first_by_name: dict[str, tuple[tuple[str, ...], Declared[ExperimentConfig]]] = {}
    by_words: dict[Experiment, Declared[ExperimentConfig]] = {}
    for declared in experiments:
        identity = declared.config.identity
        alike = by_words.setdefault(declared.config.declared_identity, declared)
        if alike.config.sizes != declared.config.sizes:
            sentence = (
                f"{declared.config.declared_identity.title} is declared at {alike.place} with other batch_size or "
                "patch_size, and nobody could tell them apart by their words. Give the variant a name of its own."
            )
            yield declared.problem(("attributes", "variant", "name"), sentence)
        for key in (identity.key_prefix, plans_key(identity.dataset, declared.config.plans)):
            first_key, first = first_by_name.setdefault(_escaped(key), (key, declared))
            if first is declared:
                continue
            if first_key != key:
                sentence = (
                    f"{' / '.join(key)} and {' / '.join(first_key)} ({first.place}) become one name in Dagster, which "
                    "writes '.' and '-' as '_', or one folder where capitals do not count. Rename one of them."
                )
                yield declared.problem(("attributes",), sentence)
            elif key == identity.key_prefix:
                sentence = (
                    f"{identity.title} is already declared at {first.place}, and both would write the same results. "
                    "Remove one, or give it a variant with a name of its own."
                )
                yield declared.problem(("attributes",), sentence)


def _escaped(key: Sequence[str]) -> str:
    return re.sub(r"[^A-Za-z0-9_]", "_", "__".join(key)).casefold()


def _folds_outside(declared: Declared[ExperimentConfig], n_folds: int) -> Iterator[FileProblem]:
    for index, fold in enumerate(declared.config.folds or []):
        if fold >= n_folds:
            sentence = (
                f"fold {fold} does not exist: {declared.config.dataset} has {n_folds} folds, 0 to {n_folds - 1}. "
                "nnU-Net would train it on a random split of its own."
            )
            yield declared.problem(("attributes", "folds", index), sentence)


def _configurations_unknown(
    experiments: Sequence[Declared[ExperimentConfig]], planned: PlannedConfigurations
) -> Iterator[FileProblem]:
    for declared in experiments:
        config = declared.config
        if config.configuration in planned.coming_back(config.dataset, config.plans):
            continue
        there = planned.of(config.dataset, config.plans)
        source = planned.file(config.dataset, config.plans)
        available = None if there is None else list(there)
        if sentence := unknown_configuration(config.configuration, config.plans, available, source):
            yield declared.problem(("attributes", "configuration"), sentence)


def _sizes_unfit(
    experiments: Sequence[Declared[ExperimentConfig]], planned: PlannedConfigurations
) -> Iterator[FileProblem]:
    """Yields patch sizes that the network of a configuration cannot have, as far as it is planned."""
    for declared in experiments:
        config = declared.config
        plan = (planned.of(config.dataset, config.plans) or {}).get(config.configuration)
        if problem := config.sizes.problem_with(config.configuration, plan):
            yield declared.problem(("attributes", "variant", "patch_size"), problem)


def _stages_missing(
    experiments: Sequence[Declared[ExperimentConfig]], n_folds: Mapping[str, int], planned: PlannedConfigurations
) -> Iterator[FileProblem]:
    """Yields cascades whose previous stage is not declared, or does not predict every case."""
    by_identity = {declared.config.identity: declared for declared in experiments}
    for declared in experiments:
        stage = declared.config.identity.previous_stage(planned.of(declared.config.dataset, declared.config.plans))
        if stage is None:
            continue
        location = ("attributes", "configuration")
        wanted = f"{declared.config.configuration} starts from the predictions of {stage.title}"
        previous = by_identity.get(stage)
        if previous is None:
            name = ", batch_size and patch_size" if declared.config.sizes else " name"
            sentence = f"{wanted}, which is not declared. Declare it with the same trainer, plans and variant{name}."
            yield declared.problem(location, sentence)
        elif declared.config.test_set and not previous.config.test_set:
            sentence = f"{wanted}, for the test set too; set `test_set: true` at {previous.place} as well."
            yield declared.problem(("attributes", "test_set"), sentence)
        elif previous.config.folds and len(previous.config.folds) < n_folds.get(stage.dataset, 0):
            sentence = (
                f"{wanted}, of which {previous.place} declares some folds only. Each fold predicts its own validation "
                "cases, and the cascade needs them all: remove `folds` there."
            )
            yield declared.problem(location, sentence)
