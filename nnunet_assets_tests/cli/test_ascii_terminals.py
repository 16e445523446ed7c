"""Commands in a process whose terminal and file names are ASCII, on a project that is not."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.project_folder.dagster_home import DAGSTER_YAML
from nnunet_assets_tests.cli.fold.test_opened_files import write_finished
from nnunet_assets_tests.prepared_builders import DATASET, write_prepared
from nnunet_assets_tests.project_builders import documents, write_project

ASCII = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "TERM": "dumb"}
DECLARED = documents(
    f"""
    # Prüfung 患者
    type: nnunet_assets.components.NnunetDataset
    attributes:
      dataset: {DATASET}
      folds: 2
    """,
    f"""
    type: nnunet_assets.components.CrossValidationExperiment
    attributes:
      dataset: {DATASET}
      configuration: 3d_fullres
      description: Für Prüfungen – 患者
    """,
)
TORCH_IS_NOT_ASKED = "installation.torch_findings = lambda _: iter(())"
CODE = f"""
import sys
from nnunet_assets.cli.diagnosis import installation
from nnunet_assets.cli.main import main
{TORCH_IS_NOT_ASKED}
for command in sys.argv[1:]:
    try:
        main(command.split())
    except SystemExit as end:
        print("ended with", end.code, flush=True)
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with letters beyond ASCII in its place and in its files, and a finished fold."""
    folder = tmp_path_factory.mktemp("Prüfung_患者")
    roots, _ = write_prepared(folder)
    write_finished(roots)
    write_project(folder, {"defs.yaml": DECLARED})
    (folder / ".dagster").mkdir()
    (folder / ".dagster" / "dagster.yaml").write_text(f"# Für Prüfungen – 患者\n{DAGSTER_YAML}", encoding="utf-8")
    return folder


def run(project: Path, *commands: str) -> Sequence[str]:
    """Returns what each printed, all in one process."""
    places = Roots(*(project / name for name in ("raw", "preprocessed", "results"))).environment()
    environment = {**os.environ, **places, **ASCII}
    done = subprocess.run(
        [sys.executable, "-c", CODE, *commands], cwd=project, env=environment, capture_output=True, check=False
    )
    shown = (done.stdout + done.stderr).decode("ascii")
    assert "Traceback" not in shown, shown
    assert done.returncode == 0, shown
    return done.stdout.decode("ascii").split("ended with ")


def test_no_command_ends_in_a_traceback(project: Path) -> None:
    checked, listed, dry, chosen, doctor, _ = run(
        project,
        "check-config",
        "list",
        "train 951 3d_fullres 1 -device cpu --dry-run",
        f"best {DATASET}",
        "doctor",
    )
    assert "3d_fullres" in checked
    assert "without a run so far" in listed
    assert "Training from the beginning." in dry
    assert "Pr??fung" in dry  # a path, of whose bytes nobody knows the letters
    assert chosen.startswith(("0", "1", "2"))
    assert "Dagster's daemon" in doctor
