"""The modules of `core` that read or write are those that its docstring names."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from nnunet_assets import core

FOLDER = Path(str(core.__file__)).parent
TOUCHING = frozenset(
    {"open", "read_text", "read_bytes", "write_text", "write_bytes", "iterdir", "glob", "rglob", "walk", "scandir"}
    | {"exists", "is_file", "is_dir", "stat", "unlink", "rename", "mkdir", "touch", "load_json", "readable_json"}
    | {
        "read_json",
        "read_json_bytes",
        "load_materialized",
        "write_json_atomically",
        "write_atomically",
        "written_whole",
        "kernel_lock",
    }
)


def may_touch(module: Path) -> bool:
    named = module.stem.endswith("_files") or module.stem in ("dataset_json", "case_groups", "file_pattern")
    return module.parent.name in ("files", "fold", "validation") or named


def calls_on_the_disk(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in TOUCHING:
                yield f"{name}, line {node.lineno}"


@pytest.mark.parametrize(
    "module", [path for path in sorted(FOLDER.rglob("*.py")) if not may_touch(path)], ids=lambda path: path.stem
)
def test_a_module_of_values_touches_no_file(module: Path) -> None:
    assert list(calls_on_the_disk(module.read_text())) == []


@pytest.mark.parametrize(
    "source",
    ["path.read_text()", "def f(p):\n    return load_json(p)", "open('a')", "with written_whole(p) as q:\n ..."],
)
def test_what_touches_one_is_found(source: str) -> None:
    assert len(list(calls_on_the_disk(source))) == 1
