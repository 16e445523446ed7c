"""The component of a cross-validation experiment."""

import dagster as dg
from pydantic import BaseModel

from nnunet_assets.components.loaded_project import loaded_project
from nnunet_assets.components.scaffold import ExperimentScaffolder
from nnunet_assets.declarations.config import ExperimentConfig


@dg.scaffold_with(ExperimentScaffolder)
class CrossValidationExperiment(dg.Component):
    """A cross-validation of nnU-Net on a declared dataset: its folds, their summary and its tables."""

    def __init__(self, config: ExperimentConfig) -> None:
        self.config = config

    @classmethod
    def get_model_cls(cls) -> type[BaseModel]:
        """Returns the model of `attributes`. No template is rendered in them, so a value is what the file says."""
        return ExperimentConfig

    @classmethod
    def load(cls, attributes: BaseModel | None, context: dg.ComponentLoadContext) -> "CrossValidationExperiment":
        """Makes the component from the attributes, which are None where the file has none."""
        return cls(ExperimentConfig.model_validate(attributes or {}))

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Returns the experiment's assets and checks; jobs and sensors come with `definitions`."""
        # Schema tools import the components only.
        from nnunet_assets import assets

        return assets.experiment_definitions(loaded_project(context), self.config)
