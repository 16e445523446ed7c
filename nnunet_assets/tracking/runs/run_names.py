"""What runs are called: MLflow cuts a name at its end, so that it begins with what tells it from the others."""

from nnunet_assets.core.files.layout import DEFAULT_PLANS, DEFAULT_TRAINER, Experiment
from nnunet_assets.core.text.squeezed_names import squeezed

_PREFIX = "nnUNet"
"""Of most names of plans and trainers, which is no news to anybody."""

LONGEST_VARIANT = 24
"""With fold and configuration it fits into MLflow's column."""


def run_title(experiment: Experiment) -> str:
    """Returns what a run's name says of its experiment, whose tags say all: `ResEncUNetMPlans 3d_fullres`.

    The dataset is the name of the MLflow experiment already.
    """
    if experiment.is_ensemble:
        return f"ensemble {experiment.configuration}"
    plans = "" if experiment.plans == DEFAULT_PLANS else experiment.plans.removeprefix(_PREFIX)
    trainer = "" if experiment.trainer == DEFAULT_TRAINER else experiment.trainer.removeprefix(_PREFIX)
    variant = squeezed(experiment.variant or "", LONGEST_VARIANT)
    return " ".join(filter(None, [variant, plans, trainer, experiment.configuration]))


def fold_run_name(experiment: Experiment, fold: str) -> str:
    """Returns the name of a fold's run, which lies below that of its cross-validation."""
    return f"{fold} {run_title(experiment)}"


def search_run_name(search: str) -> str:
    """Returns the name of the run of a search, by its name in the dataset: `lr search`."""
    return f"{search.partition('/')[0]} search"


def cross_validation_run_name(experiment: Experiment) -> str:
    """Returns the name of the run that is a cross-validation's summary."""
    return f"{run_title(experiment)} cv"
