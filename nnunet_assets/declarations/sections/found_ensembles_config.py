"""What a researcher may declare of ensembles that nobody names, from which the best configuration is chosen too."""

from typing import Annotated

from pydantic import Field

from nnunet_assets.declarations.fields import Declaration, Device

MOST_MEMBERS = 5


class FoundEnsemblesConfig(Declaration):
    """Ensembles of a dataset's experiments, beside those that are declared: which, and when they are made."""

    max_members: Annotated[int, Field(ge=1, le=MOST_MEMBERS)] = 2
    """Every ensemble of up to so many experiments. 1: none but those that are declared."""
    automatic: bool = False
    """Make them by themselves too, once every fold of the experiments is finished, and again when folds change."""
    device: Device = "auto"
    """Where the members predict. auto: a GPU where there is one, else the CPU."""
