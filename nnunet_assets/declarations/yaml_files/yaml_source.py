"""A YAML file as the values that Dagster reads in it, each with its line and its text as written.

Knows YAML, and nothing of experiments. Dagster's reader takes what it is given: the last of two equal keys, `010` as 8,
`1:30` as 90. Here each of these is a problem with a line.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from nnunet_assets.declarations.yaml_files.yaml_slips import slip_in

try:
    from yaml import CSafeLoader as _SafeLoader
except ImportError:  # PyYAML was built without libyaml
    from yaml import SafeLoader as _SafeLoader  # type: ignore[assignment]

from nnunet_assets.core.files.regular_file import open_regular

MAX_BYTES = 1_000_000
# libyaml composes recursively in C: 100,000 open brackets end the interpreter with a segmentation fault.
MAX_DEPTH = 50
# Counted with every alias written out, so that nine lines of aliases of aliases do not stand for gigabytes.
MAX_VALUES = 100_000

_CORE = "tag:yaml.org,2002:"

Location = tuple[str | int, ...]
"""Where in a document: `("attributes", "folds", 0)`."""


@dataclass(frozen=True)
class Problem:
    """What is wrong at a line of a file; the location within the document is empty where it concerns all of it."""

    line: int
    location: Location
    sentence: str


@dataclass(frozen=True)
class Document:
    """One document of a file.

    Attributes:
        value: What Dagster reads; None where the document is empty.
        line: The document's first line, from 1.
        lines: The line of every key and list item.
        texts: Every scalar as it stands in the file, without quotes.
        quoted: The scalars that stand in quotes or in a block (`|`, `>`).
        problems: Repeated keys and values that YAML reads as something else than they look like.
        begins_anew: The lines at which keys of the document's own repeat after others stood between: there another
            document was most likely meant to begin.
    """

    value: Any
    line: int
    lines: Mapping[Location, int]
    texts: Mapping[Location, str]
    quoted: frozenset[Location]
    problems: tuple[Problem, ...]
    begins_anew: tuple[int, ...] = ()

    def line_of(self, location: Location) -> int:
        """Returns the line of a location, or of the nearest one around it that the file holds."""
        while location and location not in self.lines:
            location = location[:-1]
        return self.lines.get(location, self.line)


class _Loader(_SafeLoader):
    """Reads as Dagster does: plain values only, and a date stays text."""

    yaml_implicit_resolvers = {  # noqa: RUF012  # PyYAML's own class attribute
        first: [(tag, pattern) for tag, pattern in resolvers if tag != f"{_CORE}timestamp"]
        for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
    }


class _SourceError(Exception):
    """The file cannot be read any further."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.problem = Problem(line, (), sentence)


def read_documents(path: Path) -> tuple[list[Document], list[Problem]]:
    """Returns the documents of a file and what kept the rest of it from being read."""
    documents: list[Document] = []
    try:
        text = _read_text(path)
        _refuse_depth(text)
        for document in _documents(text):
            documents.append(document)
    except _SourceError as error:
        return documents, [error.problem]
    except yaml.MarkedYAMLError as error:
        return documents, [_syntax_problem(text, error)]
    except yaml.YAMLError as error:
        return documents, [Problem(1, (), f"the file is not YAML: {str(error).splitlines()[0]}.")]
    return documents, []


def _read_text(path: Path) -> str:
    try:
        with open_regular(path) as file:
            content = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise _SourceError(1, f"the file cannot be read: {error.strerror}.") from error
    if len(content) > MAX_BYTES:
        raise _SourceError(1, f"the file is larger than {MAX_BYTES:,} bytes. Split it into several folders.")
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _SourceError(line, f"byte {error.start} is not UTF-8. Save the file as UTF-8.") from error
    if control := re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", text):
        line = text.count("\n", 0, control.start()) + 1
        raise _SourceError(line, f"the line holds U+{ord(control[0]):04X}, a control character. Write the line anew.")
    return text


def _refuse_depth(text: str) -> None:
    depth = 0
    # A syntax error ends this pass without a word: the reading that follows meets it too, after what stands before it.
    with suppress(yaml.YAMLError):
        for event in yaml.parse(text, _Loader):
            if isinstance(event, yaml.CollectionStartEvent):
                depth += 1
                if depth > MAX_DEPTH:
                    sentence = f"lists and blocks are nested more than {MAX_DEPTH} deep here."
                    raise _SourceError(_line(event), sentence)
            elif isinstance(event, yaml.CollectionEndEvent):
                depth -= 1


def _documents(text: str) -> Iterator[Document]:
    constructor = _Loader("")
    n_values = 0
    for node in yaml.compose_all(text, _Loader):
        n_values += _n_values(node, MAX_VALUES - n_values)
        yield _document(constructor, node)


