import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from nnunet_assets.cli import main as main_module
from nnunet_assets.cli.main import COMMANDS, main
from nnunet_assets.errors import DatasetError

HEAVY = ("dagster", "mlflow", "torch", "nnunetv2", "pandas", "matplotlib")


def test_help_lists_every_command_and_imports_none() -> None:
    code = (
        "import sys\nfrom nnunet_assets.cli.main import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print(sorted(m for m in sys.modules if m.startswith('nnunet_assets.cli.')))"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert all(f"  {name} " in run.stdout for name in COMMANDS)
    assert (
        run.stdout.splitlines()[-1]
        == "['nnunet_assets.cli.asset_words', 'nnunet_assets.cli.exit_codes', 'nnunet_assets.cli.main']"
    )


def test_the_help_of_no_command_waits_for_anything_heavy() -> None:
    # One after the other in one process: the first that imports something is the one to blame.
    code = (
        "import sys\nfrom nnunet_assets.cli.main import main\n"
        f"for name in {list(COMMANDS)}:\n"
        "    try: main([name, '--help'])\n"
        f"    except SystemExit as end: print('ended', name, end.code, [m for m in {HEAVY} if m in sys.modules])"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    ended = [line for line in run.stdout.splitlines() if line.startswith("ended ")]
    assert ended == [f"ended {name} 0 []" for name in COMMANDS], run.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["check-confg"], "There is no command 'check-confg'. Did you mean check-config? Commands: demo, init,"),
        (["check-config", "--folder", "x"], click.NoSuchOption("--folder").format_message()),
        (["init"], "Missing argument 'FOLDER'"),
        (["dev", "--port", "99999"], "99999 is not in the range 1<=x<=65535"),
        (["up", "--mlflow-port", "0"], "0 is not in the range 1<=x<=65535"),
    ],
)
def test_wrong_usage_ends_with_1_since_2_means_incomplete(arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 1
    assert sentence in result.stderr


class TestHowACommandEnds:
    @pytest.fixture
    def run(self, monkeypatch: pytest.MonkeyPatch) -> "_Run":
        return _Run(monkeypatch)

    def test_an_error_of_ours_is_a_sentence_without_a_traceback(self, run: "_Run") -> None:
        def fails() -> None:
            raise DatasetError("There is no such dataset.")

        result = run(fails)

        assert (result.exit_code, result.stderr, result.stdout) == (1, "There is no such dataset.\n", "")

    def test_a_disk_that_refuses_is_a_sentence_with_path_file_system_and_remedy(self, run: "_Run") -> None:
        def fails() -> None:
            raise OSError(errno.EROFS, "Read-only file system", "/proc/raw.json")

        result = run(fails)

        assert (result.exit_code, result.stderr) == (
            1,
            "/proc/raw.json cannot be read or written: Read-only file system (file system of /proc). Have it mounted "
            "for writing, or use a folder elsewhere.\n",
        )

    def test_a_name_too_long_for_any_folder_is_a_sentence(self, run: "_Run", tmp_path: Path) -> None:
        result = run((tmp_path / ("x" * 300) / "raw.json").stat)

        assert result.exit_code == 1
        assert "raw.json cannot be read or written: File name too long" in result.stderr

    def test_a_link_that_leads_to_itself_is_a_sentence(self, run: "_Run", tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to("loop")

        result = run((tmp_path / "loop").resolve)

        assert (result.exit_code, result.stdout) == (1, "")
        assert f"'{tmp_path}/loop': the link leads to itself. Remove it" in result.stderr

    def test_a_pipe_where_a_file_is_copied_is_a_sentence(self, run: "_Run", tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "pipe")

        result = run(lambda: shutil.copyfile(tmp_path / "pipe", tmp_path / "copy"))

        assert result.exit_code == 1
        assert (
            result.stderr
            == f"A file is needed: `{tmp_path}/pipe` is a named pipe. Put it back, or remove what lies there.\n"
        )

    def test_letters_that_an_encoding_does_not_have_are_a_sentence(self, run: "_Run") -> None:
        result = run(lambda: "first line\nmüde\nlast".encode("ascii"))

        assert result.exit_code == 1
        assert result.stderr.startswith("'müde' cannot be written as ascii (ordinal not in range(128)). A file or")

    def test_a_current_folder_that_was_deleted_is_a_sentence(
        self, run: "_Run", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "gone").mkdir()
        monkeypatch.chdir(tmp_path / "gone")
        (tmp_path / "gone").rmdir()

        result = run(Path.cwd)

        assert (result.exit_code, result.stderr) == (
            1,
            "The current folder is not there any more. Change to one that is (`cd`).\n",
        )

    @pytest.mark.parametrize(("charset", "shown"), [("ascii", "\\u00fc \\u60a3 \\udcff"), ("utf-8", "ü 患 \\udcff")])
    def test_any_name_is_printed_on_any_terminal_and_json_stays_json(
        self, run: "_Run", charset: str, shown: str
    ) -> None:
        name = os.fsdecode(b"\xc3\xbc \xe6\x82\xa3 \xff")

        result = run(lambda: print(json.dumps([name], ensure_ascii=False)), charset=charset)

        assert (result.exit_code, result.stdout) == (0, f'["{shown}"]\n')
        assert json.loads(result.stdout) == [name]

    def test_an_error_of_the_system_that_is_of_no_file_keeps_its_traceback(self, run: "_Run") -> None:
        def fails() -> None:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused")

        assert isinstance(run(fails).exception, ConnectionRefusedError)

    def test_a_defect_keeps_its_traceback(self, run: "_Run") -> None:
        def fails() -> None:
            raise ZeroDivisionError

        assert isinstance(run(fails).exception, ZeroDivisionError)

    def test_a_number_is_the_exit_code_and_nothing_is_0(self, run: "_Run") -> None:
        assert run(lambda: 2).exit_code == 2
        assert run(lambda: None).exit_code == 0


class _Run:
    """Runs a function as if it were a command."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch

    def __call__(self, function: Any, charset: str = "utf-8") -> Any:
        command = click.Command("probe", callback=function)
        self.monkeypatch.setitem(main_module.COMMANDS, "probe", ("main", "probe", ""))
        self.monkeypatch.setattr(main_module, "probe", command, raising=False)
        return CliRunner(charset=charset).invoke(main, ["probe"])


def test_ctrl_c_ends_with_130(tmp_path: Path) -> None:
    fifo = tmp_path / "started"
    os.mkfifo(fifo)
    code = (
        "import signal, time, click\nfrom nnunet_assets.cli import main as module\n"
        # A test runner in the background has SIGINT ignored, and its children inherit that.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        f"def wait(): open({str(fifo)!r}, 'w').close(); time.sleep(60)\n"
        "module.probe = click.Command('probe', callback=wait)\nmodule.COMMANDS['probe'] = ('main', 'probe', '')\n"
        "module.main(['probe'])"
    )
    process = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True)
    fifo.open().close()
    process.send_signal(signal.SIGINT)

    _, stderr = process.communicate(timeout=30)

    assert process.returncode == 130
    assert stderr.split() == ["Interrupted."]


def test_ctrl_c_in_the_first_import_ends_in_words(tmp_path: Path) -> None:
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); from nnunet_assets.cli import run; run()"

    ended = subprocess.run([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, timeout=60, check=False)

    assert (ended.returncode, ended.stderr.split()) == (130, ["Interrupted."])
