"""The command that makes a shell complete the others."""

import os
import shutil
import subprocess
import sys
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


@pytest.mark.skipif(shutil.which("fish") is None, reason="no fish here")
@pytest.mark.parametrize(("typed", "offered"), [("summ", "summarize"), ("train --dr", "--dry-run")])
def test_fish_completes_with_what_was_written(home: Path, typed: str, offered: str) -> None:
    run("fish")
    code = f'complete -C "nnunet-assets {typed}"'
    done = subprocess.run(["fish", "-c", code], capture_output=True, text=True, check=True, env=with_program(home))
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == [offered]


# As a person at a terminal: types, presses the tabulator, and looks until something comes, for half a minute at most.
TYPED_IN_ZSH = r"""
zmodload zsh/zpty
zpty -b shell zsh -i
zpty -w -n shell $'nnunet-assets trai\t'
for look in {1..300}; do
    while zpty -r -t shell piece; do shown+=$piece; done
    [[ $shown == *train* ]] && break
    sleep 0.1
done
print -r -- $shown
"""


@pytest.mark.skipif(shutil.which("zsh") is None, reason="no zsh here")
def test_zsh_completes_with_what_was_written(home: Path) -> None:
    run("zsh")
    done = subprocess.run(
        ["zsh", "-f", "-c", TYPED_IN_ZSH], capture_output=True, text=True, check=True, env=with_program(home)
    )
    assert "train" in done.stdout


def with_program(home: Path) -> dict[str, str]:
    """Returns an environment in which the shell finds the command, and the user's settings."""
    found = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**os.environ, "HOME": str(home), "PATH": found, "TERM": "dumb"}
