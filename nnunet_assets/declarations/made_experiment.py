"""An experiment that no file declares: what a command line names, or a trial of a search is."""

from typing import Any

from pydantic import ValidationError

from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.errors import ConfigError


def experiment_of(**fields: Any) -> ExperimentConfig:
    """Returns an experiment of these fields, as a declaration has them.

    Raises:
        ConfigError: A value cannot be one of an experiment.
    """
    try:
        return ExperimentConfig(**fields)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, e['loc']))}: {e['input']!r}: {e['msg']}." for e in error.errors()]
        raise ConfigError("\n".join(wrong)) from error
