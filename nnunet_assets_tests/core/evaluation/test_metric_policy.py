"""The stated policy of an evaluation: made of dataset.json, changed by what a declaration adds, named by its digest."""

import math

import pytest

from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.evaluation.metric_policy import METRICS_VERSION, READ_VERSIONS, LabelRule, metric_policy
from nnunet_assets.errors import EvaluationError


def description(**labels: int | tuple[int, ...]) -> DatasetDescription:
    return DatasetDescription(("MRI",), {"background": 0, **labels}, ".nii.gz", None, None, {})


class TestThePolicy:
    def test_leaves_background_and_ignore_out_and_takes_regions(self) -> None:
        found = metric_policy(description(whole=(1, 2), core=2, ignore=3), {"core": 1.5}, ["core"])
        assert found.labels == {"whole": LabelRule((1, 2), 2.0), "core": LabelRule((2,), 1.5, counts_lesions=True)}
        assert (found.ignore_value, found.voxel_values) == (3, (0, 1, 2, 3))

    def test_has_another_digest_for_everything_that_changes_a_number(self) -> None:
        policies = [
            metric_policy(description(organ=1)),
            metric_policy(description(organ=1), {"organ": 1.0}),
            metric_policy(description(organ=1), lesion_labels=["organ"]),
            metric_policy(description(organ=1, ignore=2)),
            metric_policy(description(organ=1, lesion=2)),
            metric_policy(description(organ=(1, 2), lesion=2)),
        ]
        assert len({policy.digest for policy in policies}) == len(policies)
        assert metric_policy(description(organ=1), {"organ": 2}).digest == policies[0].digest

    def test_needs_a_label(self) -> None:
        with pytest.raises(EvaluationError, match="names no label but the background"):
            metric_policy(description())

    def test_has_two_millimetres_and_counts_no_lesions_where_nothing_is_declared(self) -> None:
        (rule,) = metric_policy(description(organ=1)).labels.values()
        assert (rule.nsd_tolerance_mm, rule.counts_lesions) == (2.0, False)
        assert LabelRule((1,)) == rule

    def test_has_a_digest_of_its_own_in_every_version_of_the_metrics(self) -> None:
        policy = metric_policy(description(organ=1))
        assert READ_VERSIONS[0] == METRICS_VERSION == 2
        assert policy.digest == policy.digest_of_version(METRICS_VERSION)
        assert len({policy.digest_of_version(version) for version in (*READ_VERSIONS, 3)}) == 3

    @pytest.mark.parametrize(
        ("tolerances", "lesions"), [({"tumor": 1.0}, []), ({}, ["tumor"]), ({"background": 1}, [])]
    )
    def test_refuses_a_label_that_is_not_evaluated(self, tolerances: dict[str, float], lesions: list[str]) -> None:
        named = next(iter([*tolerances, *lesions]))
        with pytest.raises(
            EvaluationError, match=f"'{named}' is no label to be evaluated; dataset.json has organ, core"
        ):
            metric_policy(description(organ=1, core=2), tolerances, lesions)

    @pytest.mark.parametrize("tolerance", [0.0, -1.0, math.inf, math.nan])
    def test_refuses_a_tolerance_that_is_no_length(self, tolerance: float) -> None:
        with pytest.raises(EvaluationError, match=f"is a length in mm above 0, not organ: {tolerance}"):
            metric_policy(description(organ=1), {"organ": tolerance})
        assert metric_policy(description(organ=1), {"organ": 0.001}).labels["organ"].nsd_tolerance_mm == 0.001

    def test_shows_twenty_of_many_labels(self) -> None:
        many = description(**{f"label_{value}": value for value in range(1, 24)})
        with pytest.raises(EvaluationError, match=r"has label_1, .*label_20 and 3 more\. Correct"):
            metric_policy(many, lesion_labels=["label_0"])
