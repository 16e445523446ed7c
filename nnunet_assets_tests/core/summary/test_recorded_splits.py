import json

import pytest

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.splits.splits_record import SplitsRecord
from nnunet_assets.core.summary.recorded_splits import folds_of_split, read_training_only, with_recorded_split
from nnunet_assets_tests.core.summary.test_cv_summary import hand_worked

SPLITS = [{"train": ["b1", "t"], "val": ["a1"]}, {"train": ["a1", "t"], "val": ["b1"]}]
DIGEST = json_sha256(SPLITS)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / ".nnunet_assets").mkdir()
    return tmp_path


def test_the_split_that_is_there_says_who_only_trains(folder):
    (folder / "splits_final.json").write_text(json.dumps(SPLITS))
    assert read_training_only(folder, DIGEST) == ("t",)
    assert read_training_only(folder, "another split") is None


def test_the_record_says_it_of_a_split_that_is_there_no_more(folder):
    made = {"made_at": "2026-11-21", "origin": "made", "settings": {}, "groups": {}}
    record = SplitsRecord().followed_by(SPLITS, **made).to_json()
    (folder / ".nnunet_assets" / "splits.json").write_text(json.dumps(record))
    assert read_training_only(folder, DIGEST) == ("t",)
    del record["generations"][0]["training_only"]  # as older versions wrote it, of cases that were all validated
    (folder / ".nnunet_assets" / "splits.json").write_text(json.dumps(record))
    assert read_training_only(folder, DIGEST) == ()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"generations": 3}', '{"generations": [{}]}'])
def test_what_is_torn_says_nothing(folder, content):
    (folder / ".nnunet_assets" / "splits.json").write_text(content)
    (folder / "splits_final.json").write_text(content)
    assert read_training_only(folder, DIGEST) is None


def test_the_folds_of_a_split_are_expected_where_no_other_is_finished(folder):
    assert folds_of_split(folder, ["fold_0"]) is None
    (folder / "splits_final.json").write_text(json.dumps(SPLITS))
    assert folds_of_split(folder, ["fold_1", "fold_all"]) == ("fold_0", "fold_1")
    assert folds_of_split(folder, ["fold_2"]) is None


def test_a_summary_of_an_unknown_split_is_left_as_it_is(tmp_path):
    assert with_recorded_split(Roots(tmp_path, tmp_path, tmp_path), hand_worked()) == hand_worked()