def _n_values(node: yaml.Node, allowed: int) -> int:
    """Counts the values of a document with its aliases written out; an alias of itself never ends, and is refused."""
    n_values = 0
    waiting = [node]
    while waiting:
        current = waiting.pop()
        n_values += 1
        if n_values > allowed:
            sentence = f"the file stands for more than {MAX_VALUES:,} values. Write it without aliases (*name)."
            raise _SourceError(_line(node), sentence)
        waiting.extend(_children(current))
    return n_values


def _children(node: yaml.Node) -> list[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return [part for pair in node.value for part in pair]
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _document(constructor: _Loader, node: yaml.Node) -> Document:
    problems = list(_surprises(node, ()))
    # Constructing also writes merge keys (<<) out into their mapping, which is what the walk below should see.
    try:
        value = constructor.construct_document(node)
    except (ValueError, KeyError, AttributeError, TypeError) as error:  # `!!int abc`, or an integer of 5000 digits
        raise _SourceError(_line(node), f"a value of this document cannot be read: {error}.") from error
    lines: dict[Location, int] = {}
    texts: dict[Location, str] = {}
    quoted: set[Location] = set()
    for location, line, part in _walk(node, (), _line(node)):
        lines[location] = line
        if isinstance(part, yaml.ScalarNode):
            texts[location] = part.value
            if part.style:
                quoted.add(location)
    return Document(value, _line(node), lines, texts, frozenset(quoted), tuple(problems), tuple(_new_beginnings(node)))


def _new_beginnings(node: yaml.Node) -> Iterator[int]:
    seen: set[str] = set()
    for key, _ in node.value if isinstance(node, yaml.MappingNode) else ():
        if not isinstance(key, yaml.ScalarNode):
            continue
        if key.value in seen and len(seen) > 1:
            yield _line(key)
            seen = set()
        seen.add(key.value)


def _walk(node: yaml.Node, location: Location, line: int) -> Iterator[tuple[Location, int, yaml.Node]]:
    yield location, line, node
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                yield from _walk(value, (*location, key.value), _line(key))
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _walk(value, (*location, index), _line(value))


def _surprises(node: yaml.Node, location: Location) -> Iterator[Problem]:
    if isinstance(node, yaml.ScalarNode):
        sentence = _number_surprise(node)
        if sentence:
            yield Problem(_line(node), location, sentence)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _surprises(value, (*location, index))
    elif isinstance(node, yaml.MappingNode):
        yield from _mapping_surprises(node, location)


def _mapping_surprises(node: yaml.MappingNode, location: Location) -> Iterator[Problem]:
    first_lines: dict[str, int] = {}
    for key, value in node.value:
        line = _line(key)
        if not isinstance(key, yaml.ScalarNode):
            yield Problem(line, location, "a key must be a word, not a list or block.")
            continue
        if key.tag not in (f"{_CORE}str", f"{_CORE}merge"):
            sentence = f"YAML does not read the key {key.value} as text. Put it in quotes."
            yield Problem(line, (*location, key.value), sentence)
        if key.value in first_lines:
            sentence = (
                f"is given twice, first at line {first_lines[key.value]}; Dagster would take the last. Keep the one "
                "that is right."
            )
            yield Problem(line, (*location, key.value), sentence)
        first_lines.setdefault(key.value, line)
        yield from _surprises(value, (*location, key.value))


def _number_surprise(node: yaml.ScalarNode) -> str | None:
    """Says what YAML 1.1 makes of a number that looks like another one, or None."""
    text = node.value
    if node.style or node.tag not in (f"{_CORE}int", f"{_CORE}float"):
        return None
    if ":" in text:
        return f"YAML reads {text} as a number in base 60. Put it in quotes, or write the number in full."
    if re.fullmatch(r"[-+]?0[0-7_]+", text):
        octal, decimal = int(text.replace("_", ""), 8), int(text.replace("_", ""))
        if octal != decimal:
            return f"YAML reads {text} as {octal}, since a leading 0 means octal. Write {octal} or {decimal}."
    return None


def _line(part: yaml.Node | yaml.Event) -> int:
    return part.start_mark.line + 1 if part.start_mark else 1


def _syntax_problem(text: str, error: yaml.MarkedYAMLError) -> Problem:
    mark = error.problem_mark or error.context_mark
    line = mark.line + 1 if mark else 1
    if isinstance(error, yaml.constructor.ConstructorError) and "tag" in (error.problem or ""):
        tag = str(error.problem).rpartition("tag ")[2]
        sentence = (
            f"the YAML tag {tag} is not allowed. Write plain values: text, numbers, lists, blocks. Text that begins "
            "with an exclamation mark needs quotes."
        )
        return Problem(line, (), sentence)
    if slip := slip_in(text, error):
        return Problem(slip.line, (), slip.sentence)
    what = ", ".join(part for part in (error.context, error.problem) if part)
    hint = "Each line is a name, a colon, a space and a value; what belongs to it is indented by two spaces more."
    return Problem(line, (), f"the file is not YAML: {what}. {hint}")
