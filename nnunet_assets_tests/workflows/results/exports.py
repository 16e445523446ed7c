"""What the tests of exports share; nothing goes to a tracking server."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nnunet_assets.core.evaluation.evaluation_files import EVALUATION_FILE, evaluation_folder
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.summary.fold_means import FoldMeans, FoldMeansSummary, Means
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.errors import EvaluationError, SummaryError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.asset_run import AssetRun, TrackedRun
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.results.evaluate import evaluate_as_declared, target_of_folds
from nnunet_assets.workflows.results.summarize import make_summary
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold

EXPERIMENT = Experiment("Dataset001_Tiny", "2d")
FOLDS = ["fold_0", "fold_1"]
DECLARED = DatasetConfig(dataset=EXPERIMENT.dataset)
ELSEWHERE = Destination("http://tracking.example.invalid", Path("/nowhere"))
"""A server that takes no files, and is therefore never asked."""

MEANS_ALONE = FoldMeansSummary(
    None,
    "runs of another program",
    ("fold_0",),
    (FoldMeans("fold_0", "run", None, {"dice": Means(0.5, {"organ": 0.5})}),),
    "They have no scores by case.",
)

Export = Callable[[Roots], object]


class RecordedRuns:
    """Stands for `bring_up_to_date`: keeps which run was to have which files, and where."""

    def __init__(self) -> None:
        self.runs: list[tuple[str, list[str], str | None]] = []

    def __call__(
        self,
        destination: Destination,
        run: AssetRun,
        files: list[Path],
        *,
        folder: str | None = None,
        dagster_run_id: str | None = None,
    ) -> TrackedRun:
        assert destination == ELSEWHERE
        assert all(file.is_file() for file in files)
        self.runs.append((run.name, [file.name for file in files], folder or dagster_run_id))
        return TrackedRun(run.name)


def evaluate(settings: Settings, dataset: DatasetConfig = DECLARED) -> None:
    """Brings the evaluation of the finished folds up to date."""
    model = EXPERIMENT.model_folder(settings.roots)
    evaluate_as_declared(settings, target_of_folds(settings, model, FOLDS, "it", dataset=dataset), Silent())


def refuses_what_is_not_of_the_folds_on_the_disk(roots: Roots, export: Export) -> None:
    """Checks that an export says what to do where the summary is missing, edited, torn, or of earlier folds."""

    def reason() -> str:
        with pytest.raises(SummaryError) as caught:
            export(roots)
        return str(caught.value)

    assert reason().endswith("cv_summary.json is missing. Materialize cv_summary first.")
    summary = make_summary(roots, EXPERIMENT, FOLDS).file
    written = summary.read_text()
    summary.write_text(written.replace("0.5", "0.51", 1))
    assert "The numbers in the summary do not follow from its cases" in reason()
    summary.write_text('{"schema": 1,')
    assert "is not valid JSON" in reason()
    summary.write_text(written)
    write_fold(roots, EXPERIMENT, "fold_0", {"a": HIGHER})
    assert "fold_0 was trained or validated again since. Materialize cv_summary first." in reason()


def refuses_what_was_not_evaluated_as_declared(settings: Settings, export: Export) -> None:
    """Checks that an export says what to do where the declared evaluation is missing, another, or torn."""

    def reason() -> str:
        with pytest.raises(EvaluationError) as caught:
            export(settings.roots)
        return str(caught.value)

    assert reason().endswith("evaluation.json is missing. Materialize cv_evaluation first.")
    evaluate(settings, DatasetConfig(dataset=EXPERIMENT.dataset, nsd_tolerance_mm={"organ": 9.0}))
    assert "was measured by other rules than are declared" in reason()
    (evaluation_folder(EXPERIMENT.model_folder(settings.roots)) / EVALUATION_FILE).write_text('{"schema": 1,')
    assert "is not valid JSON" in reason()
