"""The settings in the words of nnunet-tracker."""

from pathlib import Path

import pytest

from nnunet_assets.errors import ConfigError
from nnunet_assets.workflows.fold.tracker_config import TrackerConfig

NAMES = (
    "MLFLOW_TRACKING_URI",
    "MLFLOW_EXPERIMENT_NAME",
    "NNUNET_TRACKER_ENABLED",
    "NNUNET_TRACKER_LOG_ARTIFACTS",
    "nnUNet_raw",
    "nnUNet_preprocessed",
    "nnUNet_results",
)


@pytest.fixture(autouse=True)
def _a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NNUNET_ASSETS_PROJECT", str(tmp_path))


def test_what_is_not_set_is_the_projects_store_with_everything_on(tmp_path: Path) -> None:
    assert TrackerConfig.from_env() == TrackerConfig(f"sqlite:///{tmp_path}/data/mlflow.db", None, True, True)


@pytest.mark.parametrize(("value", "is_on"), [("0", False), ("No", False), ("1", True), ("YES", True)])
def test_variables_switch_runs_and_files(monkeypatch: pytest.MonkeyPatch, value: str, is_on: bool) -> None:
    for name in ("NNUNET_TRACKER_ENABLED", "NNUNET_TRACKER_LOG_ARTIFACTS"):
        monkeypatch.setenv(name, value)
    config = TrackerConfig.from_env()
    assert (config.enabled, config.log_artifacts) == (is_on, is_on)
    assert (config.destination().is_on, config.destination().takes_files) == (is_on, is_on)


def test_a_value_that_is_neither_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NNUNET_TRACKER_ENABLED", "off")
    with pytest.raises(ConfigError, match="NNUNET_TRACKER_ENABLED is 'off', not one of 1, true, yes, 0, false, no"):
        TrackerConfig.from_env()


def test_what_is_given_goes_before_what_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "set")
    there = TrackerConfig("https://mlflow.example.org", "given", log_artifacts=False).destination()
    assert (there.tracking_uri, there.experiment, there.is_on, there.takes_files) == (
        "https://mlflow.example.org",
        "given",
        True,
        False,
    )
    assert TrackerConfig.from_env().destination().experiment == "set"


def test_everything_is_on_where_nobody_says_otherwise() -> None:
    assert TrackerConfig("http://here") == TrackerConfig(
        "http://here", experiment_name=None, enabled=True, log_artifacts=True
    )
