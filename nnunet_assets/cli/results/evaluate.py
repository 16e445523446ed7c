"""`evaluate`: saved predictions against their references, of an experiment or of two plain folders."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nnunet_assets.cli.project_option import project_option
from nnunet_assets.cli.terminal import console
from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.evaluation.evaluation import Evaluation
from nnunet_assets.core.evaluation.evaluation_files import evaluation_folder
from nnunet_assets.core.evaluation.metric_policy import metric_policy
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.layout import fold_key
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.project import EXPERIMENTS_FOLDER, read_project
from nnunet_assets.errors import ConfigError, EvaluationError
from nnunet_assets.reports.tables.case_table import write_case_table
from nnunet_assets.reports.tables.evaluation_tables import interval_records, notes, short_records, write_label_tables
from nnunet_assets.settings import Settings, project_settings

if TYPE_CHECKING:
    from nnunet_assets.nnunet.predictions.predicted_cases import PredictedCases

DONE, INCOMPLETE = 0, 2


@dataclass(frozen=True)
class _Wanted:
    """What to evaluate, where its files go, and what the project declares for it.

    Attributes:
        found: The cases.
        folder: Of the declared evaluation.
        tolerances_mm: Declared; empty where nothing is.
        lesion_labels: Likewise.
        others: What the declared evaluation does not have: other references, folds that are not adopted.
    """

    found: "PredictedCases"
    folder: Path
    tolerances_mm: Mapping[str, float] = field(default_factory=dict)
    lesion_labels: Sequence[str] = ()
    others: Sequence[str] = ()


@click.command()
@click.argument("target", required=False)
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
@project_option
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
    folder = predictions or Path(str(target))
    if predictions is None and _is_model(folder):
        wanted = _of_model(folder, references, project)
    elif predictions is None and not folder.is_dir():
        wanted = _of_experiment(str(target), references, project)
    elif references is not None:
        wanted = _of_folders(folder, references, dataset_json, project)
    else:
        raise EvaluationError(
            f"{folder} is not the folder of a model, which has {DATASET_JSON} and fold_0, ...; and a folder of "
            "predictions needs --references, the folder of what is right."
        )
    evaluation, folder = _evaluate(wanted, given_mm, lesions, output, project)
    if as_json:
        click.echo(json.dumps({**evaluation.to_json(project_settings(project).places), "files": str(folder)}, indent=2))
    else:
        _show(evaluation, folder)
    return INCOMPLETE if evaluation.problems or evaluation.missing_folds else DONE


def _tolerance(text: str) -> tuple[str, float]:
    name, _, number = text.rpartition("=")
    try:
        if name:
            return name, float(number)
    except ValueError:
        pass
    raise EvaluationError(f"--nsd-tolerance {text!r} is not of the form LABEL=MM, such as organ=1.5.")


def _is_model(folder: Path) -> bool:
    return (folder / DATASET_JSON).is_file() and any(path.is_dir() for path in folder.glob("fold_*"))


def _of_model(folder: Path, references: Path | None, project: Path) -> _Wanted:
    """Takes the finished folds in a model's folder, those of plain nnU-Net too; as declared, where it is."""
    model, settings = folder.resolve(), project_settings(project)
    if (project / EXPERIMENTS_FOLDER).is_dir():
        declared = read_project(project)
        for config in declared.experiments:
            if config.identity.model_folder(settings.roots).resolve() == model:
                dataset, folds = declared.dataset(config.dataset), declared.folds_of(config)
                return _of_folds(
                    settings, model, folds, str(folder), references=references, dataset=dataset, of_plain_nnunet=True
                )
    # Not fold_all, which was validated on cases that it was trained on.
    numbers = sorted(int(path.name[5:]) for path in model.glob("fold_*") if path.name[5:].isdecimal())
    folds = [fold_key(number) for number in numbers]
    return _of_folds(settings, model, folds, str(folder), references=references, of_plain_nnunet=True)


def _of_experiment(name: str, references: Path | None, project: Path) -> _Wanted:
    """Takes the finished folds of a declared experiment, measured as its dataset's declaration says."""
    declared = read_project(project)
    try:
        config = declared.experiment(name.replace(" ", ""))
    except ConfigError as error:
        raise EvaluationError(f"{name!r} is neither a folder nor an experiment. {error}") from None
    settings = project_settings(project)
    dataset, model = declared.dataset(config.dataset), config.identity.model_folder(settings.roots)
    folds, title = declared.folds_of(config), config.identity.title
    return _of_folds(settings, model, folds, title, references=references, dataset=dataset)


