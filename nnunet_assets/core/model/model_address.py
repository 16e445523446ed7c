"""What models are called in the registry, and the addresses by which one version of a model is asked for."""

import re
from dataclasses import dataclass

from nnunet_assets.errors import ConfigError

SCHEME = "models:/"
"""How every address begins; MLflow's."""

CHAMPION, CHALLENGER = "champion", "challenger"
"""The alias of the version that people are to use, and that of the newest one."""

LATEST = "latest"
"""MLflow's word for the newest version, whatever it is worth; no alias may be called so, nor `v2`."""

_NAME = re.compile(r"\w(?:[\w .-]{0,126}[\w.-])?")
_ALIAS = re.compile(r"[\w-]{1,255}")
_RESERVED = re.compile(rf"(?:{LATEST}|v\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class ModelAddress:
    """Which version of a model is meant.

    Attributes:
        name: Of the model.
        alias: Such as `champion`; None: by its number, or the newest.
        version: Its number; None, and no alias: the newest.
    """

    name: str
    alias: str | None = None
    version: int | None = None

    def __str__(self) -> str:
        return f"{SCHEME}{self.name}{f'@{self.alias}' if self.alias else f'/{self.version or LATEST}'}"


def is_address(text: str) -> bool:
    """Tells whether a text is meant as the address of a version, right or wrong."""
    return text.startswith("models:")


def parse_address(text: str) -> ModelAddress:
    """Returns what an address means.

    Raises:
        ConfigError: It is none.
    """
    place = text.removeprefix(SCHEME)
    name, at, alias = place.partition("@")
    if not at:
        name, _, number = place.rpartition("/")
        if not name_problem(name) and (number == LATEST or re.fullmatch("[1-9][0-9]{0,8}", number)):
            return ModelAddress(name, version=None if number == LATEST else int(number))
    elif text != place and not name_problem(name) and not alias_problem(alias):
        return ModelAddress(name, alias=alias)
    raise ConfigError(
        f"{text!r} is no address of a registered model. Write {SCHEME}NAME@{CHAMPION}, {SCHEME}NAME/2 or "
        f"{SCHEME}NAME/{LATEST}."
    )


def name_problem(name: str) -> str | None:
    """Returns why a model cannot be called so; None: it can.

    MLflow takes more; but an `@` would make the address of an alias ambiguous, and a blank at an end is not seen.
    """
    if _RESERVED.fullmatch(name) or name in (CHAMPION, CHALLENGER):
        return f"{name!r} is what MLflow or this package calls a version, not a model"
    if not _NAME.fullmatch(name):
        return (
            f"{name!r} cannot name a model: letters, digits, `_`, `-`, `.` and blanks within it are allowed, at most "
            "128 of them, and no `/`, `:` or `@`"
        )
    return None


def alias_problem(alias: str) -> str | None:
    """Returns why a version cannot have this alias; None: it can."""
    if _RESERVED.fullmatch(alias):
        return f"{alias!r} is reserved by MLflow: a number or `{LATEST}` follows a slash, as in {SCHEME}NAME/2"
    if not _ALIAS.fullmatch(alias):
        return f"{alias!r} is no alias: letters, digits, `_` and `-` are allowed"
    return None
