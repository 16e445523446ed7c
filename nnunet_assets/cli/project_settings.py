"""The settings that Dagster's processes will have in a project: the environment, and over it the project's `.env`."""

from pathlib import Path

from nnunet_assets.settings import Settings


def project_settings(project: Path) -> Settings:
    """Returns the settings with the variables of the project's `.env`, which win over the shell's as in Dagster.

    Raises:
        ConfigError: As `Settings.from_environment`.
    """
    # Comes with Dagster, which reads the file in the same way.
    from dotenv import dotenv_values

    settings = Settings.from_environment(project)
    declared = dotenv_values(settings.project / ".env")
    variables = {**settings.variables, **{name: value for name, value in declared.items() if value is not None}}
    return Settings.from_environment(project, variables)
