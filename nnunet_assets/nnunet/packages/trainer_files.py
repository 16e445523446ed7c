"""The sources of the trainers that a model needs where this package is not installed, as files by their paths.

A registered model that MLflow loads builds its network by nnU-Net, which asks the trainer's class for it. nnU-Net has
its own trainers; any other is taken along: ours as the folder that they are, one of a project's own as its file, with
what that file imports from beside it. In a package they are not: whoever predicts with that has them.

The layout is that of `tracking.registry.served_model`: `nnunet_assets/trainers/...` and `own/FILE.py`, with `own_2/...`
for a second folder of trainers: nnU-Net keeps the modules of two apart, which may have files of one name.
"""

import ast
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.errors import PackageError
from nnunet_assets.nnunet.trainer.trainer_names import trainer_folders
from nnunet_assets.nnunet.trainer.trainer_sources import FoundTrainers, TrainerSource, found_trainers
from nnunet_assets.processes.variables import OWN_TRAINERS

OURS, OWN = "nnunet_assets", "own"


@dataclass(frozen=True)
class TrainerFiles:
    """What goes along with a model.

    Attributes:
        files: Content by path, in the layout above; empty: nnU-Net has all that is needed.
        own: The files of a project's own among them.
    """

    files: Mapping[str, bytes]
    own: tuple[Path, ...]


def trainer_files(trainers: Iterable[str], variables: Mapping[str, str]) -> TrainerFiles:
    """Returns the sources of what trainers need beside nnU-Net.

    Args:
        trainers: Their names.
        variables: The environment of the processes that trained with them.

    Raises:
        PackageError: A trainer is in none of the folders that the environment names.
    """
    nnunets = next(iter(trainer_folders({})))
    found = found_trainers(variables)
    files: dict[str, bytes] = {}
    own: dict[Path, None] = {}
    needed = list(_needed(trainers, found))
    places = _places(variables, {source.folder for source in needed} - {OWN_TRAINERS, nnunets})
    for source in needed:
        if source.folder == OWN_TRAINERS:
            files |= dict(_ours())
        elif source.folder != nnunets:
            for path in _with_imports(source.file, source.folder):
                files[f"{places[source.folder]}/{path.relative_to(source.folder).as_posix()}"] = path.read_bytes()
                own[path] = None
    return TrainerFiles(files, tuple(own))


def _needed(trainers: Iterable[str], found: FoundTrainers) -> Iterator[TrainerSource]:
    """Yields where each trainer stands, and each class that it derives from."""
    for name in trainers:
        if name not in found.classes:
            raise PackageError(
                f"The trainer {name} is in none of the folders in which nnU-Net looks, so that its source cannot go "
                "along with the model. Name its folder in nnUNet_extTrainer, or put its file into `trainers` of the "
                "project."
            )
        yield from (found.classes[base] for base in found.lineage(name))


def _places(variables: Mapping[str, str], folders: Collection[Path]) -> dict[Path, str]:
    """Returns where each of some folders of trainers lies beside the model, in nnU-Net's order."""
    ordered = [folder for folder in dict.fromkeys(trainer_folders(variables)) if folder in folders]
    return {folder: OWN if number == 1 else f"{OWN}_{number}" for number, folder in enumerate(ordered, 1)}


def _ours() -> Iterator[tuple[str, bytes]]:
    """Yields this package's trainers as a package of their own, which knows nothing of the rest."""
    yield f"{OURS}/__init__.py", b'"""The trainers of nnunet_assets alone."""\n'
    for path in sorted(OWN_TRAINERS.rglob("*.py")):
        yield f"{OURS}/trainers/{path.relative_to(OWN_TRAINERS).as_posix()}", path.read_bytes()


def _with_imports(file: Path, folder: Path) -> list[Path]:
    """Returns a file and those of its folder that it imports, over however many of them, with their packages."""
    found = [file]
    for path in found:  # which grows
        imported = (folder.joinpath(*name.split(".")) for name in _imported(path, folder))
        for place in (path.with_suffix(""), *imported):
            packages = [above / "__init__.py" for above in (place, *place.parents) if folder in above.parents]
            for candidate in (place.with_suffix(".py"), *packages):
                if candidate.is_file() and candidate not in found:
                    found.append(candidate)
    return found


def _imported(path: Path, folder: Path) -> Iterator[str]:
    """Yields the names of modules that a file imports, from the folder on, with what is imported from them."""
    package = path.relative_to(folder).parts[:-1]
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) + 1 - node.level] if node.level else ()
            module = (*above, *filter(None, [node.module]))
            yield from filter(None, (".".join(module), *(".".join((*module, one.name)) for one in node.names)))
