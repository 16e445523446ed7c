"""Summaries as a record tells them; the records of MLflow and Dagster have tests of their own."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import OWN_FOLDER, Experiment
from nnunet_assets.core.splits.splits_files import write_splits
from nnunet_assets.core.summary.cv_groups import CvGroup, CvRecord
from nnunet_assets.core.summary.fold_means import FoldMeansSummary
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.errors import ConfigError, SummaryError
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.client import connect
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.results import recorded_summaries as module
from nnunet_assets.workflows.results.recorded_summaries import (
    FoundSummary,
    expected_folds,
    find_summary,
    folder_record,
    log_cv_summary,
    summary_in_record,
)
from nnunet_assets_tests.cross_validation_builders import FOLDS, write_fold
from nnunet_assets_tests.project_builders import write_project
from nnunet_assets_tests.workflows.results.exports import MEANS_ALONE

EXPERIMENT = Experiment("Dataset001_Tiny", "2d")
DECLARED = """
type: nnunet_assets.components.NnunetDataset
attributes: {dataset: Dataset001_Tiny, folds: 4}
---
type: nnunet_assets.components.CrossValidationExperiment
attributes: {dataset: Dataset001_Tiny, configuration: 2d}
"""


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Three finished folds."""
    settings = Settings.from_environment(tmp_path, {})
    for fold, cases in FOLDS.items():
        write_fold(EXPERIMENT.model_folder(settings.roots), fold, cases)
    return settings


class EarlierRecord:
    """Has the first two folds, as they were when it was made."""

    place = "The record"

    def __init__(self, settings: Settings) -> None:
        self._known = folder_record(settings.roots.results).summary(
            EXPERIMENT.dataset, None, lambda _group: ["fold_0", "fold_1"]
        )

    def experiments(self) -> dict[str, list[CvGroup]]:
        return {EXPERIMENT.dataset: [self._known[0]]}

    def summary(
        self, name: str, cv_group: str | None, expected: Callable[[CvGroup], Sequence[str]]
    ) -> tuple[CvGroup, ScoredSummary | FoldMeansSummary]:
        return self._known

    def other_groups(self, name: str, group: CvGroup) -> Sequence[str]:
        return ()


def found(settings: Settings, folds: Sequence[int] | None = None) -> FoundSummary:
    record = folder_record(settings.roots.results)
    return find_summary(settings, record, EXPERIMENT.dataset, None, expected_folds(settings, folds))


class TestTheExpectedFolds:
    def test_are_nnunets_five_where_nobody_says_otherwise(self, settings: Settings) -> None:
        assert found(settings).summary.missing_folds == ("fold_3", "fold_4")

    def test_are_those_of_the_split(self, settings: Settings) -> None:
        write_splits(settings.roots.preprocessed / EXPERIMENT.dataset, [{"train": [], "val": []}] * 3)
        assert found(settings).is_whole

    def test_are_those_that_are_declared(self, settings: Settings) -> None:
        write_project(settings.project, {"defs.yaml": DECLARED})
        assert found(settings).summary.missing_folds == ("fold_3",)

    def test_are_those_that_are_asked_for_and_the_others_are_named(self, settings: Settings) -> None:
        few = found(settings, [1, 0])

        assert few.is_whole
        assert few.summary.expected_folds == ("fold_0", "fold_1")
        assert few.left_out == "Left out: fold_2, finished too, but not among the folds fold_0, fold_1."
        assert found(settings).left_out == ""

    @pytest.mark.parametrize("folds", [[], [0, 0], [-1]])
    def test_are_named_once_each(self, settings: Settings, folds: list[int]) -> None:
        with pytest.raises(ConfigError, match="are not the folds of a cross-validation"):
            expected_folds(settings, folds)


class TestARecordThatIsBehind:
    def test_is_said_to_be_so_of_each_fold_that_is_another_on_the_disk(self, settings: Settings) -> None:
        record = EarlierRecord(settings)
        write_fold(EXPERIMENT.model_folder(settings.roots), "fold_1", {"d": (0.6, 0.5)})

        behind = find_summary(settings, record, EXPERIMENT.dataset, None, lambda _group: [])

        (sentence,) = behind.behind
        assert sentence.startswith("The record is behind: it has another result of fold_1 than")
        assert behind.summary.is_complete
        assert not behind.is_whole

    def test_is_of_its_own_right_where_it_is_of_other_results(self, settings: Settings) -> None:
        record = EarlierRecord(settings)
        write_fold(EXPERIMENT.model_folder(settings.roots), "fold_1", {"d": (0.6, 0.5)})

        other = find_summary(settings, record, EXPERIMENT.dataset, None, lambda _group: [], is_elsewhere=True)

        assert (other.behind, other.is_whole) == ((), True)


def test_a_summary_with_cases_has_intervals(settings: Settings) -> None:
    summary = found(settings).summary

    assert isinstance(summary, ScoredSummary)
    assert summary.bootstrap is not None


