"""What docstrings and comments name of the package, held against what there is."""

import re
from pathlib import Path

import nnunet_assets

PACKAGE = Path(str(nnunet_assets.__file__)).parent
TOP = {path.stem for path in PACKAGE.iterdir()}


def is_there(name: str) -> bool:
    """Tells whether a dotted name, without the package's own, leads to a module, or to names that stand in one."""
    place, rest = PACKAGE, name.split(".")
    while rest and ((place / rest[0]).is_dir() or (place / f"{rest[0]}.py").is_file()):
        place /= rest.pop(0)
    if not rest:
        return True
    module = place.with_suffix(".py")
    return module.is_file() and all(re.search(rf"\b{part}\b", module.read_text()) for part in rest)


def test_every_module_that_is_named_with_its_folder_exists() -> None:
    named = [
        (file, name)
        for file in PACKAGE.rglob("*.py")
        for name in re.findall(r"`([a-z_]+(?:\.\w+)+)`", file.read_text())
        if name.partition(".")[0] in TOP
    ]
    assert len(named) > 20
    assert [f"{file.relative_to(PACKAGE)}: {name}" for file, name in named if not is_there(name)] == []
