"""What a declaration says of a model that is to be registered: under which name, and how it may become champion."""

from typing import Annotated

from pydantic import AfterValidator, Field

from nnunet_assets.core.model.model_address import name_problem
from nnunet_assets.core.registry.gate import DEFAULT_MARGIN
from nnunet_assets.declarations.fields import Declaration


def _model_name(name: str) -> str:
    if problem := name_problem(name):
        raise ValueError(problem)
    return name


class RegisteredDeclaration(Declaration):
    """A declaration whose model may be registered."""

    # The metaclass of every pydantic model has a function `register`, which pydantic would take for the default.
    registered_as: Annotated[str, AfterValidator(_model_name)] | None = Field(default=None, alias="register")
    """Register the model in MLflow under this name, such as Liver. Absent: it is not registered."""
    register_margin: Annotated[float, Field(gt=0, lt=1)] = DEFAULT_MARGIN
    """By how much Dice a new version may be worse than the champion, at the lower end of the 95 % interval."""
    intended_use: str | None = None
    """What the model is for, in a sentence that goes along with it. Absent: research only, nothing was said."""
    licence: str | None = None
    """Of the weights, such as CC-BY-4.0. Absent: not said."""
