import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.statistics.estimate import Interval
from nnunet_assets.core.summary.baseline import FOREGROUND, Baseline
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.summary.summary_files import read_baseline
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result

FOLDS = ["fold_0", "fold_1"]


def summary_of(**dice_by_fold: Any) -> Any:
    """Folds of one case each, with the labels A and B."""
    folds = [
        build_fold_result(fold, {f"case_{fold}": {"A": a, "B": b}}) for fold, (a, b) in sorted(dice_by_fold.items())
    ]
    return summarize(EXPERIMENT, FOLDS, folds)


def summary_of_cases(*dices: Any) -> Any:
    """One fold with the label A."""
    fold = build_fold_result("fold_0", {f"c{k}": {"A": dice} for k, dice in enumerate(dices)})
    return summarize(EXPERIMENT, FOLDS, [fold])


def accepted(summary: Any) -> Any:
    return Baseline.of(summary, accepted_at="2026-11-20T10:00:00+00:00", accepted_by="ada", note="first")


# A: 0.8 and 0.6, mean 0.7; B: 0.5 and absent, mean 0.5; foreground 0.6.
BEFORE = summary_of(fold_0=(0.8, 0.5), fold_1=(0.6, None))


def below(baseline: Any, summary: Any) -> Any:
    return {score.name for score in baseline.scores(summary) if score.is_below}


def test_a_baseline_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "baseline.json"
    path.write_text(json.dumps(accepted(BEFORE).to_json()))
    assert read_baseline(path) == accepted(BEFORE)


def test_it_holds_the_dice_by_label_and_the_digest_that_is_the_summarys_version_in_dagster() -> None:
    baseline = accepted(BEFORE)
    assert {name: estimate.mean for name, estimate in baseline.labels.items()} == pytest.approx({"A": 0.7, "B": 0.5})
    assert baseline.foreground.mean == pytest.approx(0.6)
    assert baseline.summary_sha256 == json_sha256(json.loads(json.dumps(BEFORE.to_json())))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "Expecting"),
        ("[]", "not a baseline"),
        ('{"schema_version": 7}', "schema 7"),
        ('{"schema_version": 1}', "not a baseline"),
        (json.dumps({**accepted(BEFORE).to_json(), "schema_version": None}), "schema None"),
        (json.dumps(accepted(BEFORE).to_json()).replace("schema_version", "schema"), "not a baseline"),
        (json.dumps(accepted(BEFORE).to_json()).replace('"mean": 0.5', '"mean": "0.5"'), "not a baseline"),
    ],
)
def test_a_damaged_file_is_an_error_that_says_what_to_do(tmp_path: Path, text: Any, why: str) -> None:
    (tmp_path / "baseline.json").write_text(text)
    with pytest.raises(SummaryError, match=f"cannot be read .*{why}.*nnunet-assets accept"):
        read_baseline(tmp_path / "baseline.json")


def test_no_file_is_no_baseline(tmp_path: Path) -> None:
    assert read_baseline(tmp_path / "baseline.json") is None


class TestWhatIsBelow:
    def test_two_hundredths_less_is_not_and_a_thousandth_more_is(self) -> None:
        baseline = accepted(BEFORE)
        assert below(baseline, summary_of(fold_0=(0.781, 0.5), fold_1=(0.581, None))) == set()
        assert below(baseline, summary_of(fold_0=(0.779, 0.5), fold_1=(0.579, None))) == {"A"}
        # A by 0.04, and so the foreground by 0.02 and more.
        assert below(baseline, summary_of(fold_0=(0.75, 0.499), fold_1=(0.57, None))) == {"A", FOREGROUND}

    def test_a_wide_spread_allows_two_standard_errors(self) -> None:
        # Three cases of 0.9 and three of 0.5: mean 0.7, SD 0.2191, two standard errors 0.1789.
        baseline = accepted(summary_of_cases(0.9, 0.5, 0.9, 0.5, 0.9, 0.5))
        assert below(baseline, summary_of_cases(*[0.522] * 6)) == set()
        assert below(baseline, summary_of_cases(*[0.520] * 6)) == {"A", FOREGROUND}

    def test_a_narrow_spread_does_not_make_noise_a_finding(self) -> None:
        baseline = accepted(summary_of(fold_0=(0.8, 0.5), fold_1=(0.8, 0.5)))
        assert below(baseline, summary_of(fold_0=(0.785, 0.485), fold_1=(0.785, 0.485))) == set()
        assert "A" in below(baseline, summary_of(fold_0=(0.77, 0.5), fold_1=(0.77, 0.5)))

    def test_an_interval_that_reaches_far_down_lets_nothing_pass(self) -> None:
        label = BEFORE.labels["A"]
        pooled = replace(label.dice.pooled, sd=0.01, n_defined=6, interval=Interval(0.1, 0.8))
        wide = replace(label, dice=replace(label.dice, pooled=pooled))
        baseline = accepted(replace(BEFORE, labels={**BEFORE.labels, "A": wide}))
        assert "A" in below(baseline, summary_of(fold_0=(0.67, 0.5), fold_1=(0.67, None)))

    def test_a_dice_that_became_undefined_is(self) -> None:
        assert below(accepted(BEFORE), summary_of(fold_0=(0.8, None), fold_1=(0.6, None))) == {"B"}

    def test_a_label_without_a_dice_in_the_baseline_is_not_compared(self) -> None:
        baseline = accepted(summary_of(fold_0=(0.8, None), fold_1=(0.6, None)))
        assert [score.name for score in baseline.scores(BEFORE)] == [FOREGROUND, "A"]


class TestFoldsThatDiffer:
    def test_those_of_the_baseline_alone_are_compared(self) -> None:
        baseline = accepted(summary_of(fold_0=(0.8, 0.5)))
        now = summary_of(fold_0=(0.8, 0.5), fold_1=(0.1, 0.1))
        assert baseline.missing_folds(now) == []
        assert below(baseline, now) == set()
        assert below(baseline, summary_of(fold_0=(0.7, 0.5), fold_1=(0.9, 0.9))) == {"A", FOREGROUND}

    def test_without_one_of_them_the_missing_are_named(self) -> None:
        assert accepted(BEFORE).missing_folds(summary_of(fold_1=(0.6, None))) == ["fold_0"]
