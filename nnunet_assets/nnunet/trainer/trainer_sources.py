"""The trainer classes that nnU-Net would find, each with what it sets, by their sources: no torch is imported."""

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.nnunet.trainer.trainer_names import trainer_folders, trainer_modules

NNUNETS = "nnUNetTrainer"
PARAMETERS = ("plans", "configuration", "fold", "dataset_json", "device")
"""By these names nnU-Net gives a trainer what it is made of, and looks them up again in its own."""


@dataclass(frozen=True)
class TrainerSource:
    """A class by its source.

    Attributes:
        name: Of the class.
        bases: Names of the classes that it derives from.
        file: Where it stands.
        line: There, from 1.
        folder: Where nnU-Net looked: its own folder, one of `nnUNet_extTrainer`.
        sets: Attribute to value, where its own constructor sets numbers, texts, true, false or none.
        parameters: Of its own constructor, without self, stars and all; None: it has none.
        summary: First line of its docstring; empty: none.
    """

    name: str
    bases: tuple[str, ...]
    file: Path
    line: int
    folder: Path
    sets: Mapping[str, Any]
    parameters: tuple[str, ...] | None
    summary: str

    @property
    def problem(self) -> str | None:
        """Why nnU-Net cannot build it, in a sentence; None: it can."""
        if self.parameters is None or sorted(self.parameters) == sorted(PARAMETERS):
            return None
        return (
            f"{self.name} ({self.file}:{self.line}) takes ({', '.join(self.parameters) or 'nothing'}). nnU-Net builds "
            f"a trainer with {', '.join(PARAMETERS)}, and reads them again by these names: write them out, no others."
        )


@dataclass(frozen=True)
class FoundTrainers:
    """What was found.

    Attributes:
        classes: By name; where several bear one, that which nnU-Net takes.
        unread: Files that cannot be read as Python, each with why.
    """

    classes: Mapping[str, TrainerSource]
    unread: Mapping[Path, str]

    @property
    def trainers(self) -> dict[str, TrainerSource]:
        """Those that derive from nnU-Net's trainer, in nnU-Net's order."""
        return {name: source for name, source in self.classes.items() if NNUNETS in self.lineage(name)}

    def lineage(self, name: str) -> list[str]:
        """Returns a class and those that it derives from, as Python looks attributes up; foreign ones left out."""
        made: dict[str, type] = {}
        try:
            return [kind.__name__ for kind in _kind(name, self.classes, made, ()).__mro__[:-1]]
        except (TypeError, RecursionError):  # no such order, or a circle
            return [name]

    def settings(self, name: str) -> dict[str, Any]:
        """Returns attribute to value of a trainer, with what it inherits of others than nnU-Net's trainer itself."""
        found: dict[str, Any] = {}
        for base in reversed(self.lineage(name)):
            if base != NNUNETS or name == NNUNETS:
                found |= self.classes[base].sets
        return found

    def mentions(self, name: str, attribute: str) -> bool:
        """Says whether a trainer, or one that it derives from, has an attribute by its sources; a foreign one may."""
        if name not in self.classes:
            return True
        files = {self.classes[base].file for base in self.lineage(name)}
        return any(f"self.{attribute}" in file.read_text(encoding="utf-8", errors="replace") for file in files)


def found_trainers(variables: Mapping[str, str]) -> FoundTrainers:
    """Returns the classes in the folders in which nnU-Net looks for trainers.

    Args:
        variables: The environment of the process that will look.
    """
    classes: dict[str, TrainerSource] = {}
    unread: dict[Path, str] = {}
    for folder in trainer_folders(variables):
        for file in trainer_modules(folder):
            try:
                tree = ast.parse(file.read_bytes())
            except (OSError, SyntaxError, ValueError) as error:
                unread[file] = str(error)
                continue
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    classes.setdefault(node.name, _source(node, file, folder))
    return FoundTrainers(classes, unread)


def _kind(name: str, classes: Mapping[str, TrainerSource], made: dict[str, type], below: Sequence[str]) -> type:
    """Returns an empty class of the same lineage, so that Python itself says in which order it is looked through."""
    if name in below:
        raise RecursionError(name)
    if name not in made:
        bases = [_kind(base, classes, made, [*below, name]) for base in classes[name].bases if base in classes]
        made[name] = type(name, tuple(bases), {})
    return made[name]


def _source(node: ast.ClassDef, file: Path, folder: Path) -> TrainerSource:
    constructor = next((one for one in node.body if isinstance(one, ast.FunctionDef) and one.name == "__init__"), None)
    bases = tuple(ast.unparse(base).rpartition(".")[2] for base in node.bases)
    summary = (ast.get_docstring(node) or "").strip().partition("\n")[0]
    return TrainerSource(
        node.name,
        bases,
        file,
        node.lineno,
        folder,
        dict(_set_by(constructor)) if constructor else {},
        _parameters(constructor) if constructor else None,
        summary,
    )


def _parameters(constructor: ast.FunctionDef) -> tuple[str, ...]:
    taken = constructor.args
    names = [one.arg for one in (*taken.posonlyargs, *taken.args, *taken.kwonlyargs)][1:]
    stars = [f"*{taken.vararg.arg}" if taken.vararg else "", f"**{taken.kwarg.arg}" if taken.kwarg else ""]
    return (*names, *filter(None, stars))


def _set_by(constructor: ast.FunctionDef) -> Iterator[tuple[str, Any]]:
    """Yields what a constructor sets on the trainer, wherever that is plain in the source."""
    for node in ast.walk(constructor):
        if isinstance(node, ast.AnnAssign) and node.value:
            pairs: list[tuple[ast.expr, ast.expr]] = [(node.target, node.value)]
        elif isinstance(node, ast.Assign):
            pairs = [pair for target in node.targets for pair in _paired(target, node.value)]
        else:
            continue
        for target, value in pairs:
            if isinstance(target, ast.Attribute) and ast.unparse(target.value) == "self":
                yield from _plain(target.attr, value)


def _paired(target: ast.expr, value: ast.expr) -> list[tuple[ast.expr, ast.expr]]:
    if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple) and len(target.elts) == len(value.elts):
        return list(zip(target.elts, value.elts, strict=True))
    return [(target, value)]


def _plain(name: str, value: ast.expr) -> Iterator[tuple[str, Any]]:
    try:
        known = ast.literal_eval(value)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        return
    if not name.startswith("_") and (known is None or isinstance(known, bool | int | float | str)):
        yield name, known
