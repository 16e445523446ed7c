"""Which words of plans and of a dataset.json nnU-Net takes for code: it looks them up, and calls what it finds.

A network class in plans is resolved by `pydoc.locate`, which imports any module and walks through any attribute, and
what it yields is called when a network is built. Normalizations, resampling functions, preprocessors and readers are
looked up by name among everything that the modules of a folder of nnU-Net's have, what they import included. Plans
come with a results folder or a checkpoint from elsewhere; so such a word must be one that is known.

This file knows where the words are; whether nnU-Net or the user has a name, `nnunet.plans.code_names` knows.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["network", "preprocessor", "normalization", "resampling", "reader", "label_manager", "planner"]

ALWAYS_IMPORTED = ("conv_op", "norm_op", "dropout_op", "nonlin")
"""What a network's arguments name as classes, listed in `_kw_requires_import` or not: trainers look them up too."""

RESAMPLING_KEYS = ("resampling_fn_data", "resampling_fn_seg", "resampling_fn_probabilities", "resampling_fn_softmax")

_DOTTED_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*")
_FOLDER_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._ -]*")


@dataclass(frozen=True)
class CodeName:
    """A word that nnU-Net takes for code.

    Attributes:
        kind: What nnU-Net wants of it.
        key: Where it stands: `configurations.3d_fullres.architecture.network_class_name`.
        value: The word; anything else where the file does not hold one.
    """

    kind: Kind
    key: str
    value: Any

    @property
    def is_name(self) -> bool:
        """Whether it is a name at all, of ASCII letters, with dots between its parts in that of a network's class."""
        if not isinstance(self.value, str) or not _DOTTED_NAME.fullmatch(self.value):
            return False
        return self.kind == "network" or "." not in self.value


@dataclass(frozen=True)
class WrongForm:
    """A value of another type than nnU-Net needs, or a folder's name that leads elsewhere.

    Attributes:
        key: As in `CodeName`.
        problem: The rest of the sentence: `is a list, not an object`.
    """

    key: str
    problem: str


def code_in_plans(plans: Any) -> Iterator[CodeName | WrongForm]:
    """Yields each word of plans that nnU-Net takes for code, in whichever configuration, and what has a wrong form."""
    if not isinstance(plans, Mapping):
        yield WrongForm("the file", _not_an("object", plans))
        return
    top: dict[str, Kind] = {
        "image_reader_writer": "reader",
        "label_manager": "label_manager",
        "experiment_planner_used": "planner",
    }
    for key, kind in top.items():
        if key in plans:
            yield CodeName(kind, key, plans[key])
    for key in ("dataset_name", "plans_name"):
        if key in plans:
            yield from _folder_name(key, plans[key])
    configurations = plans.get("configurations", {})
    if not isinstance(configurations, Mapping):
        yield WrongForm("configurations", _not_an("object", configurations))
        return
    for name, configuration in configurations.items():
        yield from _in_configuration(f"configurations.{name}", configuration)


def code_in_dataset_json(description: Any) -> Iterator[CodeName | WrongForm]:
    """Yields the reader that a dataset.json names in place of the one of its file ending, where it names one."""
    if not isinstance(description, Mapping):
        yield WrongForm("the file", _not_an("object", description))
        return
    key = "overwrite_image_reader_writer"
    # nnU-Net takes the text 'None' for none.
    if description.get(key, "None") not in ("None", None):
        yield CodeName("reader", key, description[key])


def _in_configuration(key: str, configuration: Any) -> Iterator[CodeName | WrongForm]:
    if not isinstance(configuration, Mapping):
        yield WrongForm(key, _not_an("object", configuration))
        return
    if "preprocessor_name" in configuration:
        yield CodeName("preprocessor", f"{key}.preprocessor_name", configuration["preprocessor_name"])
    schemes = configuration.get("normalization_schemes", [])
    if isinstance(schemes, list | tuple):
        for index, scheme in enumerate(schemes):
            yield CodeName("normalization", f"{key}.normalization_schemes.{index}", scheme)
    else:
        yield WrongForm(f"{key}.normalization_schemes", _not_an("list", schemes))
    for name in RESAMPLING_KEYS:
        if name in configuration:
            yield CodeName("resampling", f"{key}.{name}", configuration[name])
    if "data_identifier" in configuration:
        yield from _folder_name(f"{key}.data_identifier", configuration["data_identifier"])
    yield from _in_architecture(f"{key}.architecture", configuration.get("architecture", {}))


def _in_architecture(key: str, architecture: Any) -> Iterator[CodeName | WrongForm]:
    if not isinstance(architecture, Mapping):
        yield WrongForm(key, _not_an("object", architecture))
        return
    if "network_class_name" in architecture:
        yield CodeName("network", f"{key}.network_class_name", architecture["network_class_name"])
    imported, arguments = architecture.get("_kw_requires_import", []), architecture.get("arch_kwargs", {})
    if not isinstance(arguments, Mapping):
        yield WrongForm(f"{key}.arch_kwargs", _not_an("object", arguments))
        return
    if not isinstance(imported, list | tuple) or not all(isinstance(name, str) for name in imported):
        yield WrongForm(f"{key}._kw_requires_import", "is no list of names")
        return
    for name in dict.fromkeys([*imported, *ALWAYS_IMPORTED]):
        if arguments.get(name) is not None:
            yield CodeName("network", f"{key}.arch_kwargs.{name}", arguments[name])


def _folder_name(key: str, value: Any) -> Iterator[WrongForm]:
    if not isinstance(value, str) or not _FOLDER_NAME.fullmatch(value):
        yield WrongForm(key, f"is {shortened(value)}, no name of a folder")


def _not_an(wanted: str, value: Any) -> str:
    return f"is {shortened(value)}, no {wanted}"


def shortened(value: Any) -> str:
    """Returns a value as it is quoted in a message: of a long one the beginning."""
    text = ascii(value) if isinstance(value, str | int | float | None) else f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:80]}..."
