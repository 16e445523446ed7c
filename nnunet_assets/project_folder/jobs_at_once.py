"""How many folds a cluster's jobs train at once, as a project declares it, and the runs that Dagster lets for them."""

import re
from contextlib import suppress
from pathlib import Path

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.declarations.project import declared_if_any
from nnunet_assets.errors import ConfigError

OTHER_RUNS = 5
"""Runs beside those of the folds: summaries, tables, a preparation."""

FEWEST_RUNS = 10
"""Of a new project, whatever trains."""

KEPT = (
    f"# Kept at {OTHER_RUNS} more than folds_at_once of engine.yaml, for folds in jobs; without this line it is yours."
)
"""Stands above the number of runs in Dagster's settings for as long as it is ours."""

_KEPT_NUMBER = re.compile(rf"(?m)^( *{re.escape(KEPT)}\n *max_concurrent_runs: )\d+$")


def jobs_at_once(project: Path) -> int | None:
    """Returns how many folds are to be in jobs at once; None: none is to be, or what is declared cannot be read."""
    try:
        declared = declared_if_any(project)
    except ConfigError:  # told by whoever loads it
        return None
    return declared.engine.folds_at_once if declared.in_jobs else None


def keep_runs(dagster_yaml: Path, at_once: int) -> None:
    """Lets as many runs go on at once as so many folds need, where the file's own line says that it is kept so.

    A file that may not be written stays; `doctor` says what lacks.
    """
    text = dagster_yaml.read_text(encoding="utf-8")
    n_runs = max(FEWEST_RUNS, at_once + OTHER_RUNS)
    kept = _KEPT_NUMBER.sub(lambda found: f"{found[1]}{n_runs}", text)
    if kept != text:
        with suppress(OSError):
            write_atomically(dagster_yaml.resolve(), kept.encode())
