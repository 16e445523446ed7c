"""The command group: which commands there are, and what their errors become.

Exit codes: 0 done, 1 an error or wrong usage, 2 incomplete (click's own 2 for wrong usage is taken), 130 Ctrl-C.
"""

import codecs
import difflib
import io
import json
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets import __version__
from nnunet_assets.cli.asset_words import with_commands
from nnunet_assets.cli.exit_codes import DONE, ERROR, INCOMPLETE, INTERRUPTED
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import BehindError, NnunetAssetsError, storage_errors_in_words

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# Name: module in this package, attribute, help in one line. The help stands here so that `--help` imports no command.
COMMANDS = {
    "demo": ("project.demo", "demo", "Run a whole cross-validation on a generated dataset."),
    "init": ("project.init", "init", "Make a project folder with an example that works at once."),
    "check-config": (
        "project.check_config",
        "check_config",
        "Check a project's YAML files, and show what they declare.",
    ),
    "import-dataset": ("dataset.import_dataset", "import_dataset", "Bring a dataset into nnUNet_raw."),
    "check": ("dataset.check", "check", "Read every case of a raw dataset, and say what is wrong with it."),
    "train": ("fold.train", "train", "Train one fold, with nnU-Net's own flags."),
    "backfill": ("project.backfill", "backfill", "Train folds by the project's daemon, and follow them."),
    "compare": ("results.compare", "compare", "Compare the experiments of a dataset."),
    "best": ("results.best", "best", "Choose the model of a dataset to take, and say what it will score."),
    "search": ("search.search", "search", "Run a declared search for settings, and take its winner."),
    "trainers": ("project.trainers", "trainers", "List the trainers that an experiment may name, with what each sets."),
    "package": ("model.package", "package", "Write the folds of an experiment as a model that can be handed on."),
    "predict": ("model.predict", "predict", "Predict new images by an experiment, a package or a registered version."),
    "ensemble": (
        "model.ensemble",
        "ensemble",
        "Average the probabilities of experiments, and score the masks.",
    ),
    "evaluate": (
        "results.evaluate",
        "evaluate",
        "Evaluate saved predictions by case and label, without training again.",
    ),
    "summarize": ("results.summarize", "summarize", "Show what the finished folds of an experiment say together."),
    "list": ("results.list_experiments", "list_experiments", "List experiments, their groups and finished folds."),
    "export": ("results.export", "export", "Write the summary of an experiment as CSV or LaTeX."),
    "models": ("model.models", "models", "List the versions of registered models, or clear those without an alias."),
    "promote": ("model.promote", "promote", "Make a version the champion of its registered model."),
    "verify": ("results.verify", "verify", "Verify published tables, pages, figures and models against the folds."),
    "accept": ("results.accept", "accept", "Accept the summary of an experiment as its baseline."),
    "adopt": ("fold.adopt", "adopt", "Take in finished folds that plain nnU-Net trained."),
    "sync": ("results.sync", "sync", "Send to MLflow what waits of the folds' curves, results and files."),
    "doctor": ("project.doctor", "doctor", "Check installation, folders, devices and servers, and say what to do."),
    "dev": ("project.servers", "dev", "Run Dagster's and MLflow's web UI until Ctrl-C."),
    "up": ("project.servers", "up", "Start web UI, daemon and MLflow in the background."),
    "completion": ("completion", "completion", "Make the shell complete commands, datasets, experiments and folds."),
    "down": ("project.servers", "down", "Stop what `up` started."),
}


class LazyGroup(click.Group):
    """Imports a command when it is called: `--help` must not wait for Dagster, nor any command for torch."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Returns the names in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Imports the command; None where there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        module, attribute, _ = COMMANDS[cmd_name]
        command: click.Command = getattr(import_module(f"nnunet_assets.cli.{module}"), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> "list[CompletionItem[str]]":
        """Offers the commands without importing them."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=text) for name, (_, _, text) in COMMANDS.items() if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Finds the command, and suggests one where the name is close."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            close = difflib.get_close_matches(args[0], COMMANDS, n=1)
            near = f" Did you mean {close[0]}?" if close else ""
            ctx.fail(f"There is no command {args[0]!r}.{near} Commands: {', '.join(COMMANDS)}.")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Writes the table of commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, _, text) in COMMANDS.items()])

    def main(self, *args: Any, **extra: Any) -> Any:
        """Runs a command and ends the process with its exit code; an error is one sentence on standard error."""
        _print_any_name()
        try:
            with storage_errors_in_words():
                result = super().main(*args, **{**extra, "standalone_mode": False})
        except NnunetAssetsError as error:
            click.echo(with_commands(redacted(str(error))), err=True)
            sys.exit(INCOMPLETE if isinstance(error, BehindError) else ERROR)
        except click.ClickException as error:
            error.show()
            sys.exit(ERROR)
        except click.Abort:  # what click makes of Ctrl-C
            click.echo("Interrupted.", err=True)
            sys.exit(INTERRUPTED)
        sys.exit(result if isinstance(result, int) else DONE)


def _print_any_name() -> None:
    """Lets a terminal that has ASCII alone show every name, and any terminal one that is no text, as JSON does."""
    codecs.register_error("escaped", _escaped)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="escaped")


def _escaped(error: UnicodeError) -> tuple[str, int]:
    # What `--json` prints is JSON on every terminal.
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return json.dumps(error.object[error.start : error.end])[1:-1], error.end


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nnunet-assets")
def main() -> None:
    """Cross-validation of nnU-Net v2 as a Dagster asset graph, tracked in MLflow."""
