"""Pydantic's errors as sentences: what is wrong, the value as written, what is allowed, what YAML made of it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from nnunet_assets.declarations.fields import PATTERN_MEANINGS
from nnunet_assets.declarations.yaml_files.value_slips import (
    as_list,
    list_example,
    meant,
    name_slip,
    number,
    truth,
    unknown_field,
    value_slip,
    whole_number,
)
from nnunet_assets.declarations.yaml_files.yaml_source import Document, Location, Problem
from nnunet_assets.errors import did_you_mean

_WANTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "values by name, one `name: value` a line",
    "model_type": "a block of fields, one `name: value` a line",
}
_LIMITS = {
    "greater_than": ("gt", "more than"),
    "greater_than_equal": ("ge", "at least"),
    "less_than": ("lt", "less than"),
    "less_than_equal": ("le", "at most"),
}


def validation_problems(
    error: ValidationError, model: type[BaseModel], document: Document, prefix: Location
) -> Iterator[Problem]:
    """Yields a problem for each of pydantic's errors.

    Args:
        error: What validating the value at `prefix` raised.
        model: The model that it was validated with.
        document: Where the value stands.
        prefix: The value's location in the document.
    """
    for detail in error.errors(include_url=False):
        if detail["type"] == "invalid_key":  # a key such as NO: the document's own problems hold it, with its text
            continue
        location = (*prefix, *detail["loc"])
        sentence = _sentence(detail, model, document, location)
        yield Problem(document.line_of(location), location, sentence)


def _sentence(detail: Mapping[str, Any], model: type[BaseModel], document: Document, location: Location) -> str:
    loc, context = detail["loc"], detail.get("ctx", {})
    shown = _shown(detail["input"], document, location)
    match detail["type"]:
        case "missing":
            sentence = f"is missing. {_model_at(model, loc[:-1]).model_fields[loc[-1]].description}"
        case "extra_forbidden":
            sentence = unknown_field(str(loc[-1]), _model_at(model, loc[:-1]))
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", context["expected"])
            near = meant(detail["input"], allowed) or did_you_mean(detail["input"], allowed)
            sentence = f"{shown} is not allowed.{near} Allowed: {', '.join(allowed)}."
        case "string_pattern_mismatch":
            meaning = PATTERN_MEANINGS.get(context["pattern"], context["pattern"])
            sentence = f"{shown} is not {meaning}.{name_slip(str(detail['input']), context['pattern'])}"
        case kind if kind in _LIMITS:
            key, words = _LIMITS[kind]
            sentence = f"{shown} is out of range: it must be {words} {context[key]:g}."
        case kind if kind in _WANTED:
            wanted = list_example(str(loc[-1])) if kind == "list_type" else _WANTED[kind]
            sentence = f"must be {wanted}, not {shown}.{_yaml_note(detail, document, location)}"
        case "value_error":
            sentence = f"{context['error']}.{value_slip(detail['input'], loc)}"
        case _:
            sentence = f"{shown} is wrong: {detail['msg']}."
    return sentence


def _model_at(model: type[BaseModel], location: Location) -> type[BaseModel]:
    for name in location:
        annotation = model.model_fields[str(name)].annotation
        candidates = [annotation, *get_args(annotation)]
        model = next(part for part in candidates if isinstance(part, type) and issubclass(part, BaseModel))
    return model


def _shown(value: object, document: Document, location: Location) -> str:
    """Returns a value as the file has it, cut where it is long; lists and blocks by name."""
    if isinstance(value, Mapping):
        return "a block of fields"
    if isinstance(value, list):
        return "a list"
    if value is None:
        return "empty"
    text = document.texts.get(location, str(value))
    text = text if len(text) <= 60 else f"{text[:60]}..."
    return repr(text) if location in document.quoted else text


def _yaml_note(detail: Mapping[str, Any], document: Document, location: Location) -> str:
    """Returns how YAML came to read the value as something else, with what to write instead; or nothing."""
    value, field = detail["input"], str(location[-1])
    text = document.texts.get(location, "")
    match detail["type"]:
        case _ if value is None:
            note = " The value after the colon is missing." if text == "" else ""
        case "string_type" if field == "dataset" and isinstance(value, int):
            note = f" nnU-Net's whole name is needed, such as Dataset{value:03}_Name."
        case "string_type" if isinstance(value, bool | int | float):
            note = f" YAML reads {text} as {_yaml_word(value)}: put it in quotes."
        case "string_type" if isinstance(value, dict) and len(value) == 1:
            note = " YAML reads a colon with a space behind it as the end of a name: remove that space."
        case "int_type":
            note = whole_number(text)
        case "float_type" if isinstance(value, str):
            note = number(text, is_quoted=location in document.quoted)
        case "bool_type":
            note = truth(text)
        case "list_type":
            note = as_list(field, text)
        case "model_type" if isinstance(value, list):
            note = " Remove the `- ` at the beginning of its lines."
        case _:
            note = ""
    return note


def _yaml_word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"the number {value}"
