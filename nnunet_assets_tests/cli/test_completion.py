"""The command that makes a shell complete the others."""

import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnunet_assets.cli.main import main


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SHELL", raising=False)
    return tmp_path


def run(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["completion", *arguments])


@pytest.mark.parametrize("shell", ["bash", "zsh"])
def test_a_shell_reads_it_from_its_own_settings_which_stay_as_they_are(home: Path, shell: str) -> None:
    settings = home / f".{shell}rc"
    settings.write_text("alias ll='ls -l'")
    first, again = run(shell), run(shell)
    file = home / f".local/share/nnunet-assets/completion.{shell}"
    assert (first.exit_code, again.exit_code) == (0, 0)
    assert settings.read_text() == f"alias ll='ls -l'\nsource \"{file}\"\n"
    assert "a line was added at its end" in first.stdout
    assert "a line was added" not in again.stdout
    assert "_NNUNET_ASSETS_COMPLETE" in file.read_text()


def test_a_shell_without_settings_gets_them(home: Path) -> None:
    assert run("bash").exit_code == 0
    assert (home / ".bashrc").read_text().startswith("source ")


def test_fish_reads_its_own_folder(home: Path) -> None:
    assert run("fish").exit_code == 0
    assert "nnunet-assets" in (home / ".config/fish/completions/nnunet-assets.fish").read_text()
    assert [path.name for path in home.iterdir()] == [".config"]


def test_the_login_shell_is_meant_where_none_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "No shell is named, and SHELL is not set: name one of bash, zsh, fish." in run().stderr
    monkeypatch.setenv("SHELL", "/usr/bin/bash")
    assert "completion.bash" in run().stdout
    monkeypatch.setenv("SHELL", "/bin/dash")
    assert "The shell 'dash' is none of bash, zsh, fish." in run().stderr


def test_it_may_be_printed_alone(home: Path) -> None:
    printed = run("bash", "--print")
    assert "complete -o nosort" in printed.stdout
    assert list(home.iterdir()) == []


@pytest.mark.skipif(shutil.which("bash") is None, reason="no bash here")
def test_bash_takes_what_was_written(home: Path) -> None:
    run("bash")
    code = f'source "{home}/.bashrc"; complete -p nnunet-assets'
    done = subprocess.run(["bash", "-c", code], capture_output=True, text=True, check=True)
    assert "nnunet-assets" in done.stdout
