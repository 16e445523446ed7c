"""The figures: drawn from the numbers that they are given, the same again, and a sentence where there are none."""

import io
import re
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from nnunet_assets.core.evaluation.case_slice import CaseSlice
from nnunet_assets.core.fold.journal import Record
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.reports.figures import style
from nnunet_assets.reports.figures.bland_altman import agreement, draw_bland_altman
from nnunet_assets.reports.figures.case_slices import draw_cases
from nnunet_assets.reports.figures.learning_curves import draw_learning_curves
from nnunet_assets.reports.figures.scores import draw_bars, draw_boxes, draw_fold_map
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result

FOLDS = ["fold_0", "fold_1", "fold_2"]
NASTY = "$x_1$ <b>&amp; \\frac{1}{2} 海马体"


def summary(cases: Any = None) -> Any:
    """Two of three folds; B is defined in one case, `never` in none."""
    first = cases or {"a": {"A": 0.9, "B": 0.6, "never": None}, "b": {"A": 0.5, "B": None, "never": None}}
    second = {f"{case}_2": scores for case, scores in first.items()}
    return summarize(EXPERIMENT, FOLDS, [build_fold_result("fold_0", first), build_fold_result("fold_2", second)])


def texts(figure: Any) -> Any:
    """Returns what can be read in the figure, in order."""
    root = ElementTree.fromstring(style.svg(figure))
    return ["".join(element.itertext()).strip() for element in root.iter("{http://www.w3.org/2000/svg}text")]


def epoch(number: Any, **values: Any) -> Any:
    return Record(kind="epoch", time_ms=0, epoch=number, values=values)


@pytest.mark.parametrize("draw", [draw_boxes, draw_bars, draw_fold_map])
def test_the_same_scores_give_the_same_bytes(draw: Any) -> None:
    assert style.svg(draw(summary())) == style.svg(draw(summary()))
    assert style.png(draw(summary())) == style.png(draw(summary()))


@pytest.mark.parametrize("draw", [draw_boxes, draw_bars, draw_fold_map])
def test_names_are_shown_as_they_are_and_many_labels_have_room(draw: Any) -> None:
    pytest.importorskip("matplotlib")
    names = [NASTY, *(f"label {number} of a long name that must be cut" for number in range(40))]
    with pytest.warns(UserWarning, match="missing from font"):
        shown = texts(draw(summary({"a": dict.fromkeys(names, 0.5)})))
    assert any("$x_1$" in text for text in shown)
    assert any(re.match(r"label 39 of …must be cut", text) for text in shown), shown


def test_boxes_say_how_many_cases_each_label_is_of() -> None:
    shown = texts(draw_boxes(summary()))
    assert {"A (4)", "B (2)", "never (0)", "fold_0", "fold_2"} <= set(shown)


def test_bars_show_the_pooled_means_and_name_what_is_undefined() -> None:
    shown = texts(draw_bars(summary()))
    # A: 0.9, 0.5, 0.9, 0.5; B: 0.6 twice; the foreground: the mean of both.
    assert {"0.700", "0.600", "0.650", "undefined in every case"} <= set(shown)


def test_the_map_has_a_column_for_a_missing_fold_and_a_dash_for_an_undefined_mean() -> None:
    shown = texts(draw_fold_map(summary()))
    assert shown.count("0.700") == 2
    assert shown.count("–") == 2
    assert shown.count("missing") == 1
    assert set(FOLDS) <= set(shown)


@pytest.mark.parametrize("draw", [draw_boxes, draw_bars, draw_fold_map])
def test_without_any_defined_score_there_is_a_figure_all_the_same(draw: Any) -> None:
    assert len(style.png(draw(summary({"a": {"A": None}})))) > 1000


def test_learning_curves_name_their_folds_and_say_that_pseudo_dice_is_no_result() -> None:
    epochs = [epoch(n, train_loss=1 / (n + 1), val_loss=None, pseudo_dice_ema=n / 10) for n in range(5)]
    shown = texts(draw_learning_curves({"fold_0": epochs, "fold_3": epochs, "fold_4": []}))
    assert {"fold_0", "fold_3"} <= set(shown)
    assert "fold_4" not in shown
    assert any("no result" in text for text in shown)
    assert texts(draw_learning_curves({"fold_0": []})) == ["No epoch has ended yet."]


def test_of_an_epoch_that_is_there_twice_the_later_record_counts() -> None:
    twice = [epoch(0, train_loss=1.0), epoch(0, train_loss=0.5)]
    drawn = draw_learning_curves({"fold_0": twice})
    assert [*np.asarray(drawn.axes[0].lines[0].get_ydata())] == [0.5]


def test_thousands_of_points_are_a_picture_in_a_figure_that_stays_small() -> None:
    n_cases = style.MANY_POINTS // 2 + 1  # of each of two folds
    cases = {f"case {n}": {"A": n / n_cases} for n in range(n_cases)}
    for figure in (draw_boxes(summary(cases)), draw_bland_altman({"A": [(n, 2 * n) for n in range(2 * n_cases)]})):
        content = style.svg(figure)
        assert b"<image" in content
        assert len(content) < 200_000
    assert b"<image" not in style.svg(draw_boxes(summary()))


def test_volumes_of_folds_that_must_not_be_taken_together_are_not_drawn() -> None:
    assert "must not be taken together" in " ".join(texts(draw_bland_altman(None)))


def test_agreement_is_the_mean_difference_and_its_limits() -> None:
    # Differences 1, 2 and 3: mean 2, SD 1.
    found = agreement([10, 20, 30], [11, 22, 33])
    assert found.bias_ml == pytest.approx(2)
    assert found.limits_ml == pytest.approx((2 - 1.96, 2 + 1.96))
    assert agreement([1], [4]).limits_ml is None


def test_two_empty_masks_say_nothing_about_agreement() -> None:
    shown = texts(draw_bland_altman({"A": [(1, 2), (2, 4), (0, 0)], "never": [(0, 0)]}))
    # Differences 1 and 2: mean 1.5, SD 0.707.
    assert "A: bias 1.500 ml" in " ".join(shown)
    assert "0.114 to 2.886 ml" in " ".join(shown)
    assert not any("never" in text for text in shown)
    assert texts(draw_bland_altman({"never": [(0, 0)]})) == ["No case holds any label, in reference or prediction."]


def test_a_case_is_drawn_in_its_proportions_with_both_outlines() -> None:
    labels = np.zeros((20, 30), int)
    labels[5:15, 5:25] = 1
    case = CaseSlice(
        "case_1", np.random.default_rng(0).normal(size=(20, 30)), labels, np.roll(labels, 2, 1), (2.0, 1.0)
    )
    picture = np.asarray(Image.open(io.BytesIO(style.png(draw_cases([case])))).convert("RGB"))
    blue = (np.abs(picture.astype(int) - [0, 0x72, 0xB2]).sum(axis=2) < 30).sum()
    assert blue > 500
    assert texts(draw_cases([])) == ["There is no case to show."]
