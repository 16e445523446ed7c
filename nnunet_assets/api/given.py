"""What a script gives for a folder or file: a path, a text, or None."""

from pathlib import Path

from nnunet_assets.settings import Settings, project_settings


def settings_of(project: Path | str | None) -> Settings:
    """Returns the settings of a project; None: `NNUNET_ASSETS_PROJECT`, else the current folder."""
    return project_settings(path_of(project))


def path_of(given: Path | str | None) -> Path | None:
    """Returns a path; None stays None."""
    return None if given is None else Path(given)
