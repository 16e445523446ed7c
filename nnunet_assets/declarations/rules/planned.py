"""What the plans files of a project say, where they are there when its declarations are read."""

from collections.abc import Collection, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.configurations import resolved
from nnunet_assets.core.files.json_file import UNREADABLE, load_json
from nnunet_assets.core.files.layout import OWN_FOLDER
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import project_settings


class PlannedConfigurations:
    """The configurations of the plans of a project's datasets, each file read once.

    Args:
        project: The project's folder.
    """

    def __init__(self, project: Path) -> None:
        try:
            self._preprocessed: Path | None = project_settings(project).roots.preprocessed
        except ConfigError:  # whoever needs the settings says so
            self._preprocessed = None
        self.of = cache(self._read)
        """Returns them by dataset and plans, with what each inherits; None: there is no file yet, or a damaged one."""

    def file(self, dataset: str, plans: str) -> Path:
        """Returns where the plans are, or would be."""
        return (self._preprocessed or Path("nnUNet_preprocessed")) / dataset / f"{plans}.json"

    def coming_back(self, dataset: str, plans: str) -> Collection[str]:
        """Returns the configurations of a user that plans will have again which are being made, or were until a kill.

        A project whose declarations were refused meanwhile could not even be planned to its end.
        """
        stamp = self.file(dataset, plans).parent / OWN_FOLDER / f"{plans}.json"
        try:
            return list(load_json(stamp)["own_configurations"])
        except UNREADABLE:
            return ()

    def _read(self, dataset: str, plans: str) -> Mapping[str, Mapping[str, Any]] | None:
        if self._preprocessed is None:
            return None
        try:
            planned = load_json(self.file(dataset, plans))["configurations"]
            return resolved(planned, self.file(dataset, plans))
        except UNREADABLE:
            return None  # planning says what is wrong with it
