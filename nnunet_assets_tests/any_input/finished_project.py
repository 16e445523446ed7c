"""A project with everything in it that this package or nnU-Net writes, made once and put into a new place at will."""

import json
import os
import shutil
import sqlite3
import tarfile
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner

from nnunet_assets.cli.main import main

ARCHIVE = Path(__file__).parents[1] / "version_0_1_0" / "project.tar.xz"
OLD_PLACE = "/srv/nnunet/project"
DATASET, STACK = "Dataset900_Phantom", "Dataset901_Stack"
SHORT = f"{DATASET}/short/nnUNetTrainer__tinyPlans__3d_fullres"
ADOPTED = f"{DATASET}/nnUNetTrainer_1epoch__tinyPlans__3d_fullres"
NEVER_WRITTEN = {".b2nd", ".pkl", ".pth", ".tif", ".gz"}
"""Copies of a project share these."""


def make_template(folder: Path) -> Path:
    """Unpacks a project whose folds are finished, and adds what its version did not write yet."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    project = folder / "project"
    # A copy of each prepared case is all that is needed to be damaged.
    for preprocessed in (project / "data" / "nnUNet_preprocessed").iterdir():
        shutil.rmtree(preprocessed / "nnUNetPlans_3d_fullres")
    move(project, OLD_PLACE)
    run = CliRunner().invoke(main, ["accept", SHORT, "--note", "as it was", "--project", str(project)])
    assert run.exit_code == 0, run.output
    run = CliRunner().invoke(main, ["init", str(folder / "other")])
    assert run.exit_code == 0, run.output
    shutil.copytree(folder / "other" / ".dagster", project / ".dagster", dirs_exist_ok=True)
    shutil.rmtree(folder / "other")
    for name in ("mlflow", "daemon", "webserver"):
        record = {"pid": 2**22, "command": ["python", "-m", name], "url": None, "unit": None}
        (project / "run").mkdir(exist_ok=True)
        (project / "run" / f"{name}.json").write_text(json.dumps(record))
    (project / "data" / "pseudonym_salt").write_bytes(bytes(range(32)))
    return project


def copy_of(template: Path, project: Path) -> Path:
    """Puts a copy of the template into a new place, as one who moves a project has to."""

    def copied(source: str, target: str) -> str:
        if Path(source).suffix in NEVER_WRITTEN:
            os.link(source, target)
            return target
        return str(shutil.copy2(source, target))

    shutil.copytree(template, project, copy_function=copied)
    move(project, str(template))
    return project


def put_back(template: Path, project: Path, changed: Iterable[Path]) -> bool:
    """Makes a copied project as it was where these of its files were changed; False: a new copy is needed.

    A database may be open still, and holds its place.
    """
    for path in sorted(path for path in changed if path.is_relative_to(project)):
        source = template / path.relative_to(project)
        if path.is_dir() and not path.is_symlink() and not source.is_dir():
            shutil.rmtree(path)
        elif os.path.lexists(path) and not source.is_dir():
            path.unlink()
        if source.is_file():
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, path)
            if str(template) in (text := path.read_bytes().decode(errors="ignore")) and _names_places(path):
                path.write_text(text.replace(str(template), str(project)))
        elif source.is_dir():
            path.mkdir(exist_ok=True)
    databases = [path.relative_to(template) for path in template.rglob("*.db")]
    stats = [((template / path).stat(), (project / path).stat()) for path in databases if (project / path).exists()]
    is_same = all(old.st_size == new.st_size for old, new in stats) and len(stats) == len(databases)
    return is_same and not any(path.suffix == ".db" for path in changed)


def _names_places(path: Path) -> bool:
    return path.name in (".env", "mlflow_run.json", "request.json")


def move(project: Path, from_place: str) -> None:
    """Has a copied project name its new place."""
    for file in filter(_names_places, files_in(project)):
        file.write_text(file.read_text().replace(from_place, str(project)))
    with closing(sqlite3.connect(project / "data" / "mlflow.db")) as database, database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            database.execute(f"update {table} set {column} = replace({column}, ?, ?)", (from_place, str(project)))


def files_in(project: Path) -> Iterator[Path]:
    """Yields every file, in a fixed order."""
    yield from (path for path in sorted(project.rglob("*")) if path.is_file())
