"""One document of a definitions file: whether it is one of ours, and what it declares."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.ensemble_config import EnsembleConfig
from nnunet_assets.declarations.fields import Declaration, keys_of
from nnunet_assets.declarations.search_config import SearchConfig
from nnunet_assets.declarations.yaml_files.sentences import validation_problems
from nnunet_assets.declarations.yaml_files.yaml_source import Document, Location, Problem
from nnunet_assets.errors import did_you_mean

DATASET_TYPE = "nnunet_assets.components.NnunetDataset"
EXPERIMENT_TYPE = "nnunet_assets.components.CrossValidationExperiment"
ENSEMBLE_TYPE = "nnunet_assets.components.Ensemble"
SEARCH_TYPE = "nnunet_assets.components.Search"
MODELS: Mapping[str, type[Declaration]] = {
    DATASET_TYPE: DatasetConfig,
    EXPERIMENT_TYPE: ExperimentConfig,
    ENSEMBLE_TYPE: EnsembleConfig,
    SEARCH_TYPE: SearchConfig,
}

NAMESPACE = "nnunet_assets."
# What Dagster allows in a document beside our attributes (ComponentFileModel); it reads these itself.
_KEYS = ("type", "attributes", "template_vars_module", "requirements", "post_processing")

Config = TypeVar("Config", bound=Declaration)


@dataclass(frozen=True)
class FileProblem:
    """A problem and its file, relative to the project folder."""

    file: str
    problem: Problem

    def __str__(self) -> str:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in self.problem.location)
        return f"{self.file}:{self.problem.line}: {f'{place[1:]}: ' if place else ''}{self.problem.sentence}"


@dataclass(frozen=True)
class Declared(Generic[Config]):
    """A valid declaration and where it stands."""

    config: Config
    file: str
    document: Document

    @property
    def place(self) -> str:
        """File and line, as problems name them."""
        return f"{self.file}:{self.document.line}"

    def problem(self, location: Location, sentence: str) -> FileProblem:
        """Returns a problem at a location of this declaration."""
        return FileProblem(self.file, Problem(self.document.line_of(location), location, sentence))


def component_type(document: Document) -> str | None:
    """Returns the document's `type`; None where it has none that Dagster could import."""
    kind = document.value.get("type") if isinstance(document.value, dict) else None
    return kind if isinstance(kind, str) and "." in kind else None


def document_problems(document: Document) -> Iterator[Problem]:
    """Yields what is wrong with a document before its attributes are looked at; nothing for a user's own component."""
    kind = component_type(document)
    if document.value is None:
        yield Problem(document.line, (), "the document is empty, which Dagster refuses. Remove its line `---`.")
    elif not isinstance(document.value, dict):
        yield Problem(document.line, (), _no_block_sentence(document.value))
    elif kind in MODELS and is_run_together(document):
        for line in document.begins_anew:
            sentence = (
                "another declaration begins here, and the line that separates it from the one before is missing. Put "
                f"a line `---` between line {line - 1} and line {line}."
            )
            yield Problem(line, (), sentence)
    elif model := MODELS.get(kind or ""):
        yield from document.problems
        yield from _key_problems(document, keys_of(model))
    elif kind is None or kind.startswith(NAMESPACE):
        yield Problem(document.line_of(("type",)), ("type",), _type_sentence(document.value))


def is_run_together(document: Document) -> bool:
    """Says whether two declarations stand in one document, of which YAML reads only the last values."""
    repeated = {problem.location for problem in document.problems}
    return bool(document.begins_anew) and not repeated.isdisjoint({("type",), ("attributes",)})


def _stand_elsewhere(document: Document, model: type[Declaration]) -> bool:
    """Says whether the fields are there, beside `attributes` or below `Attributes`, which is a problem of its own."""
    return any(key in keys_of(model) or key.lower() == "attributes" for key in map(str, document.value))


def _key_problems(document: Document, fields: Iterable[str]) -> Iterator[Problem]:
    """Yields what is wrong with the keys beside `type` and `attributes`."""
    strangers = [key for key in document.value if isinstance(key, str) and key not in _KEYS]
    outside = [key for key in strangers if key in fields]
    is_empty = document.value.get("attributes") is None
    for key in strangers:
        location: Location = (key,)
        if key in outside:
            line = f"{key}: {document.texts.get(location, '')}".strip()
            sentence = f"belongs to `attributes`: indent it by two spaces below it. Write `  {line}`."
            if len(outside) > 1 and is_empty:
                sentence = f"{sentence[:-1]}, and so the lines after it."
        elif key.lower() in _KEYS:
            sentence = f"is written in small letters: `{key.lower()}`."
        else:
            sentence = f"is not a key of a document.{did_you_mean(key, _KEYS)} Keys: {', '.join(_KEYS)}."
        yield Problem(document.line_of(location), location, sentence)
        if key in outside and is_empty:
            return


def _no_block_sentence(value: object) -> str:
    sentence = "a declaration is a block with `type: ...`, and `attributes:` with its fields indented below it."
    if isinstance(value, list):
        return f"{sentence} Remove the `- ` before it, and put a line `---` between declarations."
    return f"{sentence} After each name stands a colon and a space."


def read_attributes(document: Document, model: type[Config]) -> tuple[Config | None, list[Problem]]:
    """Returns what a document declares, or what is wrong with its attributes.

    A value that YAML reads as something else than it looks like is a problem of the document already, and not one more
    here.
    """
    location: Location = ("attributes",)
    attributes = document.value.get("attributes")
    if is_run_together(document):
        return None, []
    if attributes is None:
        if _stand_elsewhere(document, model):
            return None, []
        attributes = {}
    if not isinstance(attributes, dict):
        sentence = "must be a block of fields, one `name: value` a line."
        if isinstance(attributes, list):
            sentence = f"{sentence} Remove the `- ` at the beginning of its lines."
        return None, [Problem(document.line_of(location), location, sentence)]
    known = {problem.location for problem in document.problems}
    try:
        return model.model_validate(attributes), []
    except ValidationError as error:
        problems = validation_problems(error, model, document, location)
        return None, [problem for problem in problems if problem.location not in known]


def _type_sentence(value: Mapping[str, object]) -> str:
    *others, last = MODELS
    names = f"{', '.join(others)} and {last}"
    if "type" not in value:
        if other := next((key for key in map(str, value) if key.lower() == "type"), None):
            return f"is written in small letters, not `{other}`."
        return f"is missing. A declaration begins with it: `type: {_likely(value)}`. The components are {names}."
    kind = str(value["type"])
    words = kind.rpartition(".")[2].lower()
    meant = DATASET_TYPE if "dat" in words else EXPERIMENT_TYPE if "exp" in words or "cross" in words else None
    meant = ENSEMBLE_TYPE if "ensem" in words else SEARCH_TYPE if "search" in words or "tun" in words else meant
    near = f" Did you mean {meant}?" if meant else ""
    return f"{value['type']!r} is not a component.{near} The components of this package are {names}."


def _likely(value: Mapping[str, object]) -> str:
    """Returns the type of which these attributes most likely are."""
    attributes = value.get("attributes")
    fields = [*attributes] if isinstance(attributes, Mapping) else []
    if "members" in fields:
        return ENSEMBLE_TYPE
    if "space" in fields:
        return SEARCH_TYPE
    return EXPERIMENT_TYPE if "configuration" in fields else DATASET_TYPE
