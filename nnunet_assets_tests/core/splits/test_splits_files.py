import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.commit import UNKNOWN
from nnunet_assets.core.splits.splits_files import (
    folds_of_split,
    read_patients,
    read_training_only,
    write_splits,
)
from nnunet_assets.core.splits.splits_record import SplitsRecord
from nnunet_assets_tests.raw_builders import write_json

SPLITS = [{"train": ["b1", "t"], "val": ["a1"]}, {"train": ["a1", "t"], "val": ["b1"]}]
DIGEST = json_sha256(SPLITS)


@pytest.fixture
def folder(tmp_path: Path) -> Any:
    (tmp_path / ".nnunet_assets").mkdir()
    return tmp_path


def test_the_split_that_is_there_says_who_only_trains(folder: Any) -> None:
    (folder / "splits_final.json").write_text(json.dumps(SPLITS))
    assert read_training_only(folder, DIGEST) == ("t",)
    assert read_training_only(folder, "another split") is None


def test_the_record_says_it_of_a_split_that_is_there_no_more(folder: Any) -> None:
    made: dict[str, Any] = {"made_at": "2026-11-21", "origin": "made", "settings": {}, "groups": {}}
    record = SplitsRecord().followed_by(SPLITS, **made).to_json()
    (folder / ".nnunet_assets" / "splits.json").write_text(json.dumps(record))
    assert read_training_only(folder, DIGEST) == ("t",)
    del record["generations"][0]["training_only"]  # as older versions wrote it, of cases that were all validated
    (folder / ".nnunet_assets" / "splits.json").write_text(json.dumps(record))
    assert read_training_only(folder, DIGEST) == ()


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"generations": 3}', '{"generations": [{}]}'])
def test_what_is_torn_says_nothing(folder: Any, content: str) -> None:
    (folder / ".nnunet_assets" / "splits.json").write_text(content)
    (folder / "splits_final.json").write_text(content)
    assert read_training_only(folder, DIGEST) is None


def test_the_folds_of_a_split_are_expected_where_no_other_is_finished(folder: Any) -> None:
    assert folds_of_split(folder, ["fold_0"]) is None
    (folder / "splits_final.json").write_text(json.dumps(SPLITS))
    assert folds_of_split(folder, ["fold_1", "fold_all"]) == ("fold_0", "fold_1")
    assert folds_of_split(folder, ["fold_2"]) is None


MADE = {"made_at": "2026-11-21", "origin": "made", "settings": {}, "added": {}, "removed": []}
RECORD = {
    "schema": 1,
    "generations": [
        {**MADE, "splits_sha256": "old", "groups": {"a": "p0"}},
        {**MADE, "splits_sha256": "splits", "groups": {"a": "p1", "b": "p1", "c": "p2"}},
    ],
}


class TestPatientsOfTheSplits:
    def read(self, folder: Any, cases: Any, splits_hash: str = "splits") -> Any:
        return read_patients(folder, splits_hash, cases)

    def test_are_those_of_the_splits_that_the_folds_were_trained_on(self, tmp_path: Path) -> None:
        write_json(tmp_path / OWN_FOLDER / "splits.json", RECORD)
        assert self.read(tmp_path, ["a", "b"]) == {"a": "p1", "b": "p1"}
        assert self.read(tmp_path, ["a"], "old") == {"a": "p0"}

    def test_are_not_known_where_the_record_does_not_say_it_of_every_case(self, tmp_path: Path) -> None:
        assert self.read(tmp_path, ["a"]) is None
        write_json(tmp_path / OWN_FOLDER / "splits.json", RECORD)
        assert self.read(tmp_path, ["a", "new"]) is None
        assert self.read(tmp_path, ["a"], "another") is None

    def test_of_unknown_splits_are_those_of_the_newest_groups_that_hold_every_case(self, tmp_path: Path) -> None:
        write_json(tmp_path / OWN_FOLDER / "splits.json", RECORD)
        assert self.read(tmp_path, ["a", "b"], UNKNOWN) == {"a": "p1", "b": "p1"}
        assert self.read(tmp_path, ["a", "new"], UNKNOWN) is None

    @pytest.mark.parametrize("content", ["", "[]", '{"generations": [{}]}', '{"generations": null}'])
    def test_are_not_known_from_a_record_of_another_form(self, tmp_path: Path, content: str) -> None:
        (tmp_path / OWN_FOLDER).mkdir()
        (tmp_path / OWN_FOLDER / "splits.json").write_text(content)
        assert self.read(tmp_path, ["a"]) is None
        assert self.read(tmp_path, ["a"], UNKNOWN) is None


def test_the_file_has_the_bytes_that_nnunet_writes(tmp_path: Path) -> None:
    file = write_splits(tmp_path, [{"val": ["a"], "train": ["b"]}])
    assert file == tmp_path / "splits_final.json"
    lines = ["[", "    {", '        "train": [', '            "b"', "        ],", '        "val": [', '            "a"']
    assert file.read_text().splitlines() == [*lines, "        ]", "    }", "]"]