def _of_folds(
    settings: Settings,
    model: Path,
    folds: Sequence[str],
    subject: str,
    *,
    references: Path | None,
    dataset: DatasetConfig | None = None,
    of_plain_nnunet: bool = False,
) -> _Wanted:
    # numpy, which the other commands and wrong usage need not wait for.
    from nnunet_assets.nnunet.predictions.predicted_cases import cases_of_folds, references_folder
    from nnunet_assets.nnunet.results.results_folder import is_foreign

    validated_with = references_folder(settings.roots, model.parent.name)
    other = references if references and references.resolve() != validated_with.resolve() else None
    found = cases_of_folds(
        model,
        validated_with,
        folds,
        subject,
        other_references=other,
        of_plain_nnunet=of_plain_nnunet,
        trusted=settings.trusted_code,
    )
    others = [fold for fold in found.folds if is_foreign(model / fold)] + ([str(other.resolve())] if other else [])
    if dataset is None:
        return _Wanted(found, evaluation_folder(model), others=others)
    return _Wanted(found, evaluation_folder(model), dataset.nsd_tolerance_mm, dataset.lesion_labels, others)


def _of_folders(predictions: Path, references: Path, dataset_json: Path | None, project: Path) -> _Wanted:
    from nnunet_assets.nnunet.predictions.predicted_cases import cases_of_folders

    places = [predictions / DATASET_JSON, references / DATASET_JSON, references.resolve().parent / DATASET_JSON]
    description = dataset_json or next((place for place in places if place.is_file()), None)
    if description is None:
        raise EvaluationError(
            f"There is no {DATASET_JSON}, which names the labels, in {predictions}, {references} or above that. "
            "Name it with --dataset-json."
        )
    trusted = project_settings(project).trusted_code
    return _Wanted(cases_of_folders(predictions, references, description, trusted), evaluation_folder(predictions))


def _evaluate(
    wanted: _Wanted, tolerances_mm: Mapping[str, float], lesions: Sequence[str], output: Path | None, project: Path
) -> tuple[Evaluation, Path]:
    from nnunet_assets.nnunet.predictions.evaluation import evaluate_cases

    description, settings = wanted.found.description, project_settings(project)
    declared = metric_policy(description, wanted.tolerances_mm, wanted.lesion_labels)
    policy = metric_policy(description, {**wanted.tolerances_mm, **tolerances_mm}, (*wanted.lesion_labels, *lesions))
    folder = output or wanted.folder
    if not output and (policy != declared or wanted.others):
        # Reports and figures show the declared evaluation, and would show this one in its place. The name is the same
        # in every version of the metrics: what an older one left there is brought up to date.
        folder /= json_sha256([policy.digest_of_version(1), *wanted.others])[:16]
    with _progress() as on_progress:
        evaluation = evaluate_cases(
            wanted.found,
            policy,
            folder,
            write_table=write_case_table,
            write_labels=write_label_tables,
            on_progress=on_progress,
            places=settings.places,
            trusted=settings.trusted_code,
        )
    evaluation.refuse_empty()
    return evaluation, folder


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    """Yields what shows progress and the time that is left, on a terminal's standard error."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Evaluating"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    terminal = Console(stderr=True)
    with Progress(*columns, console=terminal, transient=True, disable=not terminal.is_terminal) as bar:
        task = bar.add_task("", total=None)
        yield lambda n_done, n_cases: bar.update(task, completed=n_done, total=n_cases)


def _show(evaluation: Evaluation, folder: Path) -> None:
    from rich.table import Table

    terminal = console()
    terminal.print(f"{evaluation.subject}: {evaluation.n_evaluated} of {evaluation.n_expected} cases")
    if evaluation.missing_folds:
        terminal.print(f"Folds that are not finished: {', '.join(evaluation.missing_folds)}")
    content = evaluation.to_json()
    tables = {"": short_records(content), "95 % intervals of the means": interval_records(content)}
    for title, records in tables.items():
        if records:
            table = Table(*(name[0].upper() + name[1:] for name in records[0]), title=title or None)
            for record in records:
                table.add_row(*record.values())
            terminal.print(table)
    for note in notes(content):
        terminal.print(note, markup=False)
    if evaluation.problems:
        terminal.print(evaluation.problem_text())
    terminal.print(f"Tables and definitions: {folder}")
