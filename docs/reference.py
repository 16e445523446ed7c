"""Writes `yaml.md`, the reference of what YAML may say, from the models that read it: `python docs/reference.py`.

A test holds the page against the models. Commands and Python's names are read when the pages are built.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.declarations.fields import PATTERN_MEANINGS
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.declarations.sections.engine_config import ProjectEngine

PAGE = Path(__file__).with_name("yaml.md")
MODELS: Mapping[str, type[BaseModel]] = {
    "nnunet_assets.components.NnunetDataset": DatasetConfig,
    "nnunet_assets.components.CrossValidationExperiment": ExperimentConfig,
    "nnunet_assets.components.Ensemble": EnsembleConfig,
    "nnunet_assets.components.Search": SearchConfig,
    "engine.yaml": ProjectEngine,
}
HEAD = """# Every field of the YAML

What each field takes, as it is checked; `python docs/reference.py` writes this page from the models. What the fields
are for, with nnU-Net's own defaults, stands in [Settings](settings.md).
"""
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} of them",
    "maxItems": "at most {} of them",
}
WORDS = {"integer": "a whole number", "number": "a number", "string": "a text", "boolean": "`true` or `false`"}
MANY = {"integer": "whole numbers", "number": "numbers", "string": "texts", "boolean": "`true` or `false`"}


def page() -> str:
    """Returns the page."""
    return "\n".join([HEAD, *(line for name, model in MODELS.items() for line in _section(name, model))])


def _section(name: str, model: type[BaseModel]) -> Iterator[str]:
    schema = model.model_json_schema()
    yield f"## `{name}`\n"
    yield "| field | takes | default | meaning |\n|---|---|---|---|"
    yield from _rows(schema, schema.get("$defs", {}), "")
    yield ""


def _rows(schema: Mapping[str, Any], known: Mapping[str, Any], prefix: str) -> Iterator[str]:
    for name, field in schema["properties"].items():
        is_required = name in schema.get("required", ())
        meaning = " ".join(str(field.get("description", "")).split()).replace("|", "\\|").replace("<", "&lt;")
        yield f"| `{prefix}{name}` | {_takes(field, known)} | {_default(field, is_required)} | {meaning} |"
        for part in field.get("anyOf", [field]):
            if "$ref" in part and "properties" in (inner := _of(part, known)):
                yield from _rows(inner, known, f"{prefix}{name}.")


def _of(part: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    found: Mapping[str, Any] = known[part["$ref"].rpartition("/")[2]]
    return found


def _default(field: Mapping[str, Any], is_required: bool) -> str:
    if is_required:
        return "required"
    value = field.get("default")
    return "none" if value in (None, "", [], {}) else f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _takes(field: Mapping[str, Any], known: Mapping[str, Any], words: Mapping[str, str] = WORDS) -> str:
    """Returns what a field takes, in words."""
    if "anyOf" in field:
        return ", or ".join(_takes(part, known) for part in field["anyOf"] if part.get("type") != "null")
    if "$ref" in field:
        return _takes(_of(field, known), known) if "properties" not in _of(field, known) else "the fields below"
    if "enum" in field or "const" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field.get("pattern") in PATTERN_MEANINGS:
        return PATTERN_MEANINGS[field["pattern"]].replace("_", "\\_")
    kind = field.get("type")
    if kind == "array":
        inner = field.get("items", {})
        takes = f"a list of {_takes(inner, known, MANY)}" if inner else "a list"
    elif kind == "object":
        inner = field.get("additionalProperties", {})
        takes = f"by name: {_takes(inner, known)}" if isinstance(inner, Mapping) and inner else "values by name"
    else:
        takes = words.get(str(kind), "any value")
    bounds = [text.format(f"{field[name]:.15g}") for name, text in BOUNDS.items() if name in field]
    return ", ".join([takes, *bounds]).replace("a text, at least 1 characters", "a text")


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
