"""The scores by case of what was registered, kept in the project: by them the gate compares a version with the next.

They name cases, and so they are never sent anywhere. Who has not registered a version himself does not have its scores,
and its champion can be followed by force alone.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.files.json_file import read_json_bytes, write_json_atomically
from nnunet_assets.core.files.typed_json import dataclass_from_json, dataclass_to_json
from nnunet_assets.core.registry.gate import Verdict, judge_against
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.registry.versions import RegisteredVersion

if TYPE_CHECKING:
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment

MODELS_FOLDER = "models"
"""Of the project's data folder: what it keeps of registered models."""


def keep_scores(settings: Settings, digest: str, scores: "ComparedExperiment", *, of_test_set: bool = False) -> None:
    """Keeps the scores of a package: of its cross-validation, or of the test set."""
    write_json_atomically(_file(settings, digest, of_test_set), dataclass_to_json(scores))


def known_scores(settings: Settings, digest: str, *, of_test_set: bool = False) -> "ComparedExperiment | None":
    """Returns the scores of a package; None: it was registered elsewhere, or they are gone or damaged."""
    from nnunet_assets.core.comparison.compared_experiments import ComparedExperiment

    try:
        return dataclass_from_json(ComparedExperiment, read_json_bytes(_file(settings, digest, of_test_set)))
    except (OSError, ValueError):
        return None


def judge_versions(settings: Settings, digest: str, champion: RegisteredVersion | None, margin: float) -> Verdict:
    """Returns the verdict on a package against the champion, by what is known here of both.

    Args:
        settings: Of the project.
        digest: Of the package.
        champion: None: there is none.
        margin: Of the gate.
    """
    if champion is None:
        return judge_against(None, None, margin=margin)
    return judge_against(
        known_scores(settings, champion.digest),
        known_scores(settings, digest),
        margin=margin,
        champion_name=f"version {champion.version}",
        test_sets=(
            known_scores(settings, champion.digest, of_test_set=True),
            known_scores(settings, digest, of_test_set=True),
        ),
    )


def forget_scores(settings: Settings, digest: str) -> None:
    """Forgets the scores of a package that is registered no more."""
    for of_test_set in (False, True):
        _file(settings, digest, of_test_set).unlink(missing_ok=True)


def _file(settings: Settings, digest: str, of_test_set: bool) -> Path:
    return settings.data / MODELS_FOLDER / ("test_scores" if of_test_set else "scores") / f"{digest}.json"
