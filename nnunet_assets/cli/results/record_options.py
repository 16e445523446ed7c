"""Which record the commands read that show results, and how they say what they found there."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nnunet_assets.cli import completions
from nnunet_assets.cli.project_option import project_option_if_any
from nnunet_assets.errors import ConfigError

if TYPE_CHECKING:
    from nnunet_assets.core.summary.cv_groups import CvRecord
    from nnunet_assets.settings import Settings
    from nnunet_assets.workflows.results.recorded_summaries import FoundSummary

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
    project_option_if_any,
)
_GROUP_OPTIONS = (
    click.option(
        "-e",
        "--experiment",
        "name",
        required=True,
        metavar="NAME",
        shell_complete=completions.datasets,
        help="MLflow experiment, or dataset.",
    ),
    click.option(
        "--cv-group",
        metavar="GROUP",
        help="As `list` names it, or a part that no other has.  [default: the newest with a finished fold]",
    ),
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
    from nnunet_assets.workflows.results.recorded_summaries import folder_record, mlflow_record

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
        from nnunet_assets.cli.results.dagster_record import dagster_record

        with dagster_record(settings) as record:
            yield record


def found_summary(
    settings: "Settings", name: str, cv_group: str | None, folds: str | None, **record: Any
) -> "FoundSummary":
    """Returns what the record that the options name says of the cross-validation that they name.

    Raises:
        NnunetAssetsError: As `opened_record` and `find_summary`.
    """
    from nnunet_assets.workflows.results.recorded_summaries import expected_folds, find_summary

    expected = expected_folds(settings, _numbers(folds))
    with opened_record(settings, **record) as opened:
        return find_summary(
            settings,
            opened,
            name,
            cv_group,
            expected,
            is_elsewhere=bool(record.get("results")),
            knows_adopted=record.get("source") in (None, "mlflow"),
        )


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
