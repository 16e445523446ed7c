"""What the texts beside a checkpoint say of a training elsewhere: nnU-Net's `debug.json` and its logs.

Both are the same from nnU-Net 2.0 to 2.8 where they are read here. `debug.json` holds the trainer's attributes as
texts, written by the first process alone. A log is named after the second in which its process began, and says how
many cases are to be validated, whichever way the split came about.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.json_file import readable_json
from nnunet_assets.core.files.regular_file import regular_text
from nnunet_assets.core.fold.fold_provenance import OF_ONE_PROCESS

SETTINGS = (
    "num_epochs",
    "num_iterations_per_epoch",
    "num_val_iterations_per_epoch",
    "initial_lr",
    "weight_decay",
    "oversample_foreground_percent",
    "probabilistic_oversampling",
    "enable_deep_supervision",
    "batch_size",
)
"""What nnU-Net's debug.json says of how a fold was trained; folds that differ in it must not be averaged."""

_SPLIT_SIZE = re.compile(r"This (?:random 80:20 )?split has (\d+) training and (\d+) validation cases")
_LOG_NAME = re.compile(r"training_log_(\d+)_(\d+)_(\d+)_(\d+)_(\d+)_(\d+)\.txt")


def read_debug(fold_folder: Path) -> dict[str, str]:
    """Returns what debug.json says; empty where it is not there or torn: it proves nothing then."""
    content = readable_json(fold_folder / "debug.json")
    return {key: str(value) for key, value in content.items() if isinstance(value, str | int | float)}


def is_of_several_processes(debug: Mapping[str, Any]) -> bool:
    """Says whether several GPUs trained the fold."""
    return debug.get("is_ddp", "False").strip().lower() == "true" or debug.get("local_rank", "0") not in ("0", "None")


def proved_settings(debug: Mapping[str, str]) -> dict[str, str]:
    """Returns the settings that debug.json proves of the whole training."""
    unproved = OF_ONE_PROCESS if is_of_several_processes(debug) else ()
    return {name: debug[name] for name in SETTINGS if name in debug and name not in unproved}


def logged_validation_sizes(fold_folder: Path) -> list[int]:
    """Returns how many cases were to be validated, by each log that says it, the newest last.

    Several starts leave several logs, of which an earlier one may be of another split. Their order is that of the times
    in their names; a copy may have lost the times of the files, which count where a name has none.
    """
    logs = sorted(fold_folder.glob("training_log_*.txt"), key=_begun)
    return [int(size[1]) for log in logs for size in _SPLIT_SIZE.findall(regular_text(log, errors="replace"))]


def _begun(log: Path) -> tuple[float, str]:
    found = _LOG_NAME.fullmatch(log.name)
    try:
        return datetime(*map(int, found.groups())).timestamp() if found else log.stat().st_mtime, log.name  # type: ignore[arg-type]
    except (ValueError, OverflowError):
        return log.stat().st_mtime, log.name
