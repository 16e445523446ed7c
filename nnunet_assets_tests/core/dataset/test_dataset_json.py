import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nnunet_assets.core.dataset.dataset_json import (
    FILE_ENDINGS,
    check_description,
    convert_version_1,
    parse_dataset_json,
)
from nnunet_assets.core.dataset.findings import findings_text
from nnunet_assets.errors import DatasetError
from nnunet_assets_tests.raw_builders import old_json, tiny_json, write_json


def problem(**changes: Any) -> str:
    """Returns all that is found wrong with a good dataset.json after these changes."""
    return findings_text(check_description(tiny_json(**changes)))


def test_a_good_file_is_read_as_values(tmp_path: Path) -> None:
    path = write_json(tmp_path / "dataset.json", tiny_json(n_training=6))
    description = parse_dataset_json(path)
    assert description.channel_names == ("MRI",)
    assert description.labels == {"background": 0, "organ": 1, "lesion": 2}
    assert description.foreground == ("organ", "lesion")
    assert description.voxel_values == (0, 1, 2)
    assert (description.file_ending, description.n_training) == (".nii.gz", 6)
    assert (description.has_regions, description.ignore_label, description.regions_class_order) == (False, None, None)
    assert description.raw == tiny_json(n_training=6)
    assert description.warnings == ()


def test_regions_and_the_ignore_label_are_read(tmp_path: Path) -> None:
    labels = {"background": 0, "whole tumour": [1, 2, 3], "core": [2, 3], "enhancing": 3, "ignore": 4}
    content = tiny_json(labels=labels, regions_class_order=[1, 2, 3])
    description = parse_dataset_json(write_json(tmp_path / "dataset.json", content))
    assert description.labels["whole tumour"] == (1, 2, 3)
    assert description.labels["enhancing"] == 3
    assert description.foreground == ("whole tumour", "core", "enhancing")
    assert (description.ignore_label, description.has_regions) == (4, True)
    assert description.voxel_values == (0, 1, 2, 3, 4)
    assert description.regions_class_order == (1, 2, 3)


def test_a_list_of_one_value_is_that_value_where_there_are_no_regions(tmp_path: Path) -> None:
    content = tiny_json(labels={"background": 0, "organ": [1]})
    assert parse_dataset_json(write_json(tmp_path / "dataset.json", content)).labels["organ"] == 1


def test_a_label_value_given_as_text_is_accepted_with_a_note(tmp_path: Path) -> None:
    content = tiny_json(labels={"background": 0, "organ": "1"})
    description = parse_dataset_json(write_json(tmp_path / "dataset.json", content))
    assert description.labels == {"background": 0, "organ": 1}
    assert findings_text(description.warnings) == "D011 labels has values written as text, read as numbers: organ: '1'."


def test_numbers_of_training_cases_may_be_missing(tmp_path: Path) -> None:
    path = write_json(tmp_path / "dataset.json", tiny_json(numTraining=None))
    assert parse_dataset_json(path).n_training is None


def test_an_absent_file_is_named_with_what_is_there_instead(tmp_path: Path) -> None:
    (tmp_path / "dataset.yaml").touch()
    with pytest.raises(DatasetError, match=r"D001 There is no dataset\.json in .*, which holds dataset\.yaml\. "):
        parse_dataset_json(tmp_path / "dataset.json")


