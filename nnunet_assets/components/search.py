"""The component of a search for hyperparameters."""

import dagster as dg
from pydantic import BaseModel

from nnunet_assets.components.loaded_project import loaded_project
from nnunet_assets.declarations.search_config import SearchConfig


class Search(dg.Component):
    """A search for settings of an experiment: trials on one fold, ranked by their pseudo Dice."""

    def __init__(self, config: SearchConfig) -> None:
        self.config = config

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Returns the model of `attributes`. No template is rendered in them, so a value is what the file says."""
        return SearchConfig

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "Search":
        """Makes the component from the attributes, which are None where the file has none."""
        return cls(SearchConfig.model_validate(attributes or {}))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Returns the search's asset."""
        # Schema tools import the components only.
        from nnunet_assets import assets

        return assets.search_definitions(loaded_project(context), self.config)
