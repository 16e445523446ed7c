"""What users say of their runs."""

import re
from pathlib import Path

from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.sections.tracking_config import TrackingConfig
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.run_words import NOTES, RunWords

EXPERIMENT = ExperimentConfig(dataset="Dataset004_Hippocampus", configuration="2d")


def said(**fields: object) -> ExperimentConfig:
    return EXPERIMENT.model_copy(update={"tracking": TrackingConfig.model_validate(fields)})


def test_a_name_stands_behind_what_tells_runs_apart_and_may_hold_the_time() -> None:
    assert RunWords().name("fold_0 2d", "fold_0") == "fold_0 2d"
    assert RunWords("baseline").name("fold_0 2d", "fold_0") == "fold_0 baseline"
    named = RunWords("run {time}").name("fold_0 2d", "fold_0")
    assert re.fullmatch(r"fold_0 run \d{4}-\d\d-\d\d \d\d:\d\d", named)


def test_notes_are_mlflows_own_tag() -> None:
    assert RunWords(tags={"a": "b"}, notes="*why*").all_tags() == {"a": "b", NOTES: "*why*"}
    assert RunWords().all_tags() == {}
    assert len(RunWords(notes="x" * 9000).all_tags()[NOTES]) == 5000


def test_a_declaration_is_heard_and_what_is_off_somewhere_is_off(tmp_path: Path) -> None:
    there = Destination.of(Settings.from_environment(tmp_path, {}))
    assert (there.is_on, there.takes_files) == (True, True)
    assert there.declared(EXPERIMENT) == there
    assert there.declared(said(tags={"a": "b"}, run_name="x", notes="y")).words == RunWords("x", {"a": "b"}, "y")
    assert not there.declared(said(enabled=False)).is_on
    assert not there.declared(said(files=False)).takes_files
    off = Destination.of(
        Settings.from_environment(tmp_path, {"NNUNET_TRACKER_ENABLED": "0", "NNUNET_TRACKER_LOG_ARTIFACTS": "no"})
    )
    assert (off.is_on, off.takes_files) == (False, False)
    on = off.declared(said(enabled=True, files=True)).switched(runs=True, files=True)
    assert (on.is_on, on.takes_files) == (False, False)