def test_a_cut_file_is_reported_with_line_and_column(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text('{\n "channel_names": {"0": "MRI"},\n "labels": {"backgr')
    with pytest.raises(DatasetError, match=r"D002 .*dataset\.json:3:13 is not valid JSON: Unterminated string"):
        parse_dataset_json(path)


@pytest.mark.parametrize("text", ['{"a": NaN}', "[" * 100_000, b"\xff\xfe{}", '{"a": ' + "9" * 5000 + "}"])
def test_what_python_reads_or_trips_over_but_json_forbids_is_refused(tmp_path: Path, text: Any) -> None:
    path = tmp_path / "dataset.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DatasetError, match=r"D002 .*is not valid JSON"):
        parse_dataset_json(path)


def test_half_a_character_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(r'{"name": "\ud800"}')
    with pytest.raises(DatasetError, match=r"D002 .*dataset\.json holds half of a character"):
        parse_dataset_json(tmp_path / "dataset.json")


def test_a_number_that_is_too_large_is_refused(tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text('{"x": 1e999}')
    with pytest.raises(DatasetError, match=r"D002 .*is not valid JSON: Out of range"):
        parse_dataset_json(tmp_path / "dataset.json")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be"])
def test_what_is_no_utf_8_is_refused_though_python_reads_it(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "dataset.json"
    path.write_text(json.dumps(tiny_json()), encoding=encoding)
    with pytest.raises(DatasetError, match=r"D002 .*UTF-8"):
        parse_dataset_json(path)


def test_a_list_is_not_a_dataset_description(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"D004 .* holds a JSON list; nnU-Net needs an object"):
        parse_dataset_json(write_json(tmp_path / "dataset.json", [1, 2]))


def test_a_label_name_that_is_there_twice_is_not_dropped_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "dataset.json"
    path.write_text('{"labels": {"background": 0, "organ": 1, "organ": 2}}')
    with pytest.raises(DatasetError, match=r"D003 .* has the key 'organ' twice"):
        parse_dataset_json(path)


def test_an_old_file_is_shown_in_its_new_form() -> None:
    text = findings_text(check_description(old_json(["a"], {"0": "MRI"})))
    assert text.startswith("D006 dataset.json is in the old form of nnU-Net v1")
    assert "`nnunet-assets import-dataset`" in text
    assert '"channel_names": {"0": "MRI"}, "labels": {"background": 0, "organ": 1, "lesion": 2}' in text
    assert "D0" not in text[4:]


@pytest.mark.parametrize("value", ["6", 6.0, True, [6]])
def test_the_number_of_training_cases_must_be_a_number(value: Any) -> None:
    assert problem(numTraining=value).startswith(f"D017 numTraining is {value!r}, not a whole number")


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [
        (None, "D018 file_ending is None; write, for example"),
        (5, "D018 file_ending is 5; write"),
        ("nii.gz", "D018 file_ending 'nii.gz' does not start with a dot. Did you mean \".nii.gz\"?"),
        ("q", "D018 file_ending 'q' does not start with a dot. nnU-Net reads .nii.gz, .nii,"),
        (".dcm", "D020 file_ending '.dcm' is not one that nnU-Net knows. nnU-Net reads .nii.gz, .nii, .nrrd"),
        (".nii.gzip", "D020 file_ending '.nii.gzip' is not one that nnU-Net knows."),
    ],
)
def test_a_wrong_file_ending_is_corrected(ending: int | str | None, sentence: str) -> None:
    assert problem(file_ending=ending).startswith(sentence)


def test_a_reader_of_ones_own_may_have_an_ending_of_its_own() -> None:
    for reader in ("MyReader", "YourReader"):
        assert problem(file_ending=".npz", overwrite_image_reader_writer=reader) == ""


@pytest.mark.parametrize(("value", "shown"), [(None, "null"), (1, "1"), (["SimpleITKIO"], '["SimpleITKIO"]')])
def test_a_reader_that_is_no_text_is_named_since_nnunet_fails_with_it(
    value: int | list[str] | None, shown: str
) -> None:
    (found,) = check_description({**tiny_json(), "overwrite_image_reader_writer": value})
    assert f"{found.code} {found.message}".startswith(
        f"D079 overwrite_image_reader_writer is {shown}, no name of a reader, and nnU-Net stops"
    )
    assert problem(overwrite_image_reader_writer="None") == problem(overwrite_image_reader_writer="NibabelIO") == ""


@pytest.mark.parametrize(
    ("channels", "sentence"),
    [
        (None, "D021 channel_names is None, not an object"),
        ({}, "D021 channel_names is {}, not an object that names at least one channel"),
        (["MRI"], "D021 channel_names is ['MRI'], not an object"),
        ({"MRI": "0"}, "D021 channel_names has the keys MRI, not channel numbers"),
        ({"0": 1}, "D021 channel_names has names that are no text: 0: 1"),
        ({"1": "T1", "2": "T2"}, "D023 channel_names has the keys 1, 2. They must start at 0 and count up"),
        (
            {"1": "T1", "0": "T2"},
            "D023 channel_names has the keys 1, 0. They must start at 0 and count up in this",
        ),
    ],
)
def test_channels_must_be_named_from_0_up(channels: dict[str, Any] | list[str] | None, sentence: str) -> None:
    assert problem(channel_names=channels).startswith(sentence)


@pytest.mark.parametrize("key", ["../../../escape", "a/b", "a\\b", "..", "", "a\0b"])
def test_a_case_whose_name_would_write_elsewhere_is_refused(key: str) -> None:
    entries = {key: {"images": ["a.nii.gz"], "label": "b.nii.gz"}}
    assert problem(dataset=entries).startswith(f"D060 dataset names cases that are no file names: {key!r}.")


@pytest.mark.parametrize(
    "entry", [None, [], {"images": "a", "label": "b"}, {"images": [], "label": "b"}, {"images": ["a"]}]
)
def test_an_entry_without_images_and_label_is_refused(entry: list[Any] | dict[str, Any] | None) -> None:
    assert problem(dataset={"a": entry}).startswith("D061 dataset has entries of the wrong form: 'a'.")


def test_very_many_labels_are_a_warning() -> None:
    labels = {"background": 0, **{f"part {value}": value for value in range(1, 301)}}
    (finding,) = check_description(tiny_json(labels=labels))
    assert (finding.code, finding.severity) == ("D070", "warning")


def test_all_that_is_wrong_is_reported_at_once(tmp_path: Path) -> None:
    content = {"channel_names": {}, "labels": {"organ": 1}, "numTraining": "6", "file_ending": "nii.gz"}
    with pytest.raises(DatasetError) as caught:
        parse_dataset_json(write_json(tmp_path / "dataset.json", content))
    lines = str(caught.value).splitlines()
    assert lines[0] == f"{tmp_path / 'dataset.json'} has 5 problems:"
    assert [line[:4] for line in lines[1:]] == ["D008", "D010", "D021", "D018", "D017"]


def test_a_label_0_of_another_name_becomes_the_background() -> None:
    converted = convert_version_1({"modality": {"1": "T2", "0": "T1"}, "labels": {"2": "b", "0": "air", "1": "a"}})
    assert list(converted["labels"].items()) == [("background", 0), ("a", 1), ("b", 2)]
    assert list(converted["channel_names"]) == ["0", "1"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


@given(
    key=st.sampled_from([*tiny_json(), "regions_class_order", "dataset", "modality"]),
    value=json_values,
    old=st.booleans(),
)
def test_no_value_of_any_key_ends_in_a_traceback(key: Any, value: Any, old: Any) -> None:
    content = old_json(["a"], {"0": "MRI"}) if old else tiny_json()
    check_description({**content, key: value})
    convert_version_1({**content, key: value})


def test_the_file_endings_are_those_that_nnunet_reads() -> None:
    from nnunetv2.imageio.reader_writer_registry import LIST_OF_IO_CLASSES

    endings = {ending for reader in LIST_OF_IO_CLASSES for ending in reader.supported_file_endings}
    assert set(FILE_ENDINGS) == endings


@pytest.mark.parametrize(
    ("labels", "order"),
    [
        ({"background": 0, "a": 1, "b": 2}, None),
        ({"background": 0, "a": "1", "ignore": 2}, None),
        ({"background": 0, "whole": [1, 2], "core": [2], "ignore": 3}, [1, 2]),
    ],
)
def test_what_is_accepted_has_the_values_that_nnunet_gives_it(
    tmp_path: Path, labels: dict[str, Any], order: list[int] | None
) -> None:
    from nnunetv2.utilities.label_handling.label_handling import LabelManager

    content = tiny_json(labels=labels, regions_class_order=order)
    ours = parse_dataset_json(write_json(tmp_path / "dataset.json", content))
    theirs = LabelManager(labels, order)
    assert ours.voxel_values == (*theirs.all_labels, *([theirs.ignore_label] if theirs.has_ignore_label else []))
    assert ours.has_regions == theirs.has_regions
    assert ours.ignore_label == theirs.ignore_label
    if order:
        assert [ours.labels[name] for name in ours.foreground] == theirs.foreground_regions
    else:
        assert [ours.labels[name] for name in ours.foreground] == theirs.foreground_labels


@pytest.mark.parametrize("ending", ["./../../x.nii.gz", ".nii\\x", ".nii\0"])
def test_an_ending_that_leads_out_of_the_folder_is_refused(ending: str) -> None:
    assert problem(file_ending=ending).startswith(f"D060 file_ending {ending!r} leads out of the folder of images.")


def test_labels_of_the_old_form_are_shown_as_they_are_written() -> None:
    content = {**old_json(["a"], {"0": "MRI"}), "labels": {"0": "background", "1": "Gef\u00e4\u00df"}}
    assert '"Gef\u00e4\u00df": 1' in findings_text(check_description(content))


def test_entries_that_name_their_files_are_taken() -> None:
    dataset = {"a": {"images": ["a_0.nii.gz", "elsewhere/a_1.nii.gz"], "label": "a.nii.gz"}}
    assert "D061" not in findings_text(check_description({**tiny_json(), "dataset": dataset}))
