"""The comparison of a dataset's declared experiments, from their summaries on the disk."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from nnunet_assets.config import ExperimentConfig
from nnunet_assets.core.layout import Roots
from nnunet_assets.core.summary_files import complete_summaries
from nnunet_assets.declarations.repeats import sets_of_repeats
from nnunet_assets.project import Project

if TYPE_CHECKING:
    from nnunet_assets.core.comparison import Comparison


def compare_declared(roots: Roots, project: Project, dataset: str) -> "Comparison":
    """Returns the comparison of the experiments that have a complete summary; the others are named in it.

    Raises:
        ConfigError: The dataset is not declared.
        SummaryError: There are summaries, and no two of them may be compared.
    """
    project.dataset(dataset)
    configs: Sequence[ExperimentConfig] = project.experiments_of(dataset)
    # numpy takes a tenth of a second in every process that loads the definitions.
    from nnunet_assets.core.comparison import compare
    from nnunet_assets.core.contenders import Contender

    summaries, left_out = complete_summaries(roots, {config.identity: project.folds_of(config) for config in configs})
    repeats = [frozenset(one.name_in_dataset for one in found) for found in sets_of_repeats(configs)]
    return compare(dataset, [Contender.of(summary) for summary in summaries], left_out, repeats)
