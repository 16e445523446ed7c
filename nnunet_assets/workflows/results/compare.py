"""The comparison of a dataset's declared experiments, from their summaries and evaluations on the disk.

On disk: `nnUNet_results/DATASET/nnunet_assets/`, beside the models: `comparison.json` (all of it),
`comparison_differences.csv` and the same as a figure (`.svg`, `.png`), `comparison_ranks.csv`, `comparison.md`, and the
table of experiments by labels, `comparison_table.csv`, `.parquet`, `.tex` and `.md`.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON, parse_dataset_json
from nnunet_assets.core.evaluation.evaluation_files import PARQUET_FILE, evaluation_folder, read_evaluation
from nnunet_assets.core.evaluation.metric_policy import metric_policy
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import Roots, comparison_folder
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.statistics.scoring import DIAGONAL_MM, scale_of
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.core.summary.summary_files import complete_summaries
from nnunet_assets.core.text.places import Places
from nnunet_assets.core.verification.earlier_result_files import write_keeping_earlier
from nnunet_assets.core.verification.seals import Sealing
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.declarations.repeats import sets_of_repeats
from nnunet_assets.errors import DatasetError, EvaluationError
from nnunet_assets.reports.tables.case_table import read_cases
from nnunet_assets.tracking.assets.asset_run import TrackedRun, bring_up_to_date
from nnunet_assets.tracking.assets.asset_runs import comparison_run
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.results.summarize import up_to_date_summary

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
    from nnunet_assets.core.comparison.comparison import Comparison
    from nnunet_assets.core.comparison.evaluated_experiments import CaseMetrics

FOREST_FILE = "comparison_differences"
FOREST_CAPTION = "Differences between the experiments in mean Dice, with 95 % confidence intervals."


@dataclass(frozen=True)
class MadeComparison:
    """A comparison that was made now, and its files.

    Attributes:
        comparison: What it says.
        digest: Names its content.
        folder: Where its files lie.
        preview_png: The figure, small.
        tracked: Its MLflow run; nothing where nobody asked for one.
    """

    comparison: "Comparison"
    digest: str
    folder: Path
    preview_png: bytes
    tracked: TrackedRun = field(default_factory=TrackedRun)

    @property
    def file(self) -> Path:
        """All of it."""
        return self.folder / "comparison.json"

    @property
    def files(self) -> list[Path]:
        """Everything, by name."""
        return sorted(self.folder.glob("comparison*.*"))


def make_comparison(
    roots: Roots,
    project: Project,
    dataset: str,
    places: Places,
    *,
    destination: Destination | None = None,
    dagster_run_id: str | None = None,
) -> MadeComparison:
    """Compares the experiments as `compare_declared` does, and writes the files.

    Args:
        roots: nnU-Net's folders.
        project: What is declared.
        dataset: Whose experiments.
        places: Folders whose place is not to be in the files, which are shown to others.
        destination: Where the comparison's run is brought up to date; None: nowhere.
        dagster_run_id: The Dagster run that makes it; None where none does.

    Raises:
        NnunetAssetsError: As `compare_declared`.
    """
    folder = comparison_folder(roots, dataset)
    with comparison_lock(folder):
        found, summaries = _compared(roots, project, dataset, None)
        made_from = {one.experiment.name_in_dataset: json_sha256(one.to_json()) for one in summaries}
        shown = replace(found, left_out=places.hidden_in(found.left_out))
        preview = _write(folder, shown, {name: made_from[name] for name in found.experiments})
    made = MadeComparison(found, json_sha256(found.to_json()), folder, preview)
    if destination is None:
        return made
    run = comparison_run(dataset, found)
    return replace(made, tracked=bring_up_to_date(destination, run, made.files, dagster_run_id=dagster_run_id))


def comparison_lock(folder: Path) -> AbstractContextManager[object]:
    """Returns the lock of a comparison's folder, which is made.

    Two experiments' refreshes may end together: who writes last must have read last.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return kernel_lock(folder / ".comparison.lock")


