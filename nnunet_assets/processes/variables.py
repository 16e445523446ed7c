"""The variables that nnU-Net and this package read, and what each may be.

nnU-Net takes what it gets: `nnUNet_compile=yes` is no to it, a trainer's folder that is not there is passed over, and
`nnUNet_n_proc_DA=many` ends a training after hours of preparation. Each is looked at here before anything begins.
"""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.errors import ConfigError, did_you_mean
from nnunet_assets.processes.child_environment import WANDB_SWITCH, is_pattern

EXPORT, AUGMENTATION = "nnUNet_def_n_proc", "nnUNet_n_proc_DA"
FOLDERS = tuple(Roots(raw=Path(), preprocessed=Path(), results=Path()).environment())
EXTERNAL_TRAINERS, COMPILE = "nnUNet_extTrainer", "nnUNet_compile"
OWN_TRAINERS = Path(__file__).resolve().parents[1] / "trainers"
"""The folder of this package for `EXTERNAL_TRAINERS`."""

PROJECT_VARIABLE = "NNUNET_ASSETS_PROJECT"
MLFLOW_UI_VARIABLE = "NNUNET_ASSETS_MLFLOW_UI"
SHARE_FILES_VARIABLE = "NNUNET_ASSETS_SHARE_FILES"
CHECKPOINTS_VARIABLE = "NNUNET_ASSETS_TRACK_CHECKPOINTS_MB"
CHILD_VARIABLES_VARIABLE = "NNUNET_ASSETS_CHILD_VARIABLES"
TRUSTED_CODE_VARIABLE = "NNUNET_ASSETS_TRUSTED_CODE"
TRACKS_VARIABLE = "NNUNET_TRACKER_ENABLED"
TRACKS_FILES_VARIABLE = "NNUNET_TRACKER_LOG_ARTIFACTS"
"""The words of nnunet-tracker, whose users have them in their scripts."""
FOLDS_PER_GPU_VARIABLE = "NNUNET_ASSETS_FOLDS_PER_GPU"
FOLDS_AT_ONCE_VARIABLE = "NNUNET_ASSETS_FOLDS_AT_ONCE"

YES = ("1", "true", "yes")
NO = ("0", "false", "no")


@dataclass(frozen=True)
class VariableProblem:
    """A variable with a value that its reader cannot use.

    Attributes:
        name: The variable.
        sentence: What it is, and why that is wrong or what is allowed.
        remedy: What to do.
    """

    name: str
    sentence: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.sentence} {self.remedy}"


def variable_problems(variables: Mapping[str, str]) -> Iterator[VariableProblem]:
    """Yields what is wrong with the variables that nnU-Net and this package read; one that is empty is not set.

    Whether nnU-Net's three folders are set together is no matter of one variable, and not looked at here.
    """
    for name, rule in _RULES.items():
        value = variables.get(name)
        if value and (problem := rule(name, value)):
            yield problem
    if variables.get(WANDB_SWITCH) in ("1", "True", "true") and find_spec("wandb") is None:
        sentence = f"{WANDB_SWITCH} is {variables[WANDB_SWITCH]!r}, and the package wandb is not installed."
        yield VariableProblem(WANDB_SWITCH, sentence, "Install it (`pip install wandb`), or unset the variable.")


def check_variables(variables: Mapping[str, str]) -> None:
    """Passes where every reader can use its variable.

    Raises:
        ConfigError: One cannot; all of those, one a line.
    """
    if problems := [str(problem) for problem in variable_problems(variables)]:
        raise ConfigError("\n".join(problems))


