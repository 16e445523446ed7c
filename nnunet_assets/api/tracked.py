"""What scripts of nnunet-tracker call: the summary of an experiment as a record tells it, logged and written.

Names, order and meaning of the arguments are that tool's, and errors are `ValueError` too, as its own were.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from nnunet_assets.api.given import path_of, settings_of
from nnunet_assets.core.summary.cross_validation import CVSummary
from nnunet_assets.errors import value_errors_too

if TYPE_CHECKING:
    from nnunet_assets.core.summary.fold_means import FoldMeansSummary
    from nnunet_assets.core.summary.scored_summary import ScoredSummary
    from nnunet_assets.workflows.results.export_tables import Rows


def summarize_experiment(
    experiment_name: str,
    tracking_uri: str | None = None,
    cv_group: str | None = None,
    expected_folds: Sequence[int] | None = None,
    *,
    results: Path | str | None = None,
    project: Path | str | None = None,
) -> CVSummary:
    """Returns what the finished folds of an experiment say together, as `nnunet-assets summarize` does.

    Where the record has the scores by case, they are in the summary's `scores`. Where it has the fold means alone (a
    server that gets no files, runs of nnunet-tracker), these are.

    Args:
        experiment_name: The MLflow experiment: the dataset's name, unless another was chosen.
        tracking_uri: Where MLflow's runs are; None: `MLFLOW_TRACKING_URI`, else the project's own store.
        cv_group: Which cross-validation, as `nnunet-assets list` names it; None: the newest with a finished fold.
        expected_folds: The folds of a complete one; None: as the project declares, else 0 to 4 and those that are
            finished. A warning names the finished ones that are left out, and those of which this project has another
            result.
        results: A results folder to read in place of MLflow.
        project: Whose MLflow, and whose declarations.

    Raises:
        SummaryError: There is no such experiment, none of its folds is finished, or they must not be averaged.
        TrackingError: MLflow does not answer.
    """
    from nnunet_assets.workflows.results.recorded_summaries import summary_in_record

    with value_errors_too():
        found = summary_in_record(
            settings_of(project),
            experiment_name,
            tracking_uri=tracking_uri,
            cv_group=cv_group,
            folds=expected_folds,
            results=path_of(results),
        )
    for remark in filter(None, [found.left_out, *found.behind]):
        warnings.warn(remark, stacklevel=2)
    return CVSummary.of(found.summary, cv_group=found.group.name, experiment_name=experiment_name)


def log_cv_summary(
    summary: "CVSummary | ScoredSummary | FoldMeansSummary",
    tracking_uri: str | None = None,
    *,
    experiment_name: str | None = None,
    project: Path | str | None = None,
) -> str:
    """Brings the one MLflow run of a summary up to date and returns its id, as `summarize --log-to-mlflow` does.

    Args:
        summary: What `summarize_experiment` returned. The metrics of a pseudo Dice are called so.
        tracking_uri: As for `summarize_experiment`.
        experiment_name: The MLflow experiment; None: where the summary's asset logs it; of runs of nnunet-tracker,
            where these are.
        project: Whose MLflow.

    Raises:
        SummaryError: The summary does not say which experiment it is of, or was built by hand.
        TrackingError: MLflow does not answer or refuses something.
    """
    from nnunet_assets.core.summary.fold_means import FoldMeansSummary
    from nnunet_assets.errors import SummaryError
    from nnunet_assets.workflows.results.recorded_summaries import log_cv_summary as log

    with value_errors_too():
        scores = summary.scores if isinstance(summary, CVSummary) else summary
        if scores is None:
            raise SummaryError(
                "A summary that was built by hand cannot be logged: nobody knows which runs it is of. Log what "
                "summarize_experiment returns."
            )
        if isinstance(summary, CVSummary) and isinstance(scores, FoldMeansSummary) and scores.is_foreign:
            experiment_name = experiment_name or summary.experiment_name
        settings = settings_of(project)
        return log(scores, tracking_uri=tracking_uri, experiment_name=experiment_name, settings=settings)


def export_csv(
    summary: "CVSummary | ScoredSummary | FoldMeansSummary",
    output: Path | str | TextIO | None = None,
    *,
    rows: "Rows" = "label",
) -> str:
    """Returns the summary as CSV, and writes it to a file if one is given, as `nnunet-assets export` does.

    Args:
        summary: What to show.
        output: The file, by its path or open for text; None: none is written.
        rows: A row a label and score, or a row a `fold`, with mean and SD below them; one that was built by hand has
            the latter alone.

    Raises:
        ConfigError: The file cannot be written.
    """
    from nnunet_assets.workflows.results.export_tables import export_csv as export

    with value_errors_too():
        return export(_shown(summary), output, rows=rows)


def export_latex(
    summary: "CVSummary | ScoredSummary | FoldMeansSummary",
    output: Path | str | TextIO | None = None,
    caption: str | None = None,
    label: str | None = None,
    *,
    rows: "Rows" = "label",
) -> str:
    r"""Returns the summary as a LaTeX table (booktabs), and writes it to a file if one is given.

    Args:
        summary: What to show.
        output: As for `export_csv`.
        caption: Plain text; None: the experiment and how many folds are finished.
        label: For `\ref`; None: no label.
        rows: As for `export_csv`.

    Raises:
        ConfigError: The file cannot be written, or the label holds a character that LaTeX does not take in one.
    """
    from nnunet_assets.workflows.results.export_tables import export_latex as export

    with value_errors_too():
        return export(_shown(summary), output, caption, label, rows=rows)


def _shown(
    summary: "CVSummary | ScoredSummary | FoldMeansSummary",
) -> "CVSummary | ScoredSummary | FoldMeansSummary":
    """Returns what is written: all that is known of it."""
    return summary.scores or summary if isinstance(summary, CVSummary) else summary
