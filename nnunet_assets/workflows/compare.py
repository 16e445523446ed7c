"""The comparison of a dataset's declared experiments, from their summaries and evaluations on the disk."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.evaluation.evaluation_files import PARQUET_FILE, evaluation_folder, read_evaluation
from nnunet_assets.core.evaluation.metric_policy import metric_policy
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.statistics.scoring import DIAGONAL_MM, scale_of
from nnunet_assets.core.summary.cv_summary import CvSummary
from nnunet_assets.core.summary.summary_files import complete_summaries
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.repeats import sets_of_repeats
from nnunet_assets.errors import DatasetError, EvaluationError
from nnunet_assets.reports.tables.case_table import read_cases

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
    from nnunet_assets.core.comparison.comparison import Comparison
    from nnunet_assets.core.comparison.evaluated_experiments import CaseMetrics


def compare_declared(roots: Roots, project: Project, dataset: str) -> "Comparison":
    """Returns the comparison of the experiments that have a complete summary; the others are named in it.

    Raises:
        ConfigError: The dataset is not declared.
        SummaryError: There are summaries, and no two of them may be compared.
    """
    project.dataset(dataset)
    # numpy takes a tenth of a second in every process that loads the definitions.
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
    from nnunet_assets.core.comparison.comparison import compare

    summaries, left_out = _summaries(roots, project, dataset)
    return compare(dataset, [ComparedExperiment.of(one) for one in summaries], left_out, _repeats(project, dataset))


def compare_evaluated(roots: Roots, project: Project, dataset: str, metric: str) -> "Comparison":
    """Returns the comparison by a metric of the declared evaluations; who has none of its summary's folds is left out.

    Args:
        metric: Of `evaluation.EVALUATED_METRICS`.

    Raises:
        ConfigError: The dataset is not declared.
        SummaryError: There are evaluations, and no two of the experiments may be compared.
    """
    config = project.dataset(dataset)
    from nnunet_assets.core.comparison.comparison import compare

    summaries, left_out = _summaries(roots, project, dataset)
    evaluations: list[_Evaluation] = []
    for summary in summaries:
        name = summary.experiment.name_in_dataset
        try:
            found = _evaluation(roots, config, summary, metric)
        except (DatasetError, EvaluationError) as error:
            left_out[name] = str(error)
            continue
        if evaluations and found.policy_digest != evaluations[0].policy_digest:
            first = evaluations[0].summary.experiment.name_in_dataset
            left_out[name] = f"its labels are measured by other rules than those of {first}"
        else:
            evaluations.append(found)
    experiments, diagonal_mm = _evaluated_experiments(evaluations, metric, left_out)
    return compare(dataset, experiments, left_out, _repeats(project, dataset), diagonal_mm=diagonal_mm)


@dataclass(frozen=True)
class _Evaluation:
    summary: CvSummary
    policy_digest: str
    content: Mapping[str, Any]
    cases: "CaseMetrics"


def _evaluation(roots: Roots, config: DatasetConfig, summary: CvSummary, metric: str) -> _Evaluation:
    from nnunet_assets.core.comparison.evaluated_experiments import columns_of

    model = summary.experiment.model_folder(roots)
    policy = metric_policy(parse_dataset_json(model / DATASET_JSON), config.nsd_tolerance_mm, config.lesion_labels)
    folder = evaluation_folder(model)
    content = read_evaluation(folder, policy)
    cases = read_cases(folder / PARQUET_FILE, columns_of(metric), if_there=[DIAGONAL_MM])
    return _Evaluation(summary, policy.digest, content, cases)


def _evaluated_experiments(
    evaluations: Sequence[_Evaluation], metric: str, left_out: dict[str, str]
) -> tuple[list["ComparedExperiment"], float | None]:
    """Returns the experiments with their metric, and what a missed object counts as a distance in it."""
    from nnunet_assets.core.comparison.evaluated_experiments import evaluated_experiment, largest_diagonal_mm

    experiments: list[ComparedExperiment] = []
    diagonal_mm = largest_diagonal_mm(one.cases for one in evaluations)
    for one in evaluations:
        try:
            found = evaluated_experiment(one.summary, one.content, one.cases, metric, diagonal_mm=diagonal_mm)
        except EvaluationError as error:
            left_out[one.summary.experiment.name_in_dataset] = str(error)
        else:
            experiments.append(found)
    return experiments, diagonal_mm if scale_of(metric).is_lower_better else None


def _summaries(roots: Roots, project: Project, dataset: str) -> tuple[list[CvSummary], dict[str, str]]:
    configs = project.experiments_of(dataset)
    return complete_summaries(roots, {config.identity: project.folds_of(config) for config in configs})


def _repeats(project: Project, dataset: str) -> list[frozenset[str]]:
    sets = sets_of_repeats(project.experiments_of(dataset))
    return [frozenset(one.name_in_dataset for one in found) for found in sets]
