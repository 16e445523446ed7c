"""Settings of other programs: what is no YAML is told by its line, or passed over where somebody else tells it."""

from pathlib import Path

import pytest

from nnunet_assets.declarations.yaml_files.settings_file import read_settings, readable_settings
from nnunet_assets.errors import ConfigError


def test_settings_are_read(tmp_path: Path) -> None:
    file = tmp_path / "dagster.yaml"
    file.write_text("storage:\n  sqlite: {base_dir: x}\n")
    assert read_settings(file) == readable_settings(file) == {"storage": {"sqlite": {"base_dir": "x"}}}


@pytest.mark.parametrize("text", ["", "# nothing yet\n"])
def test_an_empty_file_sets_nothing(tmp_path: Path, text: str) -> None:
    file = tmp_path / "dagster.yaml"
    file.write_text(text)
    assert read_settings(file) == {}


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: 1\nb: " + "9" * 5000, "line 1: a value of this document cannot be read"),
        ("a: 1\nb: " + "[" * 100_000, "line 2: lists and blocks are nested more than 50 deep"),
        ("a: &a [*a]\n", "stands for more than"),
        ("a: 1\n---\nb: 1\n", "line 3: a second document begins here"),
        ("- a\n", "line 1: must be settings"),
        ("a: [1\n", "line 1: the bracket"),
    ],
    ids=["digits", "depth", "circle", "documents", "list", "syntax"],
)
def test_what_is_no_settings_is_told(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "dagster.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=sentence):
        read_settings(file)
    assert readable_settings(file) == {}


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_settings(tmp_path / "dagster.yaml")
    assert readable_settings(tmp_path / "dagster.yaml") == {}