def test_a_folder_without_models_is_an_error(tmp_path: Path) -> None:
    (tmp_path / OWN_FOLDER).mkdir()
    with pytest.raises(SummaryError, match="holds no model of nnU-Net"):
        folder_record(tmp_path)


def test_a_summary_of_nobody_knows_what_cannot_be_logged(settings: Settings) -> None:
    with pytest.raises(SummaryError, match="cannot be logged: its runs have no tag that says of which dataset"):
        log_cv_summary(MEANS_ALONE, settings=settings)


@pytest.mark.usefixtures("stores_in_memory")
class TestASummaryThatIsLogged:
    def run(self, settings: Settings, **where: str) -> tuple[str, dict[str, float]]:
        """Logs the summary of two folds without intervals; returns the name of the experiment, and the metrics."""
        _, bare = folder_record(settings.roots.results).summary(
            EXPERIMENT.dataset, None, lambda _group: ["fold_0", "fold_1"]
        )
        run_id = log_cv_summary(bare, settings=settings, **where)
        store = connect(Destination.of(settings, where.get("tracking_uri")))
        run = store.get_run(run_id)
        return store.get_experiment(run.info.experiment_id).name, run.data.metrics

    def test_lies_in_the_experiment_of_its_dataset_or_another_that_is_named(self, settings: Settings) -> None:
        assert self.run(settings)[0] == EXPERIMENT.dataset
        assert self.run(settings, experiment_name="chosen")[0] == "chosen"

    def test_may_go_to_another_store(self, settings: Settings) -> None:
        other = f"sqlite:///{settings.data}/other.db"
        assert self.run(settings, tracking_uri=other)[1]["folds_finished"] == 2.0
        assert not connect(Destination.of(settings)).search_runs(["0", "1"])

    def test_has_intervals_where_its_cases_are_enough(self, settings: Settings) -> None:
        write_fold(EXPERIMENT.model_folder(settings.roots), "fold_1", {f"d{k}": (0.1 * k, 0.5) for k in range(4)})
        _, metrics = self.run(settings)
        assert "dice_ci95_low_pooled" in metrics

    def test_is_where_the_projects_own_settings_say(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "project_settings", lambda: settings)
        summary = found(settings).summary
        assert log_cv_summary(summary) == log_cv_summary(summary, settings=settings)


class TestASummaryInARecord:
    def test_is_of_the_folder_that_is_named(self, settings: Settings) -> None:
        found = summary_in_record(settings, EXPERIMENT.dataset, folds=[0, 1], results=settings.roots.results)
        assert found.summary.completed_folds == ("fold_0", "fold_1")
        assert found.left_out.startswith("Left out: fold_2")

    def test_is_of_mlflow_where_none_is(self, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
        record = EarlierRecord(settings)
        asked = []
        monkeypatch.setattr(module, "mlflow_record", lambda *arguments: asked.append(arguments) or record)
        write_fold(EXPERIMENT.model_folder(settings.roots), "fold_1", {"d": (0.6, 0.5)})
        found = summary_in_record(settings, EXPERIMENT.dataset, tracking_uri="http://other")
        assert found.left_out.startswith("Left out: fold_2")
        assert "The record is behind: it has another result of fold_1" in found.behind[0]
        assert asked == [(settings, "http://other")]


class TestAGroupThatIsAskedFor:
    """Beside the default experiment a long one, which is the newer."""

    @pytest.fixture
    def record(self, settings: Settings) -> CvRecord:
        for variant in ("long", "longer"):
            other = Experiment(EXPERIMENT.dataset, "2d", variant=variant)
            write_fold(other.model_folder(settings.roots), "fold_0", {"a": (0.5, 0.5)})
        return folder_record(settings.roots.results)

    def group(self, settings: Settings, record: CvRecord, name: str | None) -> FoundSummary:
        return find_summary(settings, record, EXPERIMENT.dataset, name, lambda _group: ["fold_0"])

    def test_is_named_by_a_part_that_no_other_has_and_no_others_are_named(
        self, settings: Settings, record: CvRecord
    ) -> None:
        found = self.group(settings, record, "longer")
        assert (found.group.experiment.variant, found.others) == ("longer", ())
        whole = self.group(settings, record, found.group.name)
        assert whole.group == found.group

    def test_is_none_where_nothing_or_more_than_one_has_that_part(self, settings: Settings, record: CvRecord) -> None:
        for name in ("nothing", "ong", "2d"):
            with pytest.raises(SummaryError):
                self.group(settings, record, name)

    def test_is_chosen_and_the_others_named_where_nobody_asked(self, settings: Settings, record: CvRecord) -> None:
        found = self.group(settings, record, None)
        names = {group.name for group in record.experiments()[EXPERIMENT.dataset]}
        assert len(names) == 3
        assert {found.group.name, *found.others} == names


def test_which_group_was_taken_is_said_where_there_was_a_choice(settings: Settings) -> None:
    whole = found(settings)
    assert whole.choice == ""
    said = replace(whole, others=("other",)).choice
    assert (
        said
        == f"Taken: {whole.group.name}, the group with the newest finished fold. --cv-group chooses another: other."
    )
