"""What names of columns say: statistic, what it is over, unit; and nothing that the name does not say."""

import pytest

from nnunet_assets.core.evaluation.evaluation import COLUMNS
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.reports.tables.summary_tables import columns_of
from nnunet_assets.reports.text.column_words import column_description
from nnunet_assets_tests.builders import EXPERIMENT, build_fold_result


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("mean_pooled", "mean over the cases of all folds"),
        ("ci95_low_pooled", "lower end of the 95 % interval of the mean over the cases of all folds"),
        ("sd_over_folds", "standard deviation (n − 1) over the fold means"),
        ("mean_fold_3", "mean over the cases of fold_3"),
        ("n_cases_defined", "number of cases in which it is defined"),
        ("hd95_mm_mean", "mean, in mm"),
        ("dice_sd", "standard deviation (n − 1), between 0 and 1"),
        ("hd95_mm", "in mm"),
        ("spacing_mm_x", "in mm"),
        ("volume_ml/organ", "in ml"),
        ("weights_bytes", "in bytes"),
        ("dice", "between 0 and 1"),
        ("test_ci95_high", "upper end of the 95 % interval of the mean of the test set"),
        ("case", "name of the case"),
        ("rank", "of the pooled mean, 1 is the best"),
        ("Dice, pooled", None),
        ("configuration", None),
    ],
)
def test_a_name_says_what_is_in_its_column(name: str, words: str | None) -> None:
    assert column_description(name) == words


def test_every_column_of_the_tables_on_the_disk_is_described() -> None:
    summary = summarize(EXPERIMENT, ["fold_0"], [build_fold_result("fold_0", {"a": {"organ": 0.5}})])
    undescribed = [name for name in (*columns_of(summary), *COLUMNS) if column_description(name) is None]
    # Counts of voxels and lesions are what they are called.
    assert [name for name in undescribed if not name.startswith("lesions_")] == ["volume_error_relative"]
