"""`evaluate`: saved predictions against their references, of an experiment or of two plain folders."""

import json
from collections.abc import Sequence
from pathlib import Path

import click

from nnunet_assets.cli import completions
from nnunet_assets.cli.exit_codes import DONE, INCOMPLETE
from nnunet_assets.cli.project_option import project_option_if_any
from nnunet_assets.cli.tables import print_table
from nnunet_assets.cli.terminal import TerminalProgress, console
from nnunet_assets.errors import EvaluationError
from nnunet_assets.reports.tables.evaluation_tables import interval_records, notes, short_records
from nnunet_assets.settings import project_settings
from nnunet_assets.workflows.results.evaluate import Evaluated, target_named
from nnunet_assets.workflows.results.evaluate import evaluate as evaluate_target


@click.command()
@click.argument("target", required=False, shell_complete=completions.experiments)
@click.option(
    "--predictions", type=click.Path(path_type=Path, file_okay=False), help="Folder of predictions, in place of TARGET."
)
@click.option(
    "--references",
    type=click.Path(path_type=Path, file_okay=False),
    help="Folder of references. Default, for an experiment: those that nnU-Net validated with.",
)
@click.option(
    "--dataset-json",
    type=click.Path(path_type=Path, dir_okay=False),
    help="For plain folders. Default: the one beside the predictions, beside the references, or above these.",
)
@click.option(
    "--nsd-tolerance",
    "tolerances",
    multiple=True,
    metavar="LABEL=MM",
    help="How far apart surfaces of a label may be. Default: as declared, else 2 mm.",
)
@click.option("--lesions", multiple=True, metavar="LABEL", help="Count the label's components, found and missed.")
@click.option("--output", type=click.Path(path_type=Path, file_okay=False), help="Folder for the tables.")
@project_option_if_any
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def evaluate(
    *,
    target: str | None,
    predictions: Path | None,
    references: Path | None,
    dataset_json: Path | None,
    tolerances: Sequence[str],
    lesions: Sequence[str],
    output: Path | None,
    project: Path,
    as_json: bool,
) -> int:
    """Evaluate saved predictions: overlap, surface distances and volumes by case and label.

    TARGET is a declared experiment (DATASET/TRAINER__PLANS__CONFIGURATION, a variant after the dataset), the folder of
    a trained model, or a folder of predictions, which needs --references. What is measured otherwise than declared, or
    against other references, is written beside the declared evaluation, into a folder of its own. Ends with 0 where
    every case is evaluated, and with 2 where something is wrong with some of them or a fold is missing.
    """
    given_mm = dict(_tolerance(text) for text in tolerances)
    if (predictions is None) == (target is None):
        raise EvaluationError("Name either an experiment or folder, or a folder with --predictions.")
    settings = project_settings(project)
    found = target_named(settings, predictions or str(target), references=references, dataset_json=dataset_json)
    with TerminalProgress(to_stderr=True) as progress:
        evaluated = evaluate_target(
            settings, found, progress, tolerances_mm=given_mm, lesion_labels=lesions, output=output
        )
    evaluation = evaluated.evaluation
    if as_json:
        content = {**evaluation.to_json(settings.places), "files": str(evaluated.folder)}
        click.echo(json.dumps(content, indent=2))
    else:
        _show(evaluated)
    return INCOMPLETE if evaluation.problems or evaluation.missing_folds else DONE


def _tolerance(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    try:
        if name:
            return name, float(number)
    except ValueError:
        pass
    raise EvaluationError(f"--nsd-tolerance {text!r} is not of the form LABEL=MM, such as organ=1.5.")


def _show(evaluated: Evaluated) -> None:
    terminal, evaluation, content = console(), evaluated.evaluation, evaluated.content
    terminal.print(f"{evaluation.subject}: {evaluation.n_evaluated} of {evaluation.n_expected} cases")
    if evaluation.missing_folds:
        terminal.print(f"Folds that are not finished: {', '.join(evaluation.missing_folds)}")
    tables = {"": short_records(content), "95 % intervals of the means": interval_records(content)}
    for title, records in tables.items():
        print_table(terminal, records, ["label"], title)
    for note in notes(content):
        terminal.print(note)
    if evaluation.problems:
        terminal.print(evaluation.problem_text())
    terminal.print(f"Tables and definitions: {evaluated.folder}")
