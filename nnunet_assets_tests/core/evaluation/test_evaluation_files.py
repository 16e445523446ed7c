"""An evaluation read back: what is missing, damaged or of another policy says so."""

import json
from pathlib import Path

import pytest

from nnunet_assets.core.evaluation.evaluation_files import PARQUET_FILE, evaluation_folder, read_evaluation
from nnunet_assets.core.evaluation.metric_policy import LabelRule, MetricPolicy
from nnunet_assets.errors import EvaluationError

POLICY = MetricPolicy({"organ": LabelRule((1,))}, (0, 1))


def written(parent: Path, digest: str) -> Path:
    folder = evaluation_folder(parent)
    folder.mkdir(parents=True)
    (folder / "evaluation.json").write_text(json.dumps({"policy_digest": digest, "n_cases": 3}))
    (folder / PARQUET_FILE).touch()
    return folder


@pytest.mark.parametrize("version", [1, 2])
def test_one_of_this_version_or_the_one_before_is_read(tmp_path: Path, version: int) -> None:
    folder = written(tmp_path, POLICY.digest_of_version(version))
    assert folder == tmp_path / "nnunet_assets" / "evaluation"
    assert read_evaluation(folder, POLICY)["n_cases"] == 3


@pytest.mark.parametrize("digest", [POLICY.digest_of_version(3), "", MetricPolicy({}, (0,)).digest])
def test_what_was_measured_by_other_rules_is_refused(tmp_path: Path, digest: str) -> None:
    folder = written(tmp_path, digest)
    with pytest.raises(EvaluationError, match=r"was measured by other rules than are declared.*cv_evaluation again"):
        read_evaluation(folder, POLICY)


def test_what_is_missing_or_damaged_says_what_to_do(tmp_path: Path) -> None:
    folder = written(tmp_path, POLICY.digest)
    (folder / PARQUET_FILE).unlink()
    with pytest.raises(EvaluationError, match=r"cases\.parquet is missing\. Materialize cv_evaluation first\."):
        read_evaluation(folder, POLICY)
    (folder / "evaluation.json").write_text("{")
    with pytest.raises(EvaluationError, match=r"is not valid JSON .*cv_evaluation again"):
        read_evaluation(folder, POLICY)
    with pytest.raises(EvaluationError, match=r"evaluation\.json is missing\. Materialize cv_evaluation first\."):
        read_evaluation(tmp_path, POLICY)