def unread_variables(variables: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Yields the variables that look like nnU-Net's or this package's and that neither reads, each with a sentence."""
    known = {*_RULES, PROJECT_VARIABLE, MLFLOW_UI_VARIABLE, TRUSTED_CODE_VARIABLE, "nnUNet_wandb_project"}
    by_small_letters = {name.lower(): name for name in known}
    for name in sorted(variables):
        if not name.lower().startswith("nnunet_") or name in known:
            continue
        reader = "nnunet-assets" if name.upper().startswith("NNUNET_ASSETS_") else "nnU-Net"
        near = by_small_letters.get(name.lower())
        hint = f" Did you mean {near}?" if near else did_you_mean(name, known)
        yield name, f"is set, and {reader} reads no variable of that name.{hint}"


_Rule = Callable[[str, str], VariableProblem | None]


def _whole_number(least: int, remedy: str = "Correct or unset it.") -> _Rule:
    def rule(name: str, value: str) -> VariableProblem | None:
        if re.fullmatch("[0-9]{1,9}", value) and int(value) >= least:
            return None
        return VariableProblem(name, f"{name} is {value!r}, not a whole number of at least {least}.", remedy)

    return rule


def _one_of(allowed: tuple[str, ...], *, any_case: bool = False) -> _Rule:
    def rule(name: str, value: str) -> VariableProblem | None:
        if (value.lower() if any_case else value) in allowed:
            return None
        return VariableProblem(
            name, f"{name} is {value!r}, not one of {', '.join(allowed)}.", "Set it to one of these, or unset it."
        )

    return rule


def _megabytes(name: str, value: str) -> VariableProblem | None:
    if re.fullmatch(r"[0-9]+(?:\.[0-9]*)?(?:[eE][0-9]{1,2})?", value, re.ASCII):
        return None
    remedy = "Set it to a number of megabytes, such as 500, or 0 for none."
    return VariableProblem(name, f"{name} is {value!r}, which is no such number.", remedy)


def _names(name: str, value: str) -> VariableProblem | None:
    """Returns what is wrong with what the user lets through to the processes that run nnU-Net."""
    if not (wrong := [part for part in listed(value) if not is_pattern(part)]):
        return None
    sentence = f"{name} names {wrong[0]!r}, which is no name of a variable."
    remedy = "Set it to names, with commas between them; MY_* stands for every name that begins with MY_."
    return VariableProblem(name, sentence, remedy)


def _folder(name: str, value: str) -> VariableProblem | None:
    if not Path(value).is_absolute():
        sentence = f"{name} is {value!r}, which is not an absolute path (a ~ is not expanded)."
    elif Path(value).is_file():
        sentence = f"{name} is {value!r}, which is a file and no folder."
    else:
        return None
    return VariableProblem(name, sentence, "Set it to the folder's whole path, such as /data/nnUNet.")


def _folders_of_trainers(name: str, value: str) -> VariableProblem | None:
    # nnU-Net's own separator; it passes over a folder that is not there, and then says that there is no such trainer.
    for folder in filter(str.strip, value.split(os.pathsep)):
        if not (Path(folder).is_absolute() and Path(folder).is_dir()):
            sentence = f"{name} names {folder!r}, which is no folder that is there, by its whole path."
            remedy = f"Correct it; several folders stand with {os.pathsep!r} between them."
            return VariableProblem(name, sentence, remedy)
    return None


def with_trainers(variables: Mapping[str, str], *more: Path) -> dict[str, str]:
    """Returns an environment in which nnU-Net finds our trainers, behind those of the user's own folders.

    Args:
        variables: The environment, which may name the user's folders.
        more: Folders of the user's beside these; one that is not there is left out.
    """
    named = [folder for folder in variables.get(EXTERNAL_TRAINERS, "").split(os.pathsep) if folder.strip()]
    folders = dict.fromkeys([*named, *(str(folder) for folder in more if folder.is_dir())])
    folders.pop(str(OWN_TRAINERS), None)
    return {**variables, EXTERNAL_TRAINERS: os.pathsep.join([*folders, str(OWN_TRAINERS)])}


def listed(value: str) -> tuple[str, ...]:
    """Returns the names of a variable that holds several, with commas between them."""
    return tuple(filter(None, map(str.strip, value.split(","))))


_FITS = "Correct or unset it: then it fits the machine."
_RULES: Mapping[str, _Rule] = {
    **dict.fromkeys(FOLDERS, _folder),
    # Without augmentation workers the training augments by itself; nobody else would plan, preprocess or export.
    EXPORT: _whole_number(1, _FITS),
    AUGMENTATION: _whole_number(0, _FITS),
    COMPILE: _one_of(("true", "t", "1", "false", "f", "0"), any_case=True),
    EXTERNAL_TRAINERS: _folders_of_trainers,
    WANDB_SWITCH: _one_of(("1", "True", "true", "0", "False", "false")),
    "nnUNet_wandb_mode": _one_of(("online", "offline", "disabled", "shared")),
    # nnUNetv2_predict's, which takes 3 where it cannot read them.
    "nnUNet_npp": _whole_number(0),
    "nnUNet_nps": _whole_number(0),
    FOLDS_PER_GPU_VARIABLE: _whole_number(1),
    FOLDS_AT_ONCE_VARIABLE: _whole_number(1),
    SHARE_FILES_VARIABLE: _one_of((*YES, *NO), any_case=True),
    TRACKS_VARIABLE: _one_of((*YES, *NO), any_case=True),
    TRACKS_FILES_VARIABLE: _one_of((*YES, *NO), any_case=True),
    CHECKPOINTS_VARIABLE: _megabytes,
    CHILD_VARIABLES_VARIABLE: _names,
}
