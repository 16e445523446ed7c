from pathlib import Path

import pytest

from nnunet_assets.cli.project import background
from nnunet_assets.errors import NnunetAssetsError


def test_a_process_that_was_never_started_does_not_run(tmp_path: Path) -> None:
    assert background.find(tmp_path, "daemon") is None


@pytest.mark.parametrize("content", ["{", "[]", '{"another": "version"}'])
def test_a_record_that_cannot_be_read_is_named_with_the_remedy(tmp_path: Path, content: str) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "daemon.json").write_text(content)
    with pytest.raises(NnunetAssetsError, match=r"daemon\.json is damaged or of another version.*delete the file\."):
        background.find(tmp_path, "daemon")
