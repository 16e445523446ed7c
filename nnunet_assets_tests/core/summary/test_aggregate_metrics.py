"""Estimates over folds by the keys of nnunet-tracker."""

import pytest

from nnunet_assets.core.summary.aggregate_metrics import AggregateMetrics, numbered_metrics, training_metrics
from nnunet_assets.core.training.training_end import TrainingEnd
from nnunet_assets.errors import AmbiguousMetricError

BOTH = (
    r"cv_std_dice_class_1 would mean two things .* cv_std_dice_label_1 is the Dice of whole validation cases, of the "
    r"label with that value; cv_std_pseudo_dice_class_1 is the pseudo Dice .*; there are: cv_mean_dice_label_1\."
)


def test_a_number_that_counts_two_ways_raises_and_names_both_however_it_is_asked_for() -> None:
    metrics = numbered_metrics({"cv_mean_dice_label_1": 0.5}, {"dice": ["label 1"], "pseudo_dice": ["class 0"]})
    for ask in (metrics.get, metrics.__getitem__):
        with pytest.raises(AmbiguousMetricError, match=BOTH):
            ask("cv_std_dice_class_1")
        with pytest.raises(AmbiguousMetricError, match="cv_mean_dice_label_0"):
            ask("cv_mean_dice_class_0")
    assert metrics == {"cv_mean_dice_label_1": 0.5}


def test_any_other_key_is_there_or_not_as_in_any_dictionary() -> None:
    metrics = AggregateMetrics({"a": 1.0})
    assert (metrics["a"], metrics.get("a"), metrics.get("b"), metrics.get("b", 2.0)) == (1.0, 1.0, None, 2.0)
    with pytest.raises(KeyError, match="b"):
        metrics["b"]
    with pytest.raises(AmbiguousMetricError, match="there are: none"):
        AggregateMetrics({}, {"x": ("y", "z")})["x"]


def test_a_key_that_is_there_is_not_refused() -> None:
    assert AggregateMetrics({"x": 1.0}, {"x": ("y", "z")}).get("x") == 1.0


def test_mean_and_sd_of_the_last_loss_are_those_of_all_folds_or_of_none() -> None:
    known = [TrainingEnd(val_loss=-0.4, pseudo_dice_ema=0.5), TrainingEnd(val_loss=-0.6)]
    assert training_metrics(known) == {
        "cv_mean_val_loss": pytest.approx(-0.5),
        "cv_std_val_loss": pytest.approx(0.02**0.5),
    }
    assert training_metrics(known[:1]) == {"cv_mean_val_loss": -0.4, "cv_mean_ema_fg_dice": 0.5}
    assert training_metrics([]) == {}
