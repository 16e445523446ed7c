"""What YAML files name in `type:`. Thin: the declared values go to `nnunet_assets.assets` as they were written."""

from nnunet_assets.components.dataset import NnunetDataset
from nnunet_assets.components.ensemble import Ensemble
from nnunet_assets.components.experiment import CrossValidationExperiment
from nnunet_assets.components.search import Search

__all__ = ["CrossValidationExperiment", "Ensemble", "NnunetDataset", "Search"]
