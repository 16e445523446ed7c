"""What is wrong with variants that continue others: one that is not declared, a circle, folds that are not trained."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold.continued_fold import DEFAULT_VARIANT
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.yaml_files.documents import Declared, FileProblem
from nnunet_assets.errors import did_you_mean, first_offenders

Experiments = Mapping[Experiment, Declared[ExperimentConfig]]


def continued_problems(
    experiments: Sequence[Declared[ExperimentConfig]], n_folds: Mapping[str, int]
) -> Iterator[FileProblem]:
    """Yields each, at the field that it is about.

    Args:
        experiments: The valid ones.
        n_folds: By declared dataset.
    """
    by_identity = {declared.config.identity: declared for declared in experiments}
    for declared in experiments:
        parent = declared.config.continued
        if parent is None:
            continue
        there = by_identity.get(parent)
        if there is None:
            sentence, field = _not_declared(declared.config, parent, by_identity), "continues"
        elif circle := _circle(declared.config.identity, by_identity):
            sentence, field = f"the variants continue each other in a circle: {' from '.join(circle)}.", "continues"
        else:
            sentence, field = _unfit(declared.config, there, n_folds.get(parent.dataset, 0))
        if sentence:
            yield declared.problem(("attributes", "variant", field), sentence)


def _not_declared(config: ExperimentConfig, parent: Experiment, experiments: Experiments) -> str:
    named = config.variant.continues if config.variant else None
    if other := next((one for one in experiments if _differs_in_training(one, parent)), None):
        return (
            f"{named} is declared at {experiments[other].place} as {other.name}, and a training goes on with the same "
            f"network, plans and trainer: {parent.name}. Declare {named} with these too, or these with the same "
            "trainer, plans, batch_size and patch_size."
        )
    alike = [one.variant or DEFAULT_VARIANT for one in experiments if replace(one, variant=parent.variant) == parent]
    alike.remove(config.identity.variant or DEFAULT_VARIANT)
    return (
        f"{parent.title} is not declared, and its folds are to be continued.{did_you_mean(named, alike)} Variants of "
        f"the same dataset, configuration, plans and trainer: {first_offenders(alike) or 'none'}. ({DEFAULT_VARIANT} "
        "is the one without a variant.)"
    )


def _differs_in_training(one: Experiment, parent: Experiment) -> bool:
    alike = replace(one, trainer=parent.trainer, plans=parent.plans)
    return one != parent and alike == parent


def _circle(identity: Experiment, experiments: Experiments) -> list[str]:
    """Returns the variants from one back to itself, where they continue each other; none where they do not."""
    line = [identity]
    while (there := experiments.get(line[-1])) and (parent := there.config.continued):
        line.append(parent)
        if parent == identity:
            return [one.variant or DEFAULT_VARIANT for one in line]
        if parent in line[:-1]:  # one that this leads to, and is not part of
            return []
    return []


def _unfit(config: ExperimentConfig, parent: Declared[ExperimentConfig], n_folds: int) -> tuple[str, str]:
    """Returns what of a declared parent does not fit, and the field that it is about; empty where it fits."""
    wanted, there = (set(range(n_folds) if one.folds is None else one.folds) for one in (config, parent.config))
    what = f"{parent.config.identity.title}, declared at {parent.place}"
    if parent.config.disable_checkpointing:
        return f"{what}, has `disable_checkpointing`, and leaves nothing to go on with.", "continues"
    if missing := sorted(wanted - there):
        return (
            f"{what}, does not train fold {missing[0]}, which is to be continued. Name the same `folds`.",
            "continues",
        )
    if config.full_model and not parent.config.full_model:
        return f"{what}, has no `full_model`, and the one here is to continue it. Declare it there too.", "continues"
    epochs, before = (one.variant.num_epochs if one.variant else None for one in (config, parent.config))
    if epochs and before and epochs <= before:
        return f"{epochs} counts the {before} epochs of {what}, too: none would be left. Declare more.", "num_epochs"
    return "", ""