def _write(folder: Path, comparison: "Comparison", made_from: Mapping[str, str]) -> bytes:
    """Writes every file and returns a preview of the figure.

    Args:
        folder: Where to.
        comparison: As it is shown to others.
        made_from: Experiment to the digest of its summary.
    """
    # numpy takes a tenth of a second in every process that loads the definitions, and matplotlib a second.
    from nnunet_assets.core.comparison.comparison_files import COMPARISON_FILE, MADE_FROM
    from nnunet_assets.reports.figures.forest import draw_forest
    from nnunet_assets.reports.figures.style import pictures
    from nnunet_assets.reports.tables import comparison_table
    from nnunet_assets.reports.tables.comparison_rows import differences_to_csv, ranks_to_csv, to_markdown
    from nnunet_assets.reports.tables.sealed_files import sealed_file

    figure = pictures(draw_forest(comparison))
    contents = {
        "comparison_differences.csv": differences_to_csv(comparison).encode(),
        "comparison_ranks.csv": ranks_to_csv(comparison).encode(),
        "comparison.md": to_markdown(comparison).encode(),
        "comparison_table.csv": comparison_table.to_csv(comparison).encode(),
        "comparison_table.md": comparison_table.to_markdown(comparison).encode(),
        "comparison_table.tex": comparison_table.to_latex(comparison).encode(),
        "comparison_table.parquet": comparison_table.to_parquet(comparison),
        f"{FOREST_FILE}.svg": figure.svg,
        f"{FOREST_FILE}.png": figure.png,
    }
    whole = {**comparison.to_json(), MADE_FROM: made_from}
    sealing = Sealing.of_content(comparison.dataset, whole)
    for name, content in contents.items():
        write_atomically(folder / name, sealed_file(content, name, sealing))
    write_keeping_earlier(folder / COMPARISON_FILE, whole)
    return figure.preview_png


def compare_declared(roots: Roots, project: Project, dataset: str, progress: Progress | None = None) -> "Comparison":
    """Returns the comparison of the experiments that have a complete summary; the others are named in it.

    Args:
        roots: nnU-Net's folders.
        project: What is declared.
        dataset: Whose experiments.
        progress: Told which summaries are made first, since they are missing or older than a fold; None: none is made.

    Raises:
        ConfigError: The dataset is not declared.
        SummaryError: There are summaries, and no two of them may be compared.
    """
    return _compared(roots, project, dataset, progress)[0]


def _compared(
    roots: Roots, project: Project, dataset: str, progress: Progress | None
) -> tuple["Comparison", list[ScoredSummary]]:
    """Returns what `compare_declared` does, and the summaries that it is of."""
    project.dataset(dataset)
    # numpy takes a tenth of a second in every process that loads the definitions.
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
    from nnunet_assets.core.comparison.comparison import compare

    summaries, left_out = declared_summaries(roots, project, dataset, progress)
    found = compare(dataset, [ComparedExperiment.of(one) for one in summaries], left_out, _repeats(project, dataset))
    return found, summaries


def compare_evaluated(
    roots: Roots, project: Project, dataset: str, metric: str, progress: Progress | None = None
) -> "Comparison":
    """Returns the comparison by a metric of the declared evaluations; who has none of its summary's folds is left out.

    Args:
        roots: nnU-Net's folders.
        project: What is declared.
        dataset: Whose experiments.
        metric: Of `evaluation.EVALUATED_METRICS`.
        progress: As for `compare_declared`.

    Raises:
        ConfigError: The dataset is not declared.
        SummaryError: There are evaluations, and no two of the experiments may be compared.
    """
    config = project.dataset(dataset)
    from nnunet_assets.core.comparison.comparison import compare

    summaries, left_out = declared_summaries(roots, project, dataset, progress)
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
    summary: ScoredSummary
    policy_digest: str
    content: Mapping[str, Any]
    cases: "CaseMetrics"


def _evaluation(roots: Roots, config: DatasetConfig, summary: ScoredSummary, metric: str) -> _Evaluation:
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


def declared_summaries(
    roots: Roots, project: Project, dataset: str, progress: Progress | None
) -> tuple[list[ScoredSummary], dict[str, str]]:
    """Returns the complete summaries of the declared experiments and ensembles, and each other's name with the reason.

    Args:
        roots: nnU-Net's folders.
        project: What is declared.
        dataset: Whose experiments.
        progress: As for `compare_declared`.
    """
    wanted = project.cross_validations_of(dataset)
    read = partial(up_to_date_summary, roots, progress=progress) if progress else None
    return complete_summaries(roots, wanted, read)


def _repeats(project: Project, dataset: str) -> list[frozenset[str]]:
    sets = sets_of_repeats(project.experiments_of(dataset))
    return [frozenset(one.name_in_dataset for one in found) for found in sets]
