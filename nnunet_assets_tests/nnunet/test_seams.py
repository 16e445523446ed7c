"""The names of nnU-Net's that are bound: held against this package's imports, the real nnU-Net, and spoiled copies."""

import ast
import re
import shutil
import weakref
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest

import nnunet_assets
from nnunet_assets.errors import NnunetVersionError
from nnunet_assets.nnunet import seams
from nnunet_assets.nnunet.seams import MEMBERS, NAMES, PARAMETERS, TESTED, InstalledNnunet, installed_nnunet, missing_in

PACKAGE = Path(nnunet_assets.__file__).parent
NOT_BOUND = {"trainers"}
"""nnU-Net imports our trainers; what they derive from is theirs to find."""
TRAINER = "nnunetv2.training.nnUNetTrainer.nnUNetTrainer"


def imports_of(file: Path) -> set[tuple[str, str]]:
    """Returns module and name of what a file imports from nnU-Net, and of what it reads or replaces in a module."""
    tree = ast.parse(file.read_text())
    aliases = {
        alias.asname or alias.name: (str(node.module), alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("nnunetv2")
        for alias in node.names
    }
    attributes = {
        (".".join(aliases[node.value.id]), node.attr)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in aliases
    }
    return {*aliases.values(), *attributes}


@pytest.fixture(scope="module")
def nnunet() -> Path:
    from importlib.util import find_spec

    return Path(find_spec("nnunetv2").submodule_search_locations[0])


def test_every_import_of_nnunet_is_looked_up() -> None:
    files = [file for file in PACKAGE.rglob("*.py") if file.relative_to(PACKAGE).parts[0] not in NOT_BOUND]
    known = {(module, name) for module, names in NAMES.items() for name in names}
    modules = {tuple(module.rsplit(".", 1)) for module in NAMES}
    classes = {f"{module}.{name}" for module, name in known}
    unknown = {
        (file.name, *one)
        for file in files
        for one in imports_of(file)
        if one not in known and one not in modules and one[0] not in classes
    }
    assert unknown == set()


def test_the_installed_nnunet_has_all_of_them() -> None:
    found = installed_nnunet()
    assert (found.missing, found.problem) == ((), "")
    assert found.is_tested, f"nnunetv2 {found.version} passes: name it in seams.TESTED"
    seams.require_nnunet()


@pytest.fixture
def copy(nnunet: Path, tmp_path: Path) -> Any:
    """A copy of the sources that are looked at, and what replaces text in one of them."""
    for module in NAMES:
        place = nnunet.joinpath(*module.split(".")[1:])
        file = place.with_suffix(".py") if place.with_suffix(".py").is_file() else place / "__init__.py"
        target = tmp_path / file.relative_to(nnunet)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)

    def spoil(module: str, old: str, new: str) -> list[str]:
        file = tmp_path.joinpath(*module.split(".")[1:]).with_suffix(".py")
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))
        found = list(missing_in(tmp_path))
        file.write_text(text)
        return found

    return spoil


def test_each_name_that_is_gone_is_told(copy: Any) -> None:
    logger = "nnunetv2.training.logging.nnunet_logger"
    assert copy(logger, "class MetaLogger", "class Logger") == [f"{logger}.MetaLogger"]
    assert copy(logger, "self.loggers", "self.writers") == [f"{logger}.MetaLogger.loggers"]
    assert f"{TRAINER}.nnUNetTrainer.on_epoch_end" in copy(TRAINER, "def on_epoch_end", "def after_epoch")
    run = "nnunetv2.run.run_training"
    assert copy(run, "continue_training", "goes_on") == [f"{run}.get_trainer_from_args(continue_training)"]
    assert copy("nnunetv2.paths", "nnUNet_raw", "raw") == ["nnunetv2.paths.nnUNet_raw"]


def test_a_name_may_come_from_a_branch_a_base_or_another_module(copy: Any) -> None:
    paths = "nnunetv2.paths"
    assert copy(paths, "nnUNet_raw = ", "if True:\n    nnUNet_raw = ") == []
    assert copy(TRAINER, "class nnUNetTrainer(object):", "class Base:\n    x = 1\n\nclass nnUNetTrainer(Base):") == []
    moved = "nnunetv2.utilities.plans_handling.plans_handler"
    assert f"{moved}.PlansManager.dataset_name" in copy(moved, "class PlansManager", "class PlansManager: ...\nclass _")


def test_a_module_that_is_gone_is_told_once(tmp_path: Path) -> None:
    found = list(missing_in(tmp_path))
    assert found == list(NAMES)
    assert {module for module, _ in (*MEMBERS, *PARAMETERS)} <= NAMES.keys()


def test_no_two_parsed_files_are_held_at_once(nnunet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alive: weakref.WeakSet[ast.AST] = weakref.WeakSet()
    n_before: list[int] = []
    parse = ast.parse

    def watched(source: bytes) -> ast.AST:
        n_before.append(len(alive))
        tree = parse(source)
        alive.add(tree)
        return tree

    monkeypatch.setattr(ast, "parse", watched)
    assert list(missing_in(nnunet)) == []
    assert n_before == [0] * len(NAMES)


@pytest.mark.parametrize(
    ("found", "problem"),
    [
        (InstalledNnunet(None), "nnU-Net is not installed. nnunet_assets was tested with nnunetv2 "),
        (InstalledNnunet("2.6.2", ("a.MetaLogger",)), "nnunetv2 2.6.2 lacks a.MetaLogger, which nnunet_assets uses. "),
        (InstalledNnunet("9.0"), ""),
    ],
)
def test_what_is_missing_is_told_by_version_before_any_work(
    found: InstalledNnunet, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found.problem.startswith(problem)
    monkeypatch.setattr(seams, "installed_nnunet", lambda: found)
    if problem:
        with pytest.raises(NnunetVersionError, match=rf"pip install nnunetv2=={TESTED[-1]}$"):
            seams.require_nnunet()
    else:
        seams.require_nnunet()
        assert not found.is_tested


def test_the_oldest_nnunet_that_is_taken_is_the_oldest_that_was_tested() -> None:
    setup = ConfigParser()
    if not setup.read(PACKAGE.parent / "setup.cfg"):
        pytest.skip("an installed package has no setup.cfg")
    (floor,) = re.findall(r"^nnunetv2>=(.+)$", setup["options"]["install_requires"], re.M)
    assert floor == TESTED[0]
