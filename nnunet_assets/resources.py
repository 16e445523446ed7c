"""The resource that every asset shares: the user's project."""

from pathlib import Path

import dagster as dg
from pydantic import Field

from nnunet_assets.settings import Settings


class ProjectResource(dg.ConfigurableResource):
    """The project folder, from which paths and the tracking server follow when a run starts."""

    folder: str = Field(description="The project folder, absolute.")

    @property
    def settings(self) -> Settings:
        """The settings as the environment of this process has them."""
        return Settings.from_environment(Path(self.folder))
