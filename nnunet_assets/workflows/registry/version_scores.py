"""The scores by case of what was registered, kept in the project: by them the gate compares a version with the next.

They name cases, and so they are never sent anywhere. Who has not registered a version himself does not have its scores,
and its champion can be followed by force alone.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.files.json_file import read_json_bytes, write_json_atomically
from nnunet_assets.core.files.typed_json import dataclass_from_json, dataclass_to_json
from nnunet_assets.settings import Settings

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment

MODELS_FOLDER = "models"
"""Of the project's data folder: what it keeps of registered models."""


def keep_scores(settings: Settings, digest: str, scores: "ComparedExperiment") -> None:
    """Keeps the scores of a package."""
    file = _file(settings, digest)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json_atomically(file, dataclass_to_json(scores))


def known_scores(settings: Settings, digest: str) -> "ComparedExperiment | None":
    """Returns the scores of a package; None: it was registered elsewhere, or they are gone or damaged."""
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment

    try:
        return dataclass_from_json(ComparedExperiment, read_json_bytes(_file(settings, digest)))
    except (OSError, ValueError):
        return None


def forget_scores(settings: Settings, digest: str) -> None:
    """Forgets the scores of a package that is registered no more."""
    _file(settings, digest).unlink(missing_ok=True)


def _file(settings: Settings, digest: str) -> Path:
    return settings.data / MODELS_FOLDER / "scores" / f"{digest}.json"
