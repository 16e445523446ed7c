"""`completion`: what makes a shell complete the commands, written where that shell reads it; click's own script."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.errors import ConfigError

if TYPE_CHECKING:
    from click.shell_completion import ShellComplete

PROGRAM, VARIABLE = "nnunet-assets", "_NNUNET_ASSETS_COMPLETE"
SHELLS = ("bash", "zsh", "fish")

FISH_FILE = Path(".config/fish/completions/nnunet-assets.fish")
"""Below the user's home; fish reads it by itself."""

# A zsh whose user has no completion of his own yet has no compdef.
_COMPINIT = "(( $+functions[compdef] )) || { autoload -Uz compinit && compinit }\n"


@click.command()
@click.argument("shell", envvar="SHELL", metavar="[bash|zsh|fish]", required=False)
@click.option("--print", "is_printed", is_flag=True, help="Print the script, and write nothing.")
def completion(shell: str | None, is_printed: bool) -> None:
    """Make the shell complete commands, options, datasets, experiments, folds and variants.

    For bash and zsh a script is written below ~/.local/share/nnunet-assets, and a line that reads it is added to
    ~/.bashrc or ~/.zshrc; for fish it is one file in ~/.config/fish/completions. Without an argument it is done for
    your login shell. What is there already is not written twice.
    """
    name = Path(shell or "").name
    if name not in SHELLS:
        raise ConfigError(
            f"{f'The shell {name!r} is none' if name else 'No shell is named, and SHELL is not set: name one'} of "
            f"{', '.join(SHELLS)}. Write `nnunet-assets completion bash`."
        )
    script = script_of(name)
    if is_printed:
        click.echo(script)
        return
    for sentence in install(name, script, Path.home()):
        click.echo(sentence)


def script_of(shell: str) -> str:
    """Returns the script that a shell reads."""
    from click.shell_completion import get_completion_class

    from nnunet_assets.cli.main import main

    kind: type[ShellComplete] | None = get_completion_class(shell)
    if kind is None:
        raise ConfigError(f"This version of click completes nothing in {shell}. Install a newer one.")
    script = kind(main, {}, PROGRAM, VARIABLE).source()
    return _COMPINIT + script if shell == "zsh" else script


def install(shell: str, script: str, home: Path) -> list[str]:
    """Writes the script and has the shell read it; returns what was done, a sentence each.

    Args:
        shell: One of `SHELLS`.
        script: For that shell.
        home: The user's.
    """
    file = home / FISH_FILE if shell == "fish" else home / ".local/share/nnunet-assets" / f"completion.{shell}"
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, script.encode())
    done = [f"The completion for {shell} is in {file}."]
    if shell != "fish":
        settings, line = home / f".{shell}rc", f'source "{file}"'
        # In bytes: neither the file nor the folder need be text in the terminal's encoding.
        there, added = settings.read_bytes() if settings.exists() else b"", os.fsencode(line)
        if added not in there.splitlines():
            with settings.open("ab") as out:
                out.write(b"" if there.endswith(b"\n") or not there else b"\n")
                out.write(added + b"\n")
            done.append(f"{settings} reads it: a line was added at its end.")
    return [*done, "It works in every shell that is opened from now on."]
