import hashlib
import math
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.digests import file_sha256, json_sha256


def test_the_digest_of_a_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    assert file_sha256(tmp_path / "a") == hashlib.sha256(b"abc").hexdigest()


def test_the_digest_of_json_does_not_depend_on_the_order_of_keys() -> None:
    assert json_sha256({"a": 1, "b": [1, 2]}) == json_sha256({"b": [1, 2], "a": 1})
    # It names folds on disk, so it must stay what it is.
    assert json_sha256({"a": "Ü"}) == hashlib.sha256('{"a":"Ü"}'.encode()).hexdigest()


@pytest.mark.parametrize("other", [{"a": 2}, {"a": "1"}, {"a": 1.5}, {"a": [1]}, {"a": None}, {}])
def test_other_json_has_another_digest(other: dict[str, Any]) -> None:
    assert json_sha256(other) != json_sha256({"a": 1})


def test_nan_counts_as_itself_in_a_digest() -> None:
    assert json_sha256({"a": math.nan}) == json_sha256({"a": math.nan}) != json_sha256({"a": None})
