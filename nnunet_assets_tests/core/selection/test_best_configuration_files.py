"""The choice, written and read back."""

from pathlib import Path

import pytest

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.selection.best_configuration_files import BEST_CONFIGURATION_FILE, read_best_configuration
from nnunet_assets.errors import SummaryError
from nnunet_assets_tests.core.selection.test_selecting import with_steps


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    best = with_steps()
    write_json_atomically(tmp_path / BEST_CONFIGURATION_FILE, best.to_json())
    assert read_best_configuration(tmp_path / BEST_CONFIGURATION_FILE) == best


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"schema_version": 3}, "schema 3 in place of 2"),
        ({"chosen": "nobody"}, "'nobody' is chosen and no candidate"),
        ({"n_cases": "many"}, "n_cases"),
        ({"more": 1}, "more is not known"),
    ],
)
def test_another_form_is_named_with_the_remedy(tmp_path: Path, change: dict[str, object], named: str) -> None:
    file = tmp_path / BEST_CONFIGURATION_FILE
    write_json_atomically(file, {**with_steps().to_json(), **change})
    with pytest.raises(SummaryError, match=named) as error:
        read_best_configuration(file)
    assert "Materialize best_configuration again" in str(error.value)


def test_none_is_named(tmp_path: Path) -> None:
    with pytest.raises(SummaryError, match="Materialize best_configuration"):
        read_best_configuration(tmp_path / BEST_CONFIGURATION_FILE)
