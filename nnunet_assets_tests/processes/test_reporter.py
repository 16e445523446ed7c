"""Sentences on their way to Dagster, where the disk of its message file is full."""

import json
from pathlib import Path
from typing import Any

import pytest
from dagster_pipes import PipesContext, encode_param

from nnunet_assets.core.training.trained_epoch import TrainedEpoch
from nnunet_assets.processes.reporter import reporter


@pytest.fixture
def messages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a Pipes session that this process belongs to."""
    context: dict[str, Any] = {"data": {"asset_keys": None, "extras": {}}}
    for name, value in {"CONTEXT": context, "MESSAGES": {"path": str(tmp_path / "messages")}}.items():
        monkeypatch.setenv(f"DAGSTER_PIPES_{name}", encode_param(value))
    monkeypatch.setattr(PipesContext, "_instance", None)
    return tmp_path / "messages"


def heard(messages: Path) -> list[str]:
    shown = [json.loads(line) for line in messages.read_text().splitlines()]
    return [message["params"]["message"] if message["method"] == "log" else message["method"] for message in shown]


def test_sentences_that_do_not_reach_dagster_end_nothing_and_are_counted(
    messages: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with reporter() as progress:
        progress.epoch(TrainedEpoch(0, None, {}))
        messages.rename(messages.with_name("kept"))
        messages.symlink_to("/dev/full")
        progress.say("two")
        progress.warn("three")
        messages.unlink()
        messages.with_name("kept").rename(messages)
    lost = "2 sentences did not reach Dagster's log; they are in the fold's output.log."
    assert heard(messages) == ["opened", "Epoch 0: ", lost, "closed"]
    assert capsys.readouterr().out == "two\nthree\n"


@pytest.mark.parametrize("is_full_from_the_start", [True, False])
def test_a_disk_that_stays_full_ends_nothing(
    messages: Path, capsys: pytest.CaptureFixture[str], is_full_from_the_start: bool
) -> None:
    if is_full_from_the_start:
        messages.symlink_to("/dev/full")
    with reporter() as progress:
        if not is_full_from_the_start:
            messages.unlink()
            messages.symlink_to("/dev/full")
        progress.say("one")
    assert "one\n" in capsys.readouterr().out


def test_a_process_that_fails_leaves_the_session_open_for_its_next_start(messages: Path) -> None:
    def fail() -> None:
        with reporter() as progress:
            progress.say("one")
            raise ValueError("oh")

    with pytest.raises(ValueError, match="oh"):
        fail()
    assert heard(messages) == ["opened", "one"]
