"""Which process runs which tests, and what is said where some fail."""

from pathlib import Path

import pytest

from nnunet_assets_tests import side_by_side
from nnunet_assets_tests.side_by_side import FOLDER, GROUPS, MADE_ONCE, arguments_of, main


def test_each_file_of_tests_is_collected_by_one_process_and_no_more() -> None:
    collected = []
    for group in GROUPS:
        arguments = list(arguments_of(group))
        ignored = [Path(one.removeprefix("--ignore=")) for one in arguments if one.startswith("--ignore=")]
        wanted = [Path(one) for one in arguments if not one.startswith("--ignore=")]
        assert all(path.exists() for path in (*wanted, *ignored))
        assert not [path for path in ignored if path in wanted]
        collected += [
            file
            for file in FOLDER.rglob("test_*.py")
            if any(file.is_relative_to(path) for path in wanted)
            and not any(file.is_relative_to(path) for path in ignored)
        ]
    assert sorted(collected) == sorted(FOLDER.rglob("test_*.py"))


def test_each_process_is_heard_and_one_failure_fails_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "slow").mkdir()
    shares = f"import os\n\ndef test_it() -> None:\n    assert os.path.isdir(os.environ[{MADE_ONCE!r}])\n"
    (tmp_path / "slow" / "test_shares.py").write_text(shares)
    (tmp_path / "test_other.py").write_text("def test_it() -> None:\n    assert 1 == 2\n")
    monkeypatch.setattr(side_by_side, "FOLDER", tmp_path)
    monkeypatch.setattr(side_by_side, "GROUPS", {"slow": ("slow",), "others": (".",)})
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    options = ["-q", "--rootdir", str(tmp_path), "-c", "/dev/null"]
    assert main(options) == 1
    printed = capsys.readouterr().out
    assert "others E       assert 1 == 2" in printed
    assert [line.split(" in ")[0] for line in printed.splitlines()[-2:]] == ["slow   1 passed", "others 1 failed"]

    (tmp_path / "test_other.py").unlink()
    (tmp_path / "test_shares_too.py").write_text(shares)
    assert main(options) == 0
