"""Experiments by the words that name them: dataset, variant, trainer, plans, configuration, in any number and order."""

import re
from collections.abc import Iterable, Sequence

from nnunet_assets.core.files.layout import Experiment


def parts_of(words: Iterable[str]) -> list[str]:
    """Returns the words of a text such as `short/nnUNetTrainer__nnUNetPlans__2d`, or of several."""
    return [part for word in words for part in re.split(r"[/\s]+", word) if part]


def named_experiments(parts: Sequence[str], experiments: Iterable[Experiment]) -> list[Experiment]:
    """Returns those that have all of the words; one without a variant, where all others that do have one."""
    named = [one for one in experiments if all(part in words_of(one) for part in parts)]
    plain = [one for one in named if one.variant is None]
    return plain if len(named) > 1 and len(plain) == 1 else named


def words_of(experiment: Experiment) -> set[str]:
    """Returns every word that may be said for an experiment; its dataset's number is one."""
    words = {experiment.dataset, experiment.name, experiment.trainer, experiment.plans, experiment.configuration}
    number = re.match(r"Dataset0*([0-9]+)_", experiment.dataset)
    if number:
        words |= {number[1], number[1].zfill(3)}
    return words | {experiment.variant or experiment.dataset}
