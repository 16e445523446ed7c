"""The component of a dataset."""

import dagster as dg
from pydantic import BaseModel

from nnunet_assets.components.loaded_project import loaded_project
from nnunet_assets.components.scaffold import DatasetScaffolder
from nnunet_assets.declarations.config import DatasetConfig


@dg.scaffold_with(DatasetScaffolder)
class NnunetDataset(dg.Component):
    """A raw dataset in nnUNet_raw, with its splits, plans and preprocessed cases."""

    def __init__(self, config: DatasetConfig) -> None:
        self.config = config

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Returns the model of `attributes`. No template is rendered in them, so a value is what the file says."""
        return DatasetConfig

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "NnunetDataset":
        """Makes the component from the attributes, which are None where the file has none."""
        return cls(DatasetConfig.model_validate(attributes or {}))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Returns the dataset's assets and checks; jobs come with `definitions`."""
        # Schema tools import the components only.
        from nnunet_assets import assets

        return assets.dataset_definitions(loaded_project(context), self.config)
