"""`best`: which experiment of a dataset to take, and what it may be expected to score."""

import json
from pathlib import Path

import click

from nnunet_assets.cli import completions
from nnunet_assets.cli.exit_codes import DONE, INCOMPLETE
from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.tables import print_table
from nnunet_assets.cli.terminal import TerminalProgress, console
from nnunet_assets.declarations.project import read_project
from nnunet_assets.declarations.sections.found_ensembles_config import MOST_MEMBERS
from nnunet_assets.settings import project_settings
from nnunet_assets.workflows.model.best_files import make_best_configuration


@click.command()
@click.argument("dataset", shell_complete=completions.datasets)
@project_option
@click.option(
    "--max-members",
    type=click.IntRange(1, MOST_MEMBERS),
    default=None,
    help="Make the ensembles of up to so many experiments first; 1: none. Unless told as the dataset declares, else 2.",
)
@click.option("--no-postprocessing", is_flag=True, help="Choose among the models as they are; no mask is read.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def best(dataset: str, project: Path, max_members: int | None, no_postprocessing: bool, as_json: bool) -> int:
    """Choose among the declared experiments of DATASET, and estimate what the chosen one will score.

    The best mean Dice is taken; where others cannot be told from it, the simplest of them: a single model before an
    ensemble, one without postprocessing before one with. Which postprocessing steps a model takes is part of the
    choice. A mean that was chosen as the best of several promises too much: the expected Dice beside it is estimated
    by choosing on some folds and scoring on the others.

    The ensembles of every two experiments are candidates too. One that is missing, or has a member that changed, is
    made first: its members predict the validation cases of their folds again, which takes about as long as these
    validations took. --max-members 1 predicts nothing.

    Writes what the asset best_configuration writes, nnU-Net's inference_instructions.txt too where plain nnU-Net can
    predict with what is chosen. A summary that is missing, or older than one of the folds, is made first. Ends with 0,
    with 2 where an experiment was left out, and with 1 where there is nothing to choose from.
    """
    settings = project_settings(project)
    with TerminalProgress(to_stderr=True) as progress:
        made = make_best_configuration(
            settings,
            read_project(settings.project),
            dataset,
            progress,
            makes_summaries=True,
            makes_ensembles=True,
            with_postprocessing=not no_postprocessing,
            max_members=max_members,
        )
    found = made.found
    code = INCOMPLETE if found.left_out else DONE
    if as_json:
        click.echo(json.dumps(found.to_json(), indent=2, allow_nan=False))
        return code
    # numpy, which wrong usage need not wait for.
    from nnunet_assets.reports.tables.best_configuration_rows import candidate_records, notes, step_records

    terminal = console()
    terminal.print(f"{dataset}: {found.headline()}")
    # The line above says which is taken.
    rows = [{name: text for name, text in row.items() if name != "taken"} for row in candidate_records(found)]
    print_table(terminal, rows, ["candidate"])
    print_table(terminal, step_records(found, found.chosen_candidate.model), ["largest component of"])
    files = [f"Written: {file}" for file in (made.file, *made.inference_files)]
    for sentence in (*found.reasons(), *notes(found), *filter(None, [made.no_inference_files]), *files):
        terminal.print(sentence)
    return code
