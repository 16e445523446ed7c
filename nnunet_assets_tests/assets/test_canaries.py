"""What is made to be shown says nothing of the machine that made it: no absolute path, no host, no user."""

import socket
from dataclasses import replace
from pathlib import Path

import dagster as dg
import numpy as np
import pytest
from click.testing import CliRunner

from nnunet_assets.cli.main import main
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.fold.commit import commit_fold
from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.tracking.store import destination
from nnunet_assets_tests.assets.graphs import declared, graph, materialized
from nnunet_assets_tests.builders import build_manifest
from nnunet_assets_tests.canaries import FOLDER, HOST, USER, found_in
from nnunet_assets_tests.evaluation_builders import HIGHER, references_of, write_case, write_fold
from nnunet_assets_tests.intake_defects import DEFECTS
from nnunet_assets_tests.raw_builders import write_tiny_dataset
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = MLFLOW_WARNINGS

DATASET = "Dataset001_Tiny"
PLAIN = ExperimentConfig(dataset=DATASET, configuration="2d")
SEED_7 = PLAIN.model_copy(update={"variant": VariantConfig(name="seed7", seed=7)})
TORN = PLAIN.model_copy(update={"variant": VariantConfig(name="torn", num_epochs=5)})
EXPERIMENTS = [PLAIN, SEED_7, TORN]
GRAPH = graph(declared([DatasetConfig(dataset=DATASET, folds=2)], EXPERIMENTS))
FOLD_ASSETS = ("cv_summary", "cv_tables", "cv_evaluation", "cv_figures", "cv_report")


PLAIN_NAME, SIGNS = "a folder", "a folder of a name with spaces & signs"


@pytest.fixture(params=[PLAIN_NAME, SIGNS])
def home(
    request: pytest.FixtureRequest, tmp_path: Path, stores_in_memory: None, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A project in a folder that bears the user's name, on a machine with a name."""
    monkeypatch.setattr(socket, "gethostname", lambda: HOST)
    monkeypatch.setenv("USER", USER)
    monkeypatch.setenv("HOME", str(tmp_path / USER))
    name = FOLDER if request.param == PLAIN_NAME else f"{FOLDER} of Jane & (John)"
    project = tmp_path / USER / name
    project.mkdir(parents=True)
    return project


def roots_of(project: Path) -> Roots:
    data = project / "data"
    return Roots(data / "nnUNet_raw", data / "nnUNet_preprocessed", data / "nnUNet_results")


def write_folds(roots: Roots, experiment: Experiment, shift: float) -> None:
    """Writes two finished folds with files that are missing, torn, or of another shape: everything complains."""
    for fold, cases in (("fold_0", "abcd"), ("fold_1", "efgh")):
        scores = {"1": 0.5 + shift, "2": 0.4 + shift}
        folder = write_fold(roots, experiment, fold, dict.fromkeys(cases, HIGHER), scores)
        validation = folder / "validation"
        (validation / f"{cases[0]}.nii.gz").unlink()
        (validation / f"{cases[1]}.nii.gz").write_bytes(b"torn")
        write_case(validation / f"{cases[2]}.nii.gz", np.zeros((3, 4, 5), np.uint8))
        write_case(references_of(roots, experiment) / f"{cases[3]}.nii.gz", np.full((10, 8, 6), 9, np.uint8))
        details = {
            "validation_cases": sorted(cases),
            "host": HOST,
        }
        commit_fold(folder, replace(build_manifest(folder), details=details))
        params = {"options": {"pretrained_weights": str(folder / "w.pth")}, "device": {"name": "cpu", "kind": "cpu"}}
        append_record(journal_path(folder), "start", {"attempt": "a", "params": params})


def materialize(project: Path, instance: dg.DagsterInstance, *names: str) -> dg.ExecuteInProcessResult:
    return materialized(GRAPH, *names, folder=project, instance=instance)


def shown_folders(roots: Roots) -> list[Path]:
    return sorted(path for path in roots.results.rglob("nnunet_assets") if path.is_dir())


# Drawing takes seconds: each of the two tests of everything that is made of folds has one of the names.
@pytest.mark.parametrize("home", [SIGNS], indirect=True)
def test_pages_tables_and_figures_of_folds_name_no_place(home: Path, instance: dg.DagsterInstance) -> None:
    roots = roots_of(home)
    for shift, config in enumerate(EXPERIMENTS):
        write_folds(roots, config.identity, shift / 10)
    materialize(home, instance, *FOLD_ASSETS)
    (TORN.identity.summary_folder(roots) / "cv_summary.json").write_text("{")

    result = materialize(home, instance, "comparison", "dataset_report")

    assert result.success
    shown = shown_folders(roots)
    assert len(shown) == 4
    files = [file for folder in shown for file in folder.rglob("*") if file.is_file()]
    assert {file.suffix for file in files} >= {".html", ".csv", ".md", ".tex", ".parquet", ".svg", ".png", ".json"}
    assert {str(folder): found for folder in shown if (found := found_in(folder, home))} == {}


def test_the_intake_of_a_dataset_with_every_defect_names_no_place(home: Path, instance: dg.DagsterInstance) -> None:
    roots = roots_of(home)
    names = list(DEFECTS)
    folder = write_tiny_dataset(roots.raw, DATASET, n_cases=len(names) + 2)
    for index, name in enumerate(names):
        DEFECTS[name].spoil(folder, f"case_{index}")

    materialize(home, instance, "raw_dataset")

    intake = roots.preprocessed / DATASET / ".nnunet_assets" / "intake"
    pages = [file for file in intake.iterdir() if file.suffix in (".html", ".csv", ".md")]
    assert pages
    assert {name: found for name, found in found_in(intake, home).items() if Path(name).suffix != ".json"} == {}


@pytest.mark.parametrize("form", ["csv", "latex"])
def test_what_is_exported_names_no_place(home: Path, form: str) -> None:
    write_folds(roots_of(home), PLAIN.identity, 0.0)
    model = PLAIN.identity.model_folder(roots_of(home))
    output = home / "exported"
    output.mkdir()
    arguments = [
        "export",
        "-e",
        DATASET,
        "--source",
        "results",
        "--results",
        str(model),
        "--format",
        form,
        "-o",
        str(output / form),
    ]
    done = CliRunner().invoke(main, [*arguments, "--project", str(home)])
    assert (output / form).is_file(), done.output
    assert found_in(output, home) == {}


@pytest.mark.parametrize("home", [PLAIN_NAME], indirect=True)
def test_what_a_server_elsewhere_gets_names_no_place(
    home: Path, instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files go there by the user's word, whose case names and pictures they are; the machine's names stay."""
    monkeypatch.setattr(destination, "is_local", lambda _uri: False)
    monkeypatch.setenv("NNUNET_ASSETS_SHARE_FILES", "1")
    roots = roots_of(home)
    for shift, config in enumerate(EXPERIMENTS):
        write_folds(roots, config.identity, shift / 10)
    materialize(home, instance, *FOLD_ASSETS)
    materialize(home, instance, "comparison", "dataset_report")
    artifacts = home / "data" / "mlartifacts"
    assert len([file for file in artifacts.rglob("*") if file.is_file()]) > 20
    assert found_in(artifacts, home) == {}
