"""Summaries of fold means: the numbers of a summary of cases, and no mixture of measures."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.fold.commit import BEST_CHECKPOINT, FINAL_CHECKPOINT
from nnunet_assets.core.summary.fold_means import FoldMeans, Means, summarize_means
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.training.training_end import TrainingEnd
from nnunet_assets.errors import SummaryError
from nnunet_assets.reports.tables.fold_means_tables import to_latex, to_short_records
from nnunet_assets_tests.builders import EXPERIMENT, INPUTS, build_fold_result

DICE = st.none() | st.floats(0, 1)
FOLDS = st.lists(st.lists(st.tuples(DICE, DICE), min_size=1, max_size=4), min_size=1, max_size=5)


def means(fold: str, dice: float | None, validated: str = FINAL_CHECKPOINT) -> FoldMeans:
    return FoldMeans(fold, f"run of {fold}", INPUTS, {"dice": Means(dice, {"a": dice})}, validated)


@given(FOLDS)
def test_means_over_folds_are_those_of_a_summary_of_cases_to_the_last_digit(
    folds: list[list[tuple[float | None, float | None]]],
) -> None:
    names = [f"fold_{index}" for index in range(len(folds))]
    results = [
        build_fold_result(name, {f"{name}_{k}": {"a": a, "b": b} for k, (a, b) in enumerate(cases)})
        for name, cases in zip(names, folds, strict=True)
    ]
    whole = summarize(EXPERIMENT, names, results)
    known = [
        FoldMeans(
            name,
            "run",
            INPUTS,
            {
                "dice": Means(
                    whole.foreground.dice.by_fold[name].mean,
                    {label: found.dice.by_fold[name].mean for label, found in whole.labels.items()},
                )
            },
        )
        for name in names
    ]

    summary = summarize_means(EXPERIMENT, EXPERIMENT.title, names, known, "No cases.")

    assert summary.over_folds("dice") == whole.foreground.dice.over_folds
    for label, found in whole.labels.items():
        assert summary.over_folds("dice", label) == found.dice.over_folds
    metrics = whole.compute_aggregate_metrics()
    assert summary.compute_aggregate_metrics() == {key: metrics[key] for key in metrics if "dice" in key}


def test_what_is_undefined_is_left_out_and_counted() -> None:
    summary = summarize_means(None, "x", ["fold_0", "fold_1"], [means("fold_1", None), means("fold_0", 0.5)], "")
    assert summary.completed_folds == ("fold_0", "fold_1")
    estimate = summary.over_folds("dice")
    assert (estimate.mean, estimate.sd, estimate.n, estimate.n_defined) == (0.5, None, 2, 1)
    assert summary.headline() == "2 of 2 folds: Dice 0.500 in one fold"
    assert summarize_means(None, "x", ["fold_0"], [means("fold_0", None)], "").headline().endswith("Dice undefined")


def test_without_a_fold_or_a_common_measure_there_is_nothing_to_summarize() -> None:
    with pytest.raises(SummaryError, match="No fold of x is finished"):
        summarize_means(None, "x", ["fold_0"], [], "")
    pseudo = FoldMeans("fold_1", "run", None, {"pseudo_dice": Means(0.9, {})})
    with pytest.raises(SummaryError, match="fold_0 has dice; fold_1 has pseudo_dice"):
        summarize_means(None, "x", ["fold_0", "fold_1"], [means("fold_0", 0.5), pseudo], "")


def test_folds_of_which_another_checkpoint_was_validated_are_not_averaged() -> None:
    known = [means("fold_0", 0.5), means("fold_1", 0.5), means("fold_2", 0.6, BEST_CHECKPOINT)]
    with pytest.raises(SummaryError, match=r"fold_2 and fold_0, fold_1 differ in the checkpoint that was validated"):
        summarize_means(None, "x", ["fold_0", "fold_1", "fold_2"], known, "")


def test_the_tables_of_a_hold_out_say_nothing_over_folds() -> None:
    alone, two = (
        summarize_means(None, "x", names, [means(name, 0.5) for name in names], "No cases.")
        for names in (["fold_0"], ["fold_0", "fold_1"])
    )
    assert list(to_short_records(alone)[0].values()) == ["a", "Dice", "0.500"]
    assert "Over folds" not in to_latex(alone)
    assert "Over folds: mean" in to_latex(two)
    assert to_short_records(two)[0]["folds"] == "2 of 2"


def test_rows_and_values_are_by_measure_label_and_fold_and_none_by_case() -> None:
    summary = summarize_means(
        EXPERIMENT, "x", ["fold_0", "fold_1"], [means("fold_0", 0.5), means("fold_1", None)], "No."
    )
    assert [(measure, name, estimate.mean) for measure, name, estimate in summary.estimates()] == [
        ("dice", "a", 0.5),
        ("dice", None, 0.5),
    ]
    by_fold = {"fold_0": 0.5, "fold_1": None}
    assert summary.fold_means() == {"dice": {None: by_fold, "a": by_fold}}
    assert [list(summary.to_dataframe(*by)["label"]) for by in ((), ("label",))] == [["a", "foreground mean"]] * 2
    assert list(summary.to_dataframe("fold")["fold"]) == ["fold_0", "fold_1"]
    with pytest.raises(SummaryError, match=r"There are no rows by case of x\. No\."):
        summary.to_dataframe("case")
    with pytest.raises(SummaryError, match="There are no rows by 'folds'; there are rows by 'label' and 'fold'"):
        summary.to_dataframe("folds")  # type: ignore[arg-type]
    content = summary.to_json()
    assert content["over_folds"]["dice"]["labels"]["a"]["mean"] == content["over_folds"]["dice"]["foreground"]["mean"]
    assert [one["fold"] for one in content["folds"]] == content["completed_folds"] == ["fold_0", "fold_1"]
    assert (content["experiment"]["dataset"], content["is_complete"], content["missing_folds"]) == (
        EXPERIMENT.dataset,
        True,
        [],
    )
    assert summarize_means(None, "x", ["fold_0"], [means("fold_0", 0.5)], "").to_json()["experiment"] is None


def test_labels_of_runs_of_nnunet_tracker_are_numbered() -> None:
    labels = {"label 1": 0.25, "label 2": 0.75}
    known = [FoldMeans(f"fold_{k}", "run", None, {"dice": Means(0.5, labels)}) for k in range(2)]
    found = summarize_means(None, "x", ["fold_0", "fold_1"], known, "")
    assert found.is_foreign
    assert not summarize_means(None, "x", ["fold_0"], [means("fold_0", 0.5)], "").is_foreign
    metrics = found.compute_aggregate_metrics()
    assert (metrics["cv_mean_dice_label_1"], metrics["cv_mean_dice_label_2"]) == (0.25, 0.75)


def test_where_its_curves_ended_makes_no_other_means_of_a_fold() -> None:
    one = means("fold_0", 0.5)
    assert replace(one, training=TrainingEnd("other")) == one
    assert replace(one, is_adopted=True) != one
