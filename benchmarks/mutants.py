"""How many small faults the tests of `core` and of the use cases find: mutants by Cosmic Ray, sampled by a seed.

    python benchmarks/mutants.py [--mutants 200] [--seed 0] [--part 1/4] [--processes 2] [--goal 0.9] [PATH ...]

A mutant is one place of the code changed in one way: another operator, number, comparison, a branch turned around. Each
runs against the tests of its own module alone (`core/fold/commit.py`: `core/fold/test_commit.py`), in a copy of the
tree. Places are drawn, then one change of each, so that an operator with many replacements is not drawn more often.
Annotations are left out, since no test can see them, and decorators, of which the first import finds most; so are a few
keywords that change no result, see `WITHOUT_EFFECT`. Modules without tests of their own are named, and not drawn from;
where nothing can be changed (types, constants), none are needed. A mutant that never ends counts as found, and is told
apart. PATH limits it to some folders or files, and `--part` to every fourth of what is drawn, say, for a machine that
others use too. Needs the extra `mutants`. Exit code 1: fewer than the goal.
"""

import argparse
import ast
import compileall
import multiprocessing
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from py_compile import PycInvalidationMode
from queue import SimpleQueue
from typing import Any

import cosmic_ray.plugins
import pytest
from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.operators.binary_operator_replacement import BinaryOperators

ROOT = Path(__file__).resolve().parents[1]
PACKAGE, TESTS = "nnunet_assets", "nnunet_assets_tests"
FOLDERS = (f"{PACKAGE}/core", f"{PACKAGE}/workflows")
UNCHANGED_TIMEOUT_SECONDS = 600
SHORTEST_TIMEOUT_SECONDS, TIMEOUT_FACTOR = 30, 8
"""A mutant that takes longer than that, and so many times longer than its tests take without it, never ends."""

BINARY_SIGNS = {one.value for one in BinaryOperators}

WITHOUT_EFFECT = {
    # Of two things that the code beside it made of the same length: it fails where that is wrong.
    ("zip", "strict"): True,
    # What a debugger shows of a value.
    ("field", "repr"): False,
    # In which order numpy multiplies: the speed, and a last digit.
    ("einsum", "optimize"): True,
    # How scipy divides points among the nodes of a tree: the speed.
    ("KDTree", "balanced_tree"): False,
    ("KDTree", "compact_nodes"): False,
}
"""By function and keyword, a value whose opposite gives the same results, so that no test can tell them apart."""

# What the tests import of others is there already when a process for them is forked: most of what a mutant costs.
FORKS = multiprocessing.get_context("forkserver")
PRELOADED = (
    "__main__ hypothesis numpy pydantic mlflow scipy.stats alembic.context sqlite3 filelock dagster nibabel torch"
)
FORKS.set_forkserver_preload(PRELOADED.split())

Position = tuple[int, int]
"""Line, from 1, and column, from 0."""


@dataclass(frozen=True)
class Mutant:
    """One change of one place.

    Attributes:
        module: Relative to the root.
        operator: Of Cosmic Ray.
        occurrence: The how-manieth place of the module that the operator can change.
        start: Where the place begins.
    """

    module: str
    operator: str
    occurrence: int
    start: Position

    def __str__(self) -> str:
        return f"{self.module}:{self.start[0]} {self.operator.removeprefix('core/')}"


