import os
import time

import pytest

from nnunet_assets.core.journal import append_record, journal_path
from nnunet_assets.nnunet.heartbeat import Heartbeat


@pytest.fixture
def fold(tmp_path):
    append_record(journal_path(tmp_path), "start", {})
    return tmp_path


def heartbeat(folder, said):
    return Heartbeat(folder, said.append, silent_seconds=0.2, look_seconds=0)


def test_a_long_silence_is_said_once_with_what_was_going_on(fold):
    said = []
    watch = heartbeat(fold, said)
    time.sleep(0.02)  # a file's time may be some milliseconds old when it is written
    append_record(journal_path(fold), "epoch", {"train_loss": 1.0}, 0)
    watch.look()
    assert said == []
    time.sleep(0.3)
    watch.look()
    watch.look()
    assert len(said) == 1
    assert "while training, after epoch 1. It goes on" in said[0]

    (fold / "validation").mkdir()
    (fold / "validation" / "case_1.nii.gz").touch()
    watch.look()
    time.sleep(0.3)
    watch.look()
    assert "while predicting the validation cases (1 files written)" in said[1]


def test_the_files_of_an_earlier_attempt_are_no_silence(fold):
    os.utime(journal_path(fold), (0, 0))
    said = []
    watch = heartbeat(fold, said)
    watch.look()
    assert said == []
    time.sleep(0.3)
    watch.look()
    assert "while starting" in said[0]


def test_the_files_are_not_looked_at_more_often_than_asked(fold):
    said = []
    watch = Heartbeat(fold, said.append, silent_seconds=0, look_seconds=600)
    watch.look()
    assert said == []
