from pathlib import Path

from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.registry.version_scores import forget_scores, keep_scores, known_scores

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


def test_damaged_scores_are_none(tmp_path: Path) -> None:
    settings = Settings.from_environment(tmp_path, {})
    keep_scores(settings, "ab12", SCORES)
    (file,) = (tmp_path / "data" / "models" / "scores").iterdir()
    file.write_text(file.read_text()[:40])
    assert known_scores(settings, "ab12") is None
