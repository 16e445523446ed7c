from pathlib import Path

import pytest

from nnunet_assets.tracking.store.redacted_files import without_credentials


def test_a_log_with_a_credential_is_shown_as_a_copy_of_the_same_name_that_is_gone_afterwards(tmp_path: Path) -> None:
    log = tmp_path / "output.log"
    log.write_bytes(b"loss 0.5\nGET https://host/x?access_token=hunter2\n\xff\xfe end")
    with without_credentials(log) as shown:
        assert shown.name == "output.log"
        assert shown.read_bytes() == b"loss 0.5\nGET https://host/x?access_token=***\n\xff\xfe end"
    assert not shown.exists()
    assert b"hunter2" in log.read_bytes()


@pytest.mark.parametrize("name", ["output.log", "plans.json", "checkpoint_final.pth"])
def test_what_holds_none_and_what_is_no_log_is_the_file_itself(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"loss 0.5" if name.endswith(".log") else b"https://me:pw@host")
    with without_credentials(tmp_path / name) as shown:
        assert shown == tmp_path / name
