"""A cross-validation in the words of nnunet-tracker: read, or built by hand."""

from dataclasses import replace

import pytest

from nnunet_assets.core.summary.cross_validation import CVSummary, FoldResult
from nnunet_assets.core.summary.fold_means import FoldMeans, Means, summarize_means
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.training.training_end import TrainingEnd
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.builders import EXPERIMENT, INPUTS, build_fold_result

BY_HAND = CVSummary(
    cv_group="Dataset001|3d_fullres|nnUNetPlans",
    experiment_name="Dataset001_BrainTumour",
    fold_results={
        1: FoldResult(fold=1, run_id="b", status="FINISHED", dice_per_class={0: 0.75, 10: 0.5}, val_loss=0.25),
        0: FoldResult(fold=0, run_id="a", status="FINISHED", dice_per_class={0: 0.25, 2: 1.0}, ema_fg_dice=0.5),
    },
    expected_folds=(0, 1, 2),
)
ENDED = TrainingEnd("run", "FINISHED", -0.25, 0.125)


class TestOneThatWasBuiltByHand:
    def test_says_which_folds_it_has_by_number(self) -> None:
        assert (BY_HAND.completed_folds, BY_HAND.missing_folds, BY_HAND.is_complete) == ([0, 1], [2], False)
        assert [fold.run_id for fold in BY_HAND.folds] == ["a", "b"]
        assert BY_HAND.all_class_indices == [0, 2, 10]
        assert BY_HAND.headline() == "2 of 3 folds"
        assert CVSummary("g", "e").missing_folds == [0, 1, 2, 3, 4]

    def test_has_the_estimates_of_nnunet_tracker(self) -> None:
        assert BY_HAND.compute_aggregate_metrics() == {
            "cv_mean_val_loss": 0.25,
            "cv_mean_ema_fg_dice": 0.5,
            "cv_mean_dice_class_0": 0.5,
            "cv_std_dice_class_0": pytest.approx(0.125**0.5),
            "cv_mean_dice_class_2": 1.0,
            "cv_mean_dice_class_10": 0.5,
        }
        assert CVSummary("g", "e").compute_aggregate_metrics() == {}

    def test_has_rows_by_fold_alone(self) -> None:
        assert list(BY_HAND.to_dataframe()["run_id"]) == ["a", "b"]
        with pytest.raises(SummaryError, match="has no rows by label"):
            BY_HAND.to_dataframe("label")
        with pytest.raises(SummaryError, match="built by hand"):
            BY_HAND.to_json()
        with pytest.raises(SummaryError, match=r"no scores by case are known\. It was built by hand"):
            _ = BY_HAND.foreground
        assert (BY_HAND.experiment, BY_HAND.is_pseudo) == (None, True)


class TestOneOfOurOwnRuns:
    SCORES = summarize(
        EXPERIMENT,
        ["fold_0", "fold_3"],
        [replace(build_fold_result("fold_3", {"x": {"a": 0.5, "b": None}}), training=ENDED)],
    )
    SUMMARY = CVSummary.of(SCORES)

    def test_is_named_as_list_names_it(self) -> None:
        assert self.SUMMARY.cv_group == "/".join(EXPERIMENT.key_prefix)
        assert self.SUMMARY.experiment_name == EXPERIMENT.dataset
        assert CVSummary.of(self.SCORES, cv_group="g", experiment_name="e").cv_group == "g"
        assert self.SUMMARY.experiment == EXPERIMENT

    def test_has_the_dice_of_whole_cases_by_label_name_and_the_last_values_of_its_curves(self) -> None:
        fold = self.SUMMARY.fold_results[3]
        assert fold == FoldResult(3, "run", "FINISHED", {"a": 0.5}, -0.25, 0.125)
        assert [case.case_id for case in fold.cases] == [case.case_id for case in self.SUMMARY.ranked_cases()] == ["x"]
        assert fold.n_epochs == 2
        assert (self.SUMMARY.all_class_indices, self.SUMMARY.missing_folds) == (["a"], [0])
        assert not self.SUMMARY.is_pseudo
        assert self.SUMMARY.labels["a"].dice.pooled.mean == self.SUMMARY.foreground.dice.pooled.mean == 0.5

    def test_is_no_model_of_every_case(self) -> None:
        with pytest.raises(SummaryError, match="fold_all was validated on the cases that it was trained on"):
            FoldResult.of(build_fold_result("fold_all", {"x": {"a": 0.5}}))

    def test_has_all_that_the_record_says(self) -> None:
        assert self.SUMMARY.headline() == self.SCORES.headline()
        assert self.SUMMARY.to_json() == self.SCORES.to_json()
        metrics = self.SUMMARY.compute_aggregate_metrics()
        assert (metrics["cv_mean_fg_dice"], metrics["cv_mean_dice_class_a"]) == (0.5, 0.5)
        assert (metrics["cv_mean_val_loss"], metrics["cv_mean_ema_fg_dice"]) == (-0.25, 0.125)
        assert list(self.SUMMARY.to_dataframe()["status"]) == ["missing", "FINISHED"]
        assert len(self.SUMMARY.to_dataframe("label")) == 6
        assert len(self.SUMMARY.to_dataframe("case")) == 2
        with pytest.raises(SummaryError, match="There are no rows by 'cases'; there are rows by 'label', 'fold' and"):
            self.SUMMARY.to_dataframe("cases")  # type: ignore[arg-type]


class TestOneOfMeansAlone:
    def summary(self, fold: FoldMeans) -> CVSummary:
        return CVSummary.of(summarize_means(None, "x", ["fold_0"], [fold], "They are elsewhere."))

    def test_has_no_cases_and_says_why(self) -> None:
        summary = self.summary(FoldMeans("fold_0", "run", INPUTS, {"dice": Means(0.5, {"a": 0.5, "b": None})}))
        assert summary.fold_results[0].dice_per_class == {"a": 0.5}
        assert (summary.cv_group, summary.experiment_name) == ("", "")
        with pytest.raises(SummaryError, match=r"no scores by case are known\. They are elsewhere\."):
            _ = summary.labels
        with pytest.raises(SummaryError, match="Of fold 0 no scores by case are known"):
            _ = summary.folds[0].cases
        with pytest.raises(SummaryError, match="Of fold 0 no number of epochs is known"):
            _ = summary.folds[0].n_epochs
        with pytest.raises(SummaryError, match="no rows by case"):
            summary.to_dataframe("case")

    def test_of_nnunet_tracker_numbers_classes_as_that_tool_does(self) -> None:
        means = {"pseudo_dice": Means(0.5, {"class 0": 0.25, "class 1": None})}
        summary = self.summary(FoldMeans("fold_0", "run", None, means))  # type: ignore[arg-type]
        assert summary.fold_results[0].dice_per_class == {0: 0.25}
        assert summary.is_pseudo
        whole = self.summary(FoldMeans("fold_0", "run", None, {"dice": Means(0.5, {"label 1": 0.25})}))
        assert whole.fold_results[0].dice_per_class == {}
        assert not whole.is_pseudo


def test_what_is_read_equals_what_was_built_by_hand_of_the_same_numbers() -> None:
    scored = build_fold_result("fold_0", {"a": {"organ": 0.9}})
    fold = FoldResult.of(scored)
    assert replace(fold, scores=None) == fold
    summary = CVSummary.of(summarize(EXPERIMENT, ["fold_0"], [scored]))
    assert replace(summary, scores=None) == summary
    assert replace(summary, cv_group="another") != summary
    assert "scores" not in repr(summary) + repr(fold)
