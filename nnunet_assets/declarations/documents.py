"""One document of a definitions file: whether it is one of ours, and what it declares."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.fields import Declaration
from nnunet_assets.declarations.sentences import validation_problems
from nnunet_assets.declarations.yaml_source import Document, Location, Problem
from nnunet_assets.errors import did_you_mean

DATASET_TYPE = "nnunet_assets.components.NnunetDataset"
EXPERIMENT_TYPE = "nnunet_assets.components.CrossValidationExperiment"
MODELS: Mapping[str, type[Declaration]] = {DATASET_TYPE: DatasetConfig, EXPERIMENT_TYPE: ExperimentConfig}

_NAMESPACE = "nnunet_assets."
# What Dagster allows in a document beside our attributes (ComponentFileModel); it reads these itself.
_KEYS = ("type", "attributes", "template_vars_module", "requirements", "post_processing")

Config = TypeVar("Config", bound=Declaration)


@dataclass(frozen=True)
class FileProblem:
    """A problem and its file, relative to the project folder."""

    file: str
    problem: Problem


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
        yield Problem(document.line, (), "a document is a block with `type: ...` and `attributes: ...`.")
    elif kind in MODELS:
        yield from document.problems
        for key in document.value:
            if isinstance(key, str) and key not in _KEYS:
                sentence = f"is not a key of a document.{did_you_mean(key, _KEYS)} Keys: {', '.join(_KEYS)}."
                yield Problem(document.line_of((key,)), (key,), sentence)
    elif kind is None or kind.startswith(_NAMESPACE):
        yield Problem(document.line_of(("type",)), ("type",), _type_sentence(document.value.get("type")))


def read_attributes(document: Document, model: type[Config]) -> tuple[Config | None, list[Problem]]:
    """Returns what a document declares, or what is wrong with its attributes.

    A value that YAML reads as something else than it looks like is a problem of the document already, and not one more
    here.
    """
    location: Location = ("attributes",)
    attributes = document.value.get("attributes")
    if attributes is None:
        attributes = {}
    if not isinstance(attributes, dict):
        sentence = "must be a block of fields, one `name: value` a line."
        return None, [Problem(document.line_of(location), location, sentence)]
    known = {problem.location for problem in document.problems}
    try:
        return model.model_validate(attributes), []
    except ValidationError as error:
        problems = validation_problems(error, model, document, location)
        return None, [problem for problem in problems if problem.location not in known]


def _type_sentence(kind: object) -> str:
    names = {name.rpartition(".")[2]: name for name in MODELS}
    what = "is missing" if kind is None else f"{kind!r} is not a component"
    near = did_you_mean(str(kind).rpartition(".")[2], names)
    return f"{what}.{near} The components of this package are {' and '.join(MODELS)}."
