from dataclasses import replace
from pathlib import Path

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.registry.versions import RegisteredVersion
from nnunet_assets.workflows.registry.version_scores import (
    forget_scores,
    judge_versions,
    keep_scores,
    known_scores,
)

SCORES = ComparedExperiment(
    "2d",
    "raw",
    "splits",
    {"dice": {"organ": {"case_1": 0.5, "case_2": None}}},
    {"case_1": "ana", "case_2": "ben"},
    {"fold_0": frozenset({"case_1", "case_2"})},
)


def test_scores_are_known_until_they_are_forgotten(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {})
    assert known_scores(settings, "ab12") is None
    keep_scores(settings, "ab12", SCORES)
    assert known_scores(settings, "ab12") == SCORES
    assert known_scores(settings, "cd34") is None
    forget_scores(settings, "ab12")
    assert known_scores(settings, "ab12") is None
    forget_scores(settings, "ab12")


def version(digest: str) -> RegisteredVersion:
    return RegisteredVersion("Tiny", 1, ("champion",), digest, None, {}, "", 0, None, None, None)


def test_versions_are_judged_by_what_is_known_of_their_test_sets_where_their_data_differ(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {})
    dices = {f"case_{k}": 0.8 + k / 100 for k in range(8)}
    known = replace(SCORES, scores={"dice": {"organ": dices}}, patients=None, validation={})
    assert judge_versions(settings, "new", None, 0.01).sentence == "There is no champion yet."
    keep_scores(settings, "old", replace(known, raw_hash="before"))
    keep_scores(settings, "new", known)
    for digest in ("old", "new"):
        assert not judge_versions(settings, "new", version("old"), 0.01).passed
        keep_scores(settings, digest, replace(known, raw_hash="test set"), of_test_set=True)
    assert judge_versions(settings, "new", version("old"), 0.01).passed
    forget_scores(settings, "old")
    assert known_scores(settings, "old", of_test_set=True) is None
    assert known_scores(settings, "new", of_test_set=True) is not None


def test_damaged_scores_are_none(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {})
    keep_scores(settings, "ab12", SCORES)
    (file,) = (tmp_path / "data" / "models" / "scores").iterdir()
    file.write_text(file.read_text()[:40])
    assert known_scores(settings, "ab12") is None
