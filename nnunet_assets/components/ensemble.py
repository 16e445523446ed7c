"""The component of an ensemble of experiments."""

import dagster as dg
from pydantic import BaseModel

from nnunet_assets.components.loaded_project import loaded_project
from nnunet_assets.components.scaffold import EnsembleScaffolder
from nnunet_assets.declarations.ensemble_config import EnsembleConfig


@dg.scaffold_with(EnsembleScaffolder)
class Ensemble(dg.Component):
    """The mean of the probabilities of several experiments on a declared dataset, scored like one."""

    def __init__(self, config: EnsembleConfig) -> None:
        self.config = config

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Returns the model of `attributes`. No template is rendered in them, so a value is what the file says."""
        return EnsembleConfig

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "Ensemble":
        """Makes the component from the attributes, which are None where the file has none."""
        return cls(EnsembleConfig.model_validate(attributes or {}))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Returns the ensemble's assets; its job comes with `definitions`."""
        # Schema tools import the components only.
        from nnunet_assets import assets

        return assets.ensemble_definitions(loaded_project(context), self.config)
