"""Two contracts that import-linter does not have: third parties by name and layer, and private names that stay at home.

`pyproject.toml` registers them, so that `lint-imports` itself breaks where one is not kept.
"""

import ast
import re
import sys
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from grimp import ImportGraph
from importlinter.application import output
from importlinter.domain.contract import Contract, ContractCheck
from importlinter.domain.fields import Field

_MAY_BE_PRIVATE = re.compile(r"\bimport\s+(?:\([^)]*|[^(\n]*)\b_[A-Za-z]")


class NamesByPackage(Field[dict[str, frozenset[str]]]):
    """A table of the contract: a package below the root one, and the names that stand beside it."""

    def parse(self, raw_data: Any) -> dict[str, frozenset[str]]:
        """Takes the table as TOML has it."""
        return {package: frozenset(names) for package, names in raw_data.items()}


class SentenceContract(Contract):
    """A contract that says in a sentence each what breaks it."""

    def sentences(self, graph: ImportGraph) -> Iterator[str]:
        """Yields what breaks the contract."""
        raise NotImplementedError

    def check(self, graph: ImportGraph, verbose: bool) -> ContractCheck:
        """Is kept where there is nothing to say."""
        found = sorted(self.sentences(graph))
        return ContractCheck(kept=not found, metadata={"sentences": found})

    def render_broken_contract(self, check: ContractCheck) -> None:
        """Prints the sentences, one a line."""
        for sentence in check.metadata["sentences"]:
            output.print_error(f"- {sentence}", bold=False)
        output.new_line()

    @property
    def roots(self) -> list[str]:
        """The packages that import-linter was asked to look at."""
        roots: list[str] = self.session_options["root_packages"]
        return roots


class ThirdPartiesContract(SentenceContract):
    """A module imports of the world what `allowed` names for it or for a package around it, and Python's own library.

    Imports inside functions and for type checkers count like all others.
    """

    type_name = "third_parties"
    allowed = NamesByPackage()

    def sentences(self, graph: ImportGraph) -> Iterator[str]:
        """Yields imports that nothing allows, and allowances that nothing uses."""
        allowed: dict[str, frozenset[str]] = self.allowed  # type: ignore[assignment]  # the parsed value of the field
        unused = {(package, name) for package, names in allowed.items() for name in names}
        for module, imported in sorted(self._third_parties(graph)):
            by = {
                (package, imported) for package in allowed if imported in allowed[package] and _holds(package, module)
            }
            unused -= by
            if not by:
                details = graph.get_import_details(importer=module, imported=imported)
                line = min(detail["line_number"] for detail in details)
                yield f"{module} imports {imported} in line {line}, and nothing allows it there by name."
        for package, name in unused:
            yield f"{package} is allowed to import {name}, and does not: take the name away."

    def _third_parties(self, graph: ImportGraph) -> Iterator[tuple[str, str]]:
        for module in graph.modules:
            if module.partition(".")[0] in self.roots:
                for imported in graph.find_modules_directly_imported_by(module):
                    if imported.partition(".")[0] not in (*self.roots, *sys.stdlib_module_names):
                        yield module, imported


class PrivateNamesContract(SentenceContract):
    """A name that begins with an underscore is imported within its own folder only."""

    type_name = "private_names"

    def sentences(self, graph: ImportGraph) -> Iterator[str]:
        """Yields such imports from another folder."""
        for root in self.roots:
            spec = find_spec(root)
            folder = Path(str(spec.origin)).parent if spec else Path()
            for file in sorted(folder.rglob("*.py")):
                home = ".".join((root, *file.relative_to(folder).parts[:-1]))
                for line, source, name in _imported_names(file.read_text(encoding="utf-8")):
                    is_ours = source.partition(".")[0] == root
                    if is_ours and _is_private(name) and _package(source, folder) != home:
                        yield f"{file.relative_to(folder.parent)}:{line} imports {name} of {source}, another folder's."


def _holds(package: str, module: str) -> bool:
    """Says whether a module is a package, named below the root one, or lies in it."""
    return f"{module.partition('.')[2]}.".startswith(f"{package}.")


def _is_private(name: str) -> bool:
    return name.startswith("_") and not name.endswith("__")


def _package(module: str, root: Path) -> str:
    """Returns the package that a module lies in, or is."""
    is_package = root.parent.joinpath(*module.split(".")).is_dir()
    return module if is_package else module.rpartition(".")[0]


@cache
def _imported_names(source: str) -> tuple[tuple[int, str, str], ...]:
    """Returns line, module and name of all that is imported `from` an absolute module, also inside functions.

    Nothing where no such name can be private: parsing every file takes longer than all other contracts.

    Args:
        source: What is in the file; tests lint one package many times.
    """
    if not _MAY_BE_PRIVATE.search(source):
        return ()
    imports = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) and not node.level)
    return tuple((node.lineno, node.module, alias.name) for node in imports if node.module for alias in node.names)