def main() -> int:
    """Draws the mutants, runs their tests and returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("paths", nargs="*", default=FOLDERS)
    parser.add_argument("--mutants", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--part", default="1/1", help="as in 2/4: the second of four parts of what is drawn")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--goal", type=float, default=0.9)
    arguments = parser.parse_args()
    modules = [path for given in arguments.paths for path in python_files(ROOT / given)]
    tested_modules = [path for path in modules if tests_of(path)]
    for path in modules:
        if path not in tested_modules and (n_places := len({mutant.start for mutant in mutants_of(path)})):
            print(f"no tests of its own: {path.relative_to(ROOT)} ({n_places} places)")
    part, n_parts = map(int, arguments.part.split("/"))
    drawn = draw(tested_modules, arguments.mutants, random.Random(arguments.seed))[part - 1 :: n_parts]
    with tempfile.TemporaryDirectory() as folder:
        copies: SimpleQueue[Path] = SimpleQueue()
        for index in range(arguments.processes):
            copies.put(copied(Path(folder) / str(index)))
        with ThreadPoolExecutor(arguments.processes) as pool:
            seconds = dict(pool.map(lambda module: unchanged(module, copies), sorted({one.module for one in drawn})))
            outcomes = list(pool.map(lambda mutant: outcome(mutant, copies, seconds[mutant.module]), drawn))
    for mutant, end in zip(drawn, outcomes, strict=True):
        if end == "survived":
            print(f"survived: {mutant}: {changed_line(mutant)}")
    counts = Counter(outcomes)
    share = 1 - counts["survived"] / len(drawn)
    which = f"{len(drawn)} mutants, seed {arguments.seed}, part {arguments.part}"
    print(f"{which}: {dict(counts)}; {share:.1%} found, goal {arguments.goal:.0%}")
    return 0 if share >= arguments.goal else 1


def python_files(path: Path) -> list[Path]:
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    return [file for file in files if file.name != "__init__.py"]


def tests_of(module: Path) -> list[Path]:
    """Returns the test files of a module, `test_train.py` and what is beside it in `test_train_tracked.py`."""
    inside = module.relative_to(ROOT / PACKAGE)
    folder, others = ROOT / TESTS / inside.parent, {one.stem for one in module.parent.glob("*.py")}
    found = [folder / f"test_{inside.name}", *folder.glob(f"test_{module.stem}_*.py")]
    return sorted(
        tests for tests in found if tests.exists() and tests.stem.removeprefix("test_") not in others - {module.stem}
    )


def draw(modules: Sequence[Path], n_mutants: int, rng: random.Random) -> list[Mutant]:
    places: dict[tuple[str, Position], list[Mutant]] = {}
    for module in modules:
        for mutant in mutants_of(module):
            places.setdefault((mutant.module, mutant.start), []).append(mutant)
    drawn: list[Mutant] = []
    for place in rng.sample(sorted(places), len(places)):
        if len(drawn) == n_mutants:
            break
        drawn += islice(filter(is_another_program, rng.sample(places[place], len(places[place]))), 1)
    return drawn


def mutants_of(module: Path) -> Iterator[Mutant]:
    text = module.read_text()
    hidden = invisible_spans(ast.parse(text))
    nodes = list(ast_nodes(get_ast(text)))
    # Most of Cosmic Ray's operators replace one sign by another, and need not look at anything else.
    signs = [node for node in nodes if node.type in ("comparison", "factor", "not_test") or _is_sign(node)]
    for name in cosmic_ray.plugins.operator_names():
        kind = cosmic_ray.plugins.get_operator(name)
        if kind.arguments():
            continue
        operator, seen = kind(), signs if "Operator_" in name else nodes
        places = (place for node in seen for place in operator.mutation_positions(node))
        for occurrence, (start, _) in enumerate(places):
            if not any(begin <= start < end for begin, end in hidden):
                yield Mutant(str(module.relative_to(ROOT)), name, occurrence, start)


def _is_sign(node: Any) -> bool:
    # The `*` of a signature is no operator, nor is a comma.
    is_in_signature = node.type == "operator" and node.parent.type in ("parameters", "param")
    return node.type == "operator" and node.value in BINARY_SIGNS and not is_in_signature


def invisible_spans(tree: ast.Module) -> list[tuple[Position, Position]]:
    """Returns where annotations, decorators with their `@`, imports for type checkers and idle keywords stand."""
    hidden: list[ast.expr | ast.stmt] = []
    spans: list[tuple[Position, Position]] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            spans += [((one.lineno, one.col_offset - 1), _end(one)) for one in node.decorator_list]
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.returns:
            hidden.append(node.returns)
        if isinstance(node, ast.arg | ast.AnnAssign) and node.annotation:
            hidden.append(node.annotation)
        if isinstance(node, ast.Call):
            name = ast.unparse(node.func).rpartition(".")[2]
            hidden += [one.value for one in node.keywords if _is_without_effect(name, one)]
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            hidden.append(node)
    return [*spans, *(((node.lineno, node.col_offset), _end(node)) for node in hidden)]


def _is_without_effect(function: str, keyword: ast.keyword) -> bool:
    value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
    return value is not None and value is WITHOUT_EFFECT.get((function, keyword.arg or ""))


def _end(node: ast.expr | ast.stmt) -> Position:
    return node.end_lineno or 0, node.end_col_offset or 0


def copied(folder: Path) -> Path:
    """Returns a copy of what the tests need."""
    for name in (PACKAGE, TESTS, "docs", "benchmarks"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "setup.cfg", "README.md"):
        shutil.copy(ROOT / name, folder / name)
    # Once, for all forks; by the content, as a mutant may have the size and the second of what it changes.
    compileall.compile_dir(folder, quiet=1, invalidation_mode=PycInvalidationMode.CHECKED_HASH)
    return folder


def unchanged(module: str, copies: "SimpleQueue[Path]") -> tuple[str, float]:
    """Returns the module, and how many seconds its tests take with it as it is."""
    copy, began = copies.get(), time.monotonic()
    try:
        # Tests that fail as they are would find every mutant.
        if (end := tested(copy, tests_of(ROOT / module), UNCHANGED_TIMEOUT_SECONDS)) != "survived":
            sys.exit(f"The tests of {module} do not pass without a mutant: {end}.")
        return module, time.monotonic() - began
    finally:
        copies.put(copy)


def outcome(mutant: Mutant, copies: "SimpleQueue[Path]", unchanged_seconds: float) -> str:
    """Returns `found`, `timed out` or `survived`."""
    timeout_seconds = max(SHORTEST_TIMEOUT_SECONDS, TIMEOUT_FACTOR * unchanged_seconds)
    original = (ROOT / mutant.module).read_text()
    copy = copies.get()
    try:
        (copy / mutant.module).write_text(changed(original, mutant))
        end = tested(copy, tests_of(ROOT / mutant.module), timeout_seconds)
    finally:
        (copy / mutant.module).write_text(original)
        copies.put(copy)
    print(f"{end}: {mutant}", file=sys.stderr, flush=True)
    return end


def is_another_program(mutant: Mutant) -> bool:
    """Says whether it is Python still, and not the same program in other words (1e38 is 1e38 + 1)."""
    text = (ROOT / mutant.module).read_text()
    try:
        return _program(changed(text, mutant)) != _program(text)
    except SyntaxError:
        return False


def changed_line(mutant: Mutant) -> str:
    """Returns the first line that it changes, before and after."""
    text = (ROOT / mutant.module).read_text()
    lines = zip(text.splitlines(), changed(text, mutant).splitlines(), strict=False)
    return next(f"{before.strip()} -> {after.strip()}" for before, after in lines if before != after)


@cache
def _program(text: str) -> str:
    return ast.dump(ast.parse(text))


@cache
def changed(text: str, mutant: Mutant) -> str:
    operator = cosmic_ray.plugins.get_operator(mutant.operator)()
    found: str | None = mutate_code(text, operator, mutant.occurrence)
    assert found is not None
    return found


def tested(folder: Path, tests: Sequence[Path], timeout_seconds: float) -> str:
    """Returns what the tests in a copy say of it."""
    process = FORKS.Process(target=run_tests, args=(folder, [str(one.relative_to(ROOT)) for one in tests]))
    process.start()
    process.join(timeout_seconds)
    if process.is_alive():
        # With what the tests started.
        os.killpg(process.pid or 0, signal.SIGKILL)
        process.join()
        return "timed out"
    return "survived" if process.exitcode == 0 else "found"


def run_tests(folder: Path, tests: list[str]) -> None:
    """Runs tests in a copy: in a process of their own, which ends with pytest's exit code."""
    os.setsid()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True
    # Other plugins than those that the tests need take half of the time.
    os.environ |= {"PYTHONPATH": str(folder), "PYTHONDONTWRITEBYTECODE": "1", "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    arguments = ["-x", "-q", "-p", "no:cacheprovider", "-p", "pytest_timeout", *tests]
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
        # Few modules have trials alone that the default suite leaves out.
        if (code := pytest.main(arguments)) == pytest.ExitCode.NO_TESTS_COLLECTED:
            code = pytest.main([*arguments, "-m", "faults"])
        sys.exit(code)


if __name__ == "__main__":
    sys.exit(main())
