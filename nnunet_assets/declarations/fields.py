"""What every declaration is made of: the rules for names, and the model that all others are."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from nnunet_assets.core.files.layout import CONFIGURATION_PATTERN, DATASET_PATTERN, ENSEMBLES, NAME_PATTERN

TRAINER_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]{0,99}$"


PATTERN_MEANINGS = {
    DATASET_PATTERN: "nnU-Net's form DatasetXXX_Name, with three digits and then letters, digits, '.', '_' or '-'",
    NAME_PATTERN: "a name of at most 64 letters, digits, '.', '_' or '-' that starts with a letter",
    CONFIGURATION_PATTERN: "a name of at most 64 letters, digits, '.', '_' or '-' that starts with a letter or a digit",
    TRAINER_PATTERN: "the name of a Python class, at most 100 characters",
}
"""What each pattern asks for, in words."""


def _splits_cleanly(name: str) -> str:
    if "__" in name or name.endswith("_"):
        raise ValueError(
            f"{name!r} must not hold '__' nor end with '_': nnU-Net splits its folder names "
            "TRAINER__PLANS__CONFIGURATION at '__'"
        )
    return name


def _is_free(name: str) -> str:
    if name == ENSEMBLES:
        raise ValueError(f"{name!r} is where the results of ensembles lie; give the plans another name")
    return name


def _owner(owner: str) -> str:
    # Dagster's own rule (is_valid_owner): there a wrong owner stops the whole location, and no file is named.
    email = re.fullmatch(r"\b[A-Za-z0-9._%+-]+@[A-Za-z0-9.-]+\.[A-Z|a-z]{2,7}\b", owner)
    if not email and not (owner.startswith("team:") and owner != "team:"):
        raise ValueError(f"{owner!r} is neither an e-mail address nor of the form team:NAME")
    return owner


DatasetName = Annotated[
    str, Field(pattern=DATASET_PATTERN, description="nnU-Net's dataset name, such as Dataset004_Hippocampus.")
]
Configuration = Annotated[str, Field(pattern=CONFIGURATION_PATTERN), AfterValidator(_splits_cleanly)]
PlansName = Annotated[str, Field(pattern=NAME_PATTERN), AfterValidator(_splits_cleanly), AfterValidator(_is_free)]
TrainerName = Annotated[str, Field(pattern=TRAINER_PATTERN), AfterValidator(_splits_cleanly)]
Owners = list[Annotated[str, AfterValidator(_owner)]]
Device = Literal["auto", "cuda", "cpu", "mps"]


def keys_of(model: type[BaseModel]) -> list[str]:
    """Returns the keys under which YAML has the fields of a declaration, its own before those of what it is made of."""
    in_order = sorted(model.model_fields.items(), key=lambda item: item[0] not in model.__annotations__)
    return [field.alias or name for name, field in in_order]


class Declaration(BaseModel):
    """Unknown fields are errors, and a wrong type is never converted in silence."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )
