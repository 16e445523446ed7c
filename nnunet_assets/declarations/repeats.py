"""Which declared experiments are repeats of one another: the same training but for its seed.

Nothing is declared for it: a variant that sets `seed` alone repeats the experiment without a variant, and two variants
that differ in name and `seed` alone repeat each other. What they differ in is the noise between seeds.
"""

from collections.abc import Sequence

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.config import ExperimentConfig


def sets_of_repeats(configs: Sequence[ExperimentConfig]) -> list[frozenset[Experiment]]:
    """Returns each set of two or more experiments that are repeats of one another."""
    by_training: dict[str, set[Experiment]] = {}
    for config in configs:
        by_training.setdefault(_training_but_seed(config), set()).add(config.identity)
    return [frozenset(found) for found in by_training.values() if len(found) > 1]


def _training_but_seed(config: ExperimentConfig) -> str:
    options = config.variant.options() if config.variant else {}
    return json_sha256(
        {
            "dataset": config.dataset,
            "configuration": config.configuration,
            "plans": config.identity.plans,
            "trainer": config.trainer,
            "overrides": config.variant.overrides() if config.variant else {},
            "continues": config.continued.title if config.continued else None,
            "options": {name: value for name, value in options.items() if name != "seed"},
        }
    )
