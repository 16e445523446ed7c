"""Pydantic's errors as sentences: what is wrong, the value as written, what is allowed, what YAML made of it."""

import re
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from nnunet_assets.declarations.fields import PATTERN_MEANINGS
from nnunet_assets.declarations.yaml_source import Document, Location, Problem
from nnunet_assets.errors import did_you_mean

_WANTED = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "text",
    "bool_type": "true or false",
    "list_type": "a list, such as [0, 1]",
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
            fields = _model_at(model, loc[:-1]).model_fields
            sentence = f"is not a field here.{did_you_mean(loc[-1], fields)} Fields: {', '.join(fields)}."
        case "literal_error":
            allowed = re.findall(r"'([^']*)'", context["expected"])
            sentence = f"{shown} is not allowed.{did_you_mean(detail['input'], allowed)} Allowed: {', '.join(allowed)}."
        case "string_pattern_mismatch":
            sentence = f"{shown} is not {PATTERN_MEANINGS.get(context['pattern'], context['pattern'])}."
        case kind if kind in _LIMITS:
            key, words = _LIMITS[kind]
            sentence = f"{shown} is out of range: it must be {words} {context[key]:g}."
        case kind if kind in _WANTED:
            sentence = f"must be {_WANTED[kind]}, not {shown}.{_yaml_note(detail, document, location)}"
        case "value_error":
            sentence = f"{context['error']}."
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
    value, wanted = detail["input"], detail["type"]
    text = document.texts.get(location, "")
    number = _as_number(text)
    if wanted == "string_type" and isinstance(value, bool | int | float):
        return f" YAML reads {text} as {_yaml_word(value)}: put it in quotes."
    if wanted == "int_type" and number is not None and number == int(number):
        return f" Write {int(number)}."
    if wanted == "float_type" and isinstance(value, str) and number is not None:
        if location in document.quoted:
            return " Remove the quotes."
        return f" YAML reads {text} as text: write {_yaml_float(text)}."
    if wanted == "bool_type" and text.lower() in ("true", "false"):
        return " Remove the quotes."
    return ""


def _as_number(text: str) -> float | None:
    match = re.fullmatch(r"[-+]?[0-9]{1,20}(?:[.,][0-9]*)?(?:[eE][-+]?[0-9]{1,2})?", text)
    return float(text.replace(",", ".")) if match else None


def _yaml_float(text: str) -> str:
    """Returns a number in the form that YAML 1.1 takes for one: 1e-3 needs a point, 1.0e3 a sign."""
    mantissa, _, exponent = text.replace(",", ".").lower().partition("e")
    mantissa = mantissa if "." in mantissa else f"{mantissa}.0"
    signed = exponent if exponent[:1] in ("", "-", "+") else f"+{exponent}"
    return f"{mantissa}e{signed}" if exponent else mantissa


def _yaml_word(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else f"the number {value}"
