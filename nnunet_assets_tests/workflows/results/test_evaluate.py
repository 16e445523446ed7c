"""The declared evaluation of folds that were committed as the fold process commits them, but never trained."""

from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.errors import EvaluationError
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.results.evaluate import Evaluated, evaluate_as_declared, target_of_folds
from nnunet_assets_tests.builders import INPUTS
from nnunet_assets_tests.evaluation_builders import HIGHER, write_fold
from nnunet_assets_tests.recorded_progress import RecordedProgress

EXPERIMENT = Experiment("Dataset001_Tiny", "2d")
FOLDS = ["fold_0", "fold_1", "fold_2"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Two finished folds of three."""
    settings = Settings.from_environment(tmp_path, {})
    write_fold(settings.roots, EXPERIMENT, "fold_0", {"a": HIGHER, "b": HIGHER})
    write_fold(settings.roots, EXPERIMENT, "fold_2", {"c": HIGHER})
    return settings


def evaluated(settings: Settings, progress: RecordedProgress | None = None, **tolerances_mm: float) -> Evaluated:
    dataset = DatasetConfig(dataset=EXPERIMENT.dataset, nsd_tolerance_mm=tolerances_mm)
    model = EXPERIMENT.model_folder(settings.roots)
    target = target_of_folds(settings, model, FOLDS, EXPERIMENT.title, dataset=dataset)
    return evaluate_as_declared(settings, target, progress or RecordedProgress())


def test_a_second_time_computes_nothing_and_has_the_same_digest(settings: Settings) -> None:
    progress = RecordedProgress()
    first, second = evaluated(settings, progress), evaluated(settings, progress)

    assert progress.steps[:3] == [("cases evaluated", n_done, 3) for n_done in (1, 2, 3)]
    assert (first.evaluation.n_computed, second.evaluation.n_computed) == (3, 0)
    assert first.digest() == second.digest()
    assert evaluated(settings, organ=5.0).digest() != first.digest()


def test_folds_that_come_from_others_are_evaluated_without_a_mean(settings: Settings) -> None:
    write_fold(settings.roots, EXPERIMENT, "fold_2", {"c": HIGHER}, inputs=replace(INPUTS, raw_hash="another"))

    found = evaluated(settings)

    assert found.content["labels"] is None
    assert "fold_2 and fold_0 differ in raw data. Each case is reported" in found.evaluation.problem_text()
    assert found.table_csv.read_text().count("\n") == 1 + 3 * 2


def test_a_case_of_two_folds_is_evaluated_without_a_mean(settings: Settings) -> None:
    write_fold(settings.roots, EXPERIMENT, "fold_2", {"a": HIGHER})

    found = evaluated(settings)

    assert found.content["labels"] is None
    assert "Cases are validated in more than one fold: a. Each case is reported" in found.evaluation.problem_text()


def test_a_tolerance_of_a_label_that_is_not_there_is_refused(settings: Settings) -> None:
    with pytest.raises(EvaluationError, match="'orgam' is no label to be evaluated"):
        evaluated(settings, orgam=1.0)
