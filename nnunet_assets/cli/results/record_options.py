"""Which record the commands read that show results, and how they say what they found there."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets.cli.project_option import project_option
from nnunet_assets.errors import ConfigError

if TYPE_CHECKING:
    from nnunet_assets.core.summary.cv_groups import CvGroup, CvRecord
    from nnunet_assets.settings import Settings
    from nnunet_assets.workflows.summaries import Summary

SOURCES = ("mlflow", "results", "dagster")

_RECORD_OPTIONS = (
    click.option(
        "--tracking-uri", metavar="URI", help="MLflow store: a server, sqlite:////FILE or a folder such as ./mlruns."
    ),
    click.option("--source", type=click.Choice(SOURCES), help="Whose record to read.  [default: mlflow]"),
    click.option(
        "--results",
        type=click.Path(path_type=Path, file_okay=False),
        help="Results folder to read: nnUNet_results, or a dataset's or model's folder.",
    ),
    project_option,
)
_GROUP_OPTIONS = (
    click.option("-e", "--experiment", "name", required=True, metavar="NAME", help="MLflow experiment, or dataset."),
    click.option("--cv-group", metavar="GROUP", help="As `list` names it.  [default: the newest with a finished fold]"),
    click.option(
        "--folds",
        metavar="0,1,2,3,4",
        help="The expected folds.  [default: as declared, else 0,1,2,3,4 and more that are finished]",
    ),
)


def record_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say which record to read."""
    return _with(_RECORD_OPTIONS, command)


def group_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options that say which cross-validation in it."""
    return _with((*_GROUP_OPTIONS, *_RECORD_OPTIONS), command)


@contextmanager
def opened_record(
    settings: "Settings", tracking_uri: str | None, source: str | None, results: Path | None
) -> Iterator["CvRecord"]:
    """Yields the record that the options name.

    Raises:
        ConfigError: They contradict each other.
        NnunetAssetsError: It is not there, or does not answer.
    """
    from nnunet_assets.workflows.summaries import folder_record, mlflow_record

    chosen = source or ("results" if results else "mlflow")
    for option, is_given, belongs_to in (
        ("--results", results is not None, "results"),
        ("--tracking-uri", tracking_uri is not None, "mlflow"),
    ):
        if is_given and chosen != belongs_to:
            raise ConfigError(f"{option} belongs to --source {belongs_to}, and {chosen} is to be read. Leave one out.")
    if chosen == "mlflow":
        _quiet_mlflow()
        yield mlflow_record(settings, tracking_uri)
    elif chosen == "results":
        yield folder_record(results or settings.roots.results)
    else:
        with _instance(settings) as record:
            yield record


def found_summary(
    settings: "Settings", name: str, cv_group: str | None, folds: str | None, **record: Any
) -> tuple["CvGroup", "Summary", list[str]]:
    """Returns the group and the summary that the options name, and a sentence for each fold of which they are behind.

    Raises:
        NnunetAssetsError: As `opened_record` and `CvRecord.summary`.
    """
    from nnunet_assets.nnunet.results.own_folds import behind
    from nnunet_assets.workflows.summaries import expected_folds, with_intervals

    expected = expected_folds(settings, _numbers(folds))
    with opened_record(settings, **record) as opened:
        group, summary = opened.summary(name, cv_group, expected)
        # Another folder of results, and what another program recorded, are of their own right.
        data = settings.data if record.get("source") in (None, "mlflow") else None
        is_own = group.is_native and not record.get("results")
        late = behind(settings.roots, data, summary, opened.place) if is_own else []
    return group, with_intervals(settings, summary), late


def _with(options: Sequence[Callable[..., Any]], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command


def _numbers(folds: str | None) -> list[int] | None:
    if folds is None:
        return None
    try:
        return [int(fold) for fold in folds.split(",")]
    except ValueError:
        raise ConfigError(f"--folds {folds!r} is not a list of numbers. Write --folds 0,1,2,3,4.") from None


def _quiet_mlflow() -> None:
    """Keeps MLflow's news about its own tables from the terminal."""
    import logging

    logging.getLogger("mlflow.store.db.utils").setLevel(logging.WARNING)


@contextmanager
def _instance(settings: "Settings") -> Iterator["CvRecord"]:
    import dagster as dg

    from nnunet_assets.assets.fold.recorded_folds import DagsterRecord

    home = settings.dagster_home
    if not home.is_dir():
        raise ConfigError(f"Dagster recorded nothing yet: {home} is not there. Name the project with --project.")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield DagsterRecord(instance, settings.roots)
