"""The resource that every asset shares: the user's project."""

import os
from pathlib import Path

import dagster as dg
from pydantic import Field

from nnunet_assets.settings import Settings

REFRESH_TAG = "nnunet_assets/refresh"
"""On a run that nobody waits for: summaries, figures and pages that follow a fold by themselves."""
REFRESH_NICENESS = 10


class ProjectResource(dg.ConfigurableResource):
    """The project folder, from which paths and the tracking server follow when a run starts."""

    folder: str = Field(description="The project folder, absolute.")

    @property
    def settings(self) -> Settings:
        """The settings as the environment of this process has them."""
        return Settings.from_environment(Path(self.folder))

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Leaves the processors to trainings where the run is one that follows a fold by itself.

        Such a run has a process of its own, which ends with it.
        """
        if context.run and REFRESH_TAG in context.run.tags:
            niceness = max(REFRESH_NICENESS, os.getpriority(os.PRIO_PROCESS, 0))
            os.setpriority(os.PRIO_PROCESS, 0, niceness)
