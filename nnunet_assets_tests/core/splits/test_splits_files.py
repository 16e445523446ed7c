import json
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.digests import file_sha256, json_sha256
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.core.fold.commit import UNKNOWN
from nnunet_assets.core.splits.case_groups import GroupTable
from nnunet_assets.core.splits.splits import SplitSettings
from nnunet_assets.core.splits.splits_files import (
    folds_of_split,
    read_patients,
    read_record,
    read_splits,
    read_splits_file,
    read_training_only,
    readable_splits,
    settings_version,
    write_record,
    write_splits,
)
from nnunet_assets.core.splits.splits_record import SplitsRecord
from nnunet_assets.errors import ConfigError, DatasetError
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


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"schema": 1, "generations": 3}', '{"generations": [{}]}'])
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


def test_what_names_settings_changes_with_the_files_that_are_there(tmp_path: Path) -> None:
    own, table = tmp_path / "mine.json", GroupTable(tmp_path / "patients.csv", "case", "patient")
    settings = SplitSettings(4, seed=0, file=own, groups=table)
    bare = settings_version(settings)
    assert bare.startswith("folds=4, ")
    assert "mine.json=" not in bare
    own.write_text("[]")
    assert settings_version(settings) == f"{bare}, mine.json={file_sha256(own)[:12]}"
    table.path.write_text("case,patient\n")
    both = f"{bare}, mine.json={file_sha256(own)[:12]}, patients.csv={file_sha256(table.path)[:12]}"
    assert settings_version(settings) == both


def test_a_split_that_cannot_be_read_is_an_error_or_none(folder: Any) -> None:
    assert (read_splits(folder), readable_splits(folder)) == (None, None)
    file = folder / "splits_final.json"
    file.write_text("{")
    with pytest.raises(DatasetError, match=r"splits_final\.json is not valid JSON .* so it is not written over"):
        read_splits(folder)
    assert readable_splits(folder) is None
    file.write_text('{"train": []}')
    assert (read_splits(folder), readable_splits(folder)) == ({"train": []}, None)
    file.write_text("[]")
    assert (readable_splits(folder), folds_of_split(folder, [])) == (None, None)
    file.unlink()
    file.symlink_to("/drive/splits.json")
    with pytest.raises(DatasetError, match=r"splits_final\.json is a link to /drive/splits\.json, which is not there"):
        read_splits(folder)
    file.unlink()
    file.mkdir()
    assert readable_splits(folder) is None
    own = folder / "own"
    own.mkdir()
    with pytest.raises(ConfigError, match=r"own cannot be read: Is a directory\."):
        read_splits_file(own)


def test_a_record_says_what_is_wrong_with_it(folder: Any) -> None:
    file = folder / ".nnunet_assets" / "splits.json"
    assert read_record(folder) == SplitsRecord()
    for content, said in (
        ("{", "is not valid JSON"),
        ('{"schema": 1, "generations": 3}', "is not as this package writes it"),
    ):
        file.write_text(content)
        with pytest.raises(DatasetError, match=said):
            read_record(folder)
    record = SplitsRecord().followed_by(SPLITS, made_at="now", origin="made", settings={}, groups={})
    write_record(folder, record)
    assert json.dumps(read_record(folder).to_json()) == json.dumps(record.to_json())


def test_the_newest_of_equal_splits_says_who_only_trains_and_whose_the_cases_are(folder: Any) -> None:
    made = {**MADE, "splits_sha256": DIGEST}
    generations = [
        {**made, "groups": {"a1": "p0"}, "training_only": ["old"]},
        {**made, "groups": {"a1": "p1"}, "training_only": ["new"]},
        {**made, "splits_sha256": "other", "groups": {}, "training_only": []},
    ]
    write_json(folder / ".nnunet_assets" / "splits.json", {"schema": 1, "generations": generations})
    assert read_training_only(folder, DIGEST) == ("new",)
    assert read_patients(folder, DIGEST, ["a1"]) == {"a1": "p1"}
    # The newest without all of them does not count where the split is not known.
    assert read_patients(folder, UNKNOWN, ["a1"]) == {"a1": "p1"}
    assert read_patients(folder, "other", ["a1"]) is None
    # Another split that is there now says nothing of this one.
    write_json(folder / "splits_final.json", [{"train": ["z"], "val": ["a1"]}])
    assert read_training_only(folder, DIGEST) == ("new",)
