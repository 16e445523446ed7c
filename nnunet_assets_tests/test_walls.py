"""What `lint-imports` must refuse: each violation is planted alone in a copy of the package, and breaks a contract."""

import re
import shutil
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

import nnunet_assets

pytest.importorskip("importlinter", reason="import-linter is not installed; it says the same on any set of versions")
from grimp import ImportGraph
from importlinter.application.use_cases import lint_imports
from importlinter.configuration import configure

from nnunet_assets_tests.import_contracts import ThirdPartiesContract

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"

LAYERS = "imports point inward only"
NO_DETOURS = "no folder and no file imports itself by a detour"
NO_DAGSTER = "command line and use cases load no Dagster"
PRIVATE = "private names stay in their folder"
BY_NAME = "third parties are allowed by name"

Lint = Callable[[Mapping[str, str]], tuple[set[str], str]]


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the package, and nothing else."""
    folder = tmp_path_factory.mktemp("copy")
    source = Path(str(nnunet_assets.__file__)).parent
    shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def lint(copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Lint]:
    """Lints the copy with these files in it, and returns the contracts that break, and what was printed."""
    configure()
    monkeypatch.syspath_prepend(copy)
    # Where a package was imported from goes before where it is looked for.
    monkeypatch.delitem(sys.modules, "nnunet_assets")
    planted: list[Path] = []

    def broken_by(files: Mapping[str, str]) -> tuple[set[str], str]:
        for name, content in files.items():
            planted.append(copy / "nnunet_assets" / name)
            planted[-1].write_text(content)
        kept = lint_imports(str(PYPROJECT), cache_dir=None, no_logo=True)
        printed = capsys.readouterr().out
        broken = set(re.findall(r"^(.+) BROKEN\b", printed, re.MULTILINE))
        assert kept is not bool(broken), printed
        return broken, " ".join(printed.split())

    yield broken_by
    for file in planted:
        file.unlink()


def within_a_function(statement: str) -> str:
    return f"def planted() -> None:\n    {statement}\n"


def test_the_package_as_it_is_breaks_no_contract(lint: Lint) -> None:
    assert lint({})[0] == set()


@pytest.mark.parametrize(
    ("file", "imported", "contracts"),
    [
        ("workflows/planted.py", "torch", {BY_NAME}),
        ("workflows/planted.py", "nnunetv2.paths", {BY_NAME}),
        ("workflows/planted.py", "click", {BY_NAME}),
        ("workflows/planted.py", "dagster", {BY_NAME, NO_DAGSTER}),
        ("cli/results/planted.py", "mlflow", {BY_NAME}),
        ("cli/results/planted.py", "nnunet_assets.definitions", {NO_DAGSTER}),
        ("nnunet/folds/planted.py", "dagster", {BY_NAME, NO_DAGSTER}),
        ("nnunet/folds/planted.py", "mlflow", {BY_NAME}),
        ("nnunet/folds/planted.py", "nnunet_assets.tracking.store.client", {LAYERS}),
        ("core/fold/planted.py", "yaml", {BY_NAME}),
        ("core/fold/planted.py", "nnunet_assets.settings", {LAYERS, NO_DETOURS}),
        ("reports/text/planted.py", "matplotlib.pyplot", {BY_NAME}),
        ("assets/summary/planted.py", "mlflow", {BY_NAME}),
        ("assets/summary/planted.py", "a_library_that_nobody_has", {BY_NAME}),
    ],
)
def test_what_a_layer_may_not_import_breaks_a_contract_within_a_function_too(
    lint: Lint, file: str, imported: str, contracts: set[str]
) -> None:
    broken, printed = lint({file: within_a_function(f"import {imported}")})

    assert broken == contracts
    assert "planted" in printed
    assert imported.split(".", maxsplit=1)[0] in printed


def test_a_circle_of_assets_and_use_cases_breaks_a_contract(lint: Lint) -> None:
    broken, _ = lint(
        {
            "workflows/planted.py": within_a_function("import nnunet_assets.assets.planted"),
            "assets/planted.py": within_a_function("import nnunet_assets.workflows.planted"),
        }
    )

    assert broken == {LAYERS, NO_DETOURS, NO_DAGSTER}


def test_a_circle_of_two_folders_of_one_layer_breaks_a_contract(lint: Lint) -> None:
    broken, _ = lint(
        {
            "core/text/planted.py": within_a_function("import nnunet_assets.core.summary.planted"),
            "core/summary/planted.py": within_a_function("import nnunet_assets.core.text.redaction"),
        }
    )

    assert broken == {NO_DETOURS}


def test_a_module_in_no_layer_breaks_a_contract(lint: Lint) -> None:
    assert lint({"planted.py": ""})[0] == {LAYERS}


def test_a_private_name_of_another_folder_breaks_a_contract(lint: Lint) -> None:
    statement = "from nnunet_assets.core.text.redaction import _planted"

    broken, printed = lint({"core/fold/planted.py": within_a_function(statement)})

    assert broken == {PRIVATE}
    assert "nnunet_assets/core/fold/planted.py:2 imports _planted of nnunet_assets.core.text.redaction" in printed


def test_a_private_name_of_the_same_folder_breaks_none(lint: Lint) -> None:
    assert lint({"core/text/planted.py": "from nnunet_assets.core.text.redaction import _planted"})[0] == set()


def test_a_third_party_that_is_allowed_and_not_used_breaks_the_contract() -> None:
    graph = ImportGraph()
    graph.add_module("house.core.means")
    graph.add_module("numpy", is_squashed=True)
    graph.add_import(importer="house.core.means", imported="numpy", line_number=1, line_contents="import numpy")
    allowed = {"core": ["numpy", "scipy"], "core.mean": ["numpy"]}

    contract = ThirdPartiesContract("by name", {"root_packages": ["house"]}, {"allowed": allowed})

    assert sorted(contract.sentences(graph)) == [
        "core is allowed to import scipy, and does not: take the name away.",
        "core.mean is allowed to import numpy, and does not: take the name away.",
    ]
