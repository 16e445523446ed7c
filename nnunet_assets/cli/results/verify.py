"""`verify`: whether published tables, pages, figures, results and packages still say what the folds say."""

import json
from pathlib import Path

import click

from nnunet_assets.cli.exit_codes import DONE, ERROR, INCOMPLETE
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.terminal import TerminalProgress, console
from nnunet_assets.core.verification.findings import LEVELS, Verdict, Verification, worst
from nnunet_assets.settings import project_settings

_CODES: dict[Verdict, int] = {"holds": DONE, "changed": ERROR, "unknown": INCOMPLETE}
_SIGNS: dict[Verdict, str] = {"holds": "holds", "changed": "DIFFERENT", "unknown": "not known"}


@click.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
@project_option
@click.option("--quick", is_flag=True, help="Leave out reading masks and raw data again, which takes minutes.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def verify(*, files: tuple[Path, ...], project: Path, quick: bool, as_json: bool) -> int:
    """Verify FILES that were exported: tables, pages, figures, results (JSON), packages of models.

    Each is traced back by the digest that it carries, whatever it is called and wherever it lies, and computed again:
    the file from the result, the result from the folds' scores, the scores from the predicted masks and the references;
    checkpoints, raw data, plans and split are held against what the folds recorded. Ends with 0 where everything holds,
    with 1 where something is different, and with 2 where nothing is, but something cannot be checked any more.
    """
    from nnunet_assets.workflows.verification.verify import verify as verify_files

    with TerminalProgress(to_stderr=True) as progress:
        found = verify_files(project_settings(project), files, progress, quick=quick)
    if as_json:
        click.echo(json.dumps([one.to_json() for one in found], indent=2))
    else:
        for one in found:
            _show(one)
    return _CODES[worst(one.verdict for one in found)]


def _show(found: Verification) -> None:
    terminal = console()
    terminal.print(found.headline())
    if found.what:
        terminal.print(f"It is {found.what}.")
    for level, title in LEVELS.items():
        if at_level := [one for one in found.findings if one.level == level]:
            terminal.print(title)
            for one in at_level:
                terminal.print(f"  {_SIGNS[one.verdict]}: {one.sentence}")
    for sentence in found.left_out:
        terminal.print(sentence)
