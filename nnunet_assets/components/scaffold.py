"""`dg scaffold defs nnunet_assets.components.TYPE NAME --field value`: a definitions file with the values given."""

import dagster as dg
from pydantic import BaseModel

from nnunet_assets.core.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER
from nnunet_assets.declarations.fields import Configuration, DatasetName
from nnunet_assets.errors import ConfigError


class DatasetParams(BaseModel, extra="forbid"):
    """The options for a dataset."""

    dataset: DatasetName
    folds: int | None = None


class ExperimentParams(BaseModel, extra="forbid"):
    """The options for an experiment; a variant is written by hand."""

    dataset: DatasetName
    configuration: Configuration
    plans: str = DEFAULT_PLANS
    trainer: str = DEFAULT_TRAINER


class EnsembleParams(BaseModel, extra="forbid"):
    """The options for an ensemble."""

    dataset: DatasetName
    name: Configuration
    members: list[str]


def _write(
    request: dg.ScaffoldRequest[DatasetParams]
    | dg.ScaffoldRequest[ExperimentParams]
    | dg.ScaffoldRequest[EnsembleParams],
) -> None:
    if request.scaffold_format != "yaml":
        raise ConfigError(f"{request.type_name} is declared in YAML. Leave out `--format {request.scaffold_format}`.")
    # Only what was given: a default that is written down no longer follows the package.
    dg.scaffold_component(request, request.params.model_dump(exclude_defaults=True))


class DatasetScaffolder(dg.Scaffolder[DatasetParams]):
    """Writes the declaration of a dataset."""

    @classmethod
    def get_scaffold_params(cls) -> type[DatasetParams]:
        """Returns the model that `dg` turns into options."""
        return DatasetParams

    def scaffold(self, request: dg.ScaffoldRequest[DatasetParams]) -> None:
        """Writes or appends the document."""
        _write(request)


class ExperimentScaffolder(dg.Scaffolder[ExperimentParams]):
    """Writes the declaration of an experiment."""

    @classmethod
    def get_scaffold_params(cls) -> type[ExperimentParams]:
        """Returns the model that `dg` turns into options."""
        return ExperimentParams

    def scaffold(self, request: dg.ScaffoldRequest[ExperimentParams]) -> None:
        """Writes or appends the document."""
        _write(request)


class EnsembleScaffolder(dg.Scaffolder[EnsembleParams]):
    """Writes the declaration of an ensemble."""

    @classmethod
    def get_scaffold_params(cls) -> type[EnsembleParams]:
        """Returns the model that `dg` turns into options."""
        return EnsembleParams

    def scaffold(self, request: dg.ScaffoldRequest[EnsembleParams]) -> None:
        """Writes or appends the document."""
        _write(request)
