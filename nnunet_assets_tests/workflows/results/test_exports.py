"""Tables, figures and pages from a summary on the disk; nothing goes to a tracking server."""

from collections.abc import Callable
from pathlib import Path

import pytest

from nnunet_assets.core.evaluation.evaluation_files import EVALUATION_FILE, evaluation_folder
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.progress import Silent
from nnunet_assets.core.text.places import Places
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.errors import EvaluationError, SummaryError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.assets.asset_run import TrackedRun
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.results.evaluate import evaluate_as_declared, target_of_folds
from nnunet_assets.workflows.results.export_figures import FIGURES, export_figures
from nnunet_assets.workflows.results.export_pages import export_cv_report, export_dataset_report
from nnunet_assets.workflows.results.export_tables import export_tables
from nnunet_assets.workflows.results.summarize import make_summary
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold

EXPERIMENT = Experiment("Dataset001_Tiny", "2d")
FOLDS = ["fold_0", "fold_1"]
DECLARED = DatasetConfig(dataset=EXPERIMENT.dataset)
ELSEWHERE = Destination("http://tracking.example.invalid", Path("/nowhere"))
"""A server that takes no files, and is therefore never asked."""

Export = Callable[[Roots], object]
EXPORTS: dict[str, Export] = {
    "tables": lambda roots: export_tables(roots, EXPERIMENT, ELSEWHERE),
    "figures": lambda roots: export_figures(roots, EXPERIMENT, DECLARED, ELSEWHERE),
    "page": lambda roots: export_cv_report(roots, EXPERIMENT, DECLARED, Places(), ELSEWHERE),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """A finished fold of two, whose predictions are not evaluated yet."""
    settings = Settings.from_environment(tmp_path, {})
    write_fold(settings.roots, EXPERIMENT, "fold_0", {"a": HIGHER, "b": HIGHER})
    return settings


@pytest.fixture
def roots(settings: Settings) -> Roots:
    make_summary(settings.roots, EXPERIMENT, FOLDS)
    return settings.roots


def evaluate(settings: Settings, dataset: DatasetConfig = DECLARED) -> None:
    model = EXPERIMENT.model_folder(settings.roots)
    evaluate_as_declared(settings, target_of_folds(settings, model, FOLDS, "it", dataset=dataset), Silent())


def test_tables_lie_beside_the_summary_and_the_same_folds_give_the_same_digest(roots: Roots) -> None:
    first, second = (export_tables(roots, EXPERIMENT, ELSEWHERE) for _ in range(2))

    folder = EXPERIMENT.summary_folder(roots)
    assert {ending: path.name for ending, path in first.files.items()} == {
        ending: f"cv_table.{ending}" for ending in ("csv", "tex", "md", "parquet")
    }
    assert all((folder / path.name).is_file() for path in first.files.values())
    assert "Dice, pooled" in first.markdown
    assert (first.digest, first.tracked) == (second.digest, TrackedRun())


def test_figures_and_page_are_made_without_raw_data(settings: Settings, roots: Roots) -> None:
    evaluate(settings)

    figures = export_figures(roots, EXPERIMENT, DECLARED, ELSEWHERE)
    page = export_cv_report(roots, EXPERIMENT, DECLARED, Places(), ELSEWHERE)

    assert list(figures.previews_png) == list(FIGURES)
    assert {path.name for path in figures.folder.iterdir()} == {f"{n}.{e}" for n in FIGURES for e in ("svg", "png")}
    text = page.file.read_text()
    assert "Not complete: fold_1 missing." in text
    assert text.count("data:image/svg+xml") == len(FIGURES)
    assert page.headline.startswith("1 of 2 folds (fold_1 missing)")


@pytest.mark.parametrize("name", ["figures", "page"])
def test_without_the_declared_evaluation_they_say_what_to_do(settings: Settings, roots: Roots, name: str) -> None:
    def reason() -> str:
        with pytest.raises(EvaluationError) as caught:
            EXPORTS[name](roots)
        return str(caught.value)

    assert reason().endswith("evaluation.json is missing. Materialize cv_evaluation first.")
    evaluate(settings, DatasetConfig(dataset=EXPERIMENT.dataset, nsd_tolerance_mm={"organ": 9.0}))
    assert "was measured by other rules than are declared" in reason()
    (evaluation_folder(EXPERIMENT.model_folder(roots)) / EVALUATION_FILE).write_text('{"schema": 1,')
    assert "is not valid JSON" in reason()


@pytest.mark.parametrize("name", EXPORTS)
def test_what_is_not_of_the_folds_on_the_disk_is_refused(settings: Settings, name: str) -> None:
    roots = settings.roots

    def reason() -> str:
        with pytest.raises(SummaryError) as caught:
            EXPORTS[name](roots)
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


def test_the_page_of_a_dataset_without_a_comparison_says_what_to_do(roots: Roots) -> None:
    with pytest.raises(SummaryError, match=r"comparison\.json is missing\. Materialize comparison first\."):
        export_dataset_report(roots, EXPERIMENT.dataset, [EXPERIMENT], Places(), ELSEWHERE)
