"""Tests lie where what they test lies."""

import ast
import re
from pathlib import Path

import nnunet_assets

PACKAGE, TESTS = Path(nnunet_assets.__file__).parent, Path(__file__).parent
APART = {
    "any_input": "whatever a user may type or leave on the disk, drawn for all commands alike",
    "fakes": "seams of several folders, with the contract that real and fake keep",
    "faults": "whole trainings that are killed, stopped and spoiled",
    "version_0_1_0": "what an older version left behind, read by this one",
}
"""The folders that mirror none, and why."""
OWN_TESTS = ("core", "workflows")
"""Where each module is tested by its own tests alone; see `benchmarks/mutants.py`."""


def test_every_folder_of_tests_is_one_of_the_package() -> None:
    folders = {file.parent.relative_to(TESTS) for file in TESTS.rglob("test_*.py")}
    odd = {str(folder) for folder in folders if not (PACKAGE / folder).is_dir()}
    assert odd == set(APART)


def test_what_does_something_in_core_and_in_the_use_cases_has_tests_of_its_own() -> None:
    without = []
    for module in (file for folder in OWN_TESTS for file in (PACKAGE / folder).rglob("*.py")):
        tests = TESTS / module.relative_to(PACKAGE).with_name(f"test_{module.name}")
        does = any(isinstance(node, ast.FunctionDef) for node in ast.walk(ast.parse(module.read_text())))
        if does and not tests.is_file():
            without.append(str(module.relative_to(PACKAGE)))
    assert without == []


def test_what_lies_among_the_faults_says_so_since_nothing_else_runs_it() -> None:
    says_so = re.compile(r"^pytestmark = [^\n\[]*(\[[^\]]*)?mark\.faults", re.MULTILINE)
    files = (TESTS / "faults").rglob("test_*.py")
    assert [file.name for file in files if not says_so.search(file.read_text())] == []
