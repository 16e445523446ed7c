"""How many folds a dataset has where the files that its declaration names decide it, and what is wrong with them."""

from pathlib import Path

from nnunet_assets.core.splits.case_groups import GroupTable
from nnunet_assets.core.splits.splits import MAX_FOLDS, SplitSettings
from nnunet_assets.core.splits.splits_files import read_splits_file
from nnunet_assets.declarations.config import DatasetConfig
from nnunet_assets.declarations.yaml_files.yaml_source import Document, Location, Problem
from nnunet_assets.errors import ConfigError, first_offenders

_SPLITS: Location = ("attributes", "splits")


def with_known_folds(
    config: DatasetConfig, project: Path, document: Document
) -> tuple[DatasetConfig | None, list[Problem]]:
    """Returns the declaration with the number of folds that it comes to, or what is wrong with its files.

    Args:
        config: The declaration, valid for itself.
        project: The project's folder, where relative paths begin.
        document: Where the declaration stands.
    """
    settings = config.split_settings(project)
    file = (*_SPLITS, "file") if settings.file else (*_SPLITS, "groups", "file")
    try:
        n_folds, why = _n_folds(settings)
        if isinstance(settings.groups, GroupTable) and not settings.leave_one_group_out:
            file = (*_SPLITS, "groups", "file")
            _refuse_few_groups(settings.groups, n_folds)
    except ConfigError as error:
        return None, [Problem(document.line_of(file), file, str(error))]
    if n_folds != config.folds and "folds" in config.model_fields_set:
        location: Location = ("attributes", "folds")
        sentence = f"{config.folds} folds are declared, but {why}. Remove `folds`, or correct the file."
        return None, [Problem(document.line_of(location), location, sentence)]
    # One fold is a hold-out, by a file that is named here or lies beside the data.
    if not (2 if settings.leave_one_group_out else 1) <= n_folds <= MAX_FOLDS:
        kind, fewest = ("split", 1) if settings.file else ("cross-validation", 2)
        sentence = f"a {kind} has {fewest} to {MAX_FOLDS} folds, but {why}."
        return None, [Problem(document.line_of(file), file, sentence)]
    return config.model_copy(update={"folds": n_folds}), []


def _n_folds(settings: SplitSettings) -> tuple[int, str]:
    """Returns the number of folds, and what says so."""
    if settings.file:
        n_folds = len(read_splits_file(settings.file))
        return n_folds, f"{settings.file} holds {n_folds}"
    if settings.leave_one_group_out and isinstance(settings.groups, GroupTable):
        names = sorted(set(settings.groups.read().values()))
        return len(names), f"the groups in {settings.groups.title} number {len(names)} ({first_offenders(names)})"
    return settings.n_folds, f"{settings.n_folds} are declared"


def _refuse_few_groups(table: GroupTable, n_folds: int) -> None:
    names = sorted(set(table.read().values()))
    if len(names) < n_folds:
        raise ConfigError(
            f"The number of groups in {table.column!r} of {table.path} is {len(names)} ({first_offenders(names)}), too "
            f"few for {n_folds} folds: each needs a group of its own to validate on. Lower `folds`, or name another "
            "column."
        )
