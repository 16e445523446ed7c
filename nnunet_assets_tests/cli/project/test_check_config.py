import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from nnunet_assets.cli.main import main
from nnunet_assets_tests.project_builders import DATASET, EXPERIMENT, documents, write_project


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without nnU-Net's variables the data lies in the project."""
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "NNUNET_ASSETS_PROJECT"):
        monkeypatch.delenv(name, raising=False)


def write_with_data(root: Path, files: dict[str, str]) -> Path:
    """Writes a project whose dataset is there."""
    (root / "data/nnUNet_raw/Dataset004_Hippocampus").mkdir(parents=True)
    return write_project(root, files)


def check(project: Path | None = None) -> Result:
    return CliRunner().invoke(main, ["check-config", *(["--project", str(project)] if project else [])])


def test_shows_what_is_declared(tmp_path: Path) -> None:
    experiment = EXPERIMENT + "  folds: [0, 2]\n  variant: {name: short, num_epochs: 5}\n"
    write_with_data(tmp_path, {"a/defs.yaml": documents(DATASET, experiment)})

    result = check(tmp_path)

    assert result.exit_code == 0
    words = result.stdout.split()
    assert "short/nnUNetTrainer__nnUNetPlans__2d" in result.stdout
    assert {"0,", "2", "auto", "num_epochs:", "5"} <= set(words)
    assert result.stdout.endswith(f"No errors in the declarations of {tmp_path}.\n")


def test_says_which_folds_train_in_jobs_and_how_many_at_once(tmp_path: Path) -> None:
    there = EXPERIMENT.replace("configuration: 2d", "configuration: 3d_fullres") + "  engine: {kind: slurm}\n"
    write_with_data(tmp_path, {"a/defs.yaml": documents(DATASET, EXPERIMENT, there)})
    limit = "at most 5 at once, those that wait there included (folds_at_once in engine.yaml)."
    assert f"\nThe folds of 1 of 2 experiments train in jobs of slurm, {limit}\n" in check(tmp_path).stdout
    (tmp_path / "engine.yaml").write_text("kind: slurm\nfolds_at_once: 40\n")
    assert "\nAll folds train in jobs of slurm, at most 40 at once" in check(tmp_path).stdout


ENSEMBLE = """\
type: nnunet_assets.components.Ensemble
attributes:
  dataset: Dataset004_Hippocampus
  name: both
  members: [nnUNetTrainer__nnUNetPlans__2d, nnUNetTrainer__nnUNetPlans__3d_fullres]
"""


def test_shows_the_ensembles_with_their_members(tmp_path: Path) -> None:
    other = EXPERIMENT.replace("configuration: 2d", "configuration: 3d_fullres")
    write_with_data(tmp_path, {"a/defs.yaml": documents(DATASET, EXPERIMENT, other, ENSEMBLE)})

    result = check(tmp_path)

    assert result.exit_code == 0
    shown = result.stdout.partition("Ensemble")[2].split()
    members = ["nnUNetTrainer__nnUNetPlans__2d", "nnUNetTrainer__nnUNetPlans__3d_fullres"]
    assert [word for word in shown if word.startswith(("ens", "nnU"))] == ["ensembles/both", *members]


def test_shows_every_error_and_ends_with_1(tmp_path: Path) -> None:
    write_project(tmp_path, {"a/defs.yaml": documents(DATASET + "  fold: 5\n", EXPERIMENT + "  device: gpu\n")})

    result = check(tmp_path)

    assert result.exit_code == 1
    assert result.stdout == ""
    assert [line.split(": ")[0] for line in result.stderr.splitlines()] == [
        "2 errors in the declarations of " + f"{tmp_path}/experiments:",
        "experiments/a/defs.yaml:4",
        "experiments/a/defs.yaml:10",
    ]


def test_a_project_without_declarations_is_no_error(tmp_path: Path) -> None:
    result = check(write_project(tmp_path, {}))

    assert (result.exit_code, result.stdout.split(". ")[0]) == (0, f"{tmp_path} declares no dataset yet")


def test_brackets_in_a_path_are_shown_as_they_are(tmp_path: Path) -> None:
    root = write_with_data(tmp_path / "[red]study", {"defs.yaml": DATASET})

    assert f"No errors in the declarations of {root}." in check(root).stdout


def test_the_project_comes_from_the_environment_or_is_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_with_data(tmp_path / "one", {"defs.yaml": DATASET})
    monkeypatch.chdir(write_project(tmp_path / "two", {}))

    assert f"{tmp_path / 'two'} declares no dataset yet" in check().stdout
    monkeypatch.setenv("NNUNET_ASSETS_PROJECT", str(root))
    assert f"No errors in the declarations of {root}." in check().stdout


def test_neither_dagster_nor_anything_heavy_is_imported(tmp_path: Path) -> None:
    root = write_with_data(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT)})
    code = (
        "import sys\nfrom nnunet_assets.cli.main import main\n"
        f"try: main(['check-config', '--project', {str(root)!r}])\n"
        "except SystemExit: print([m for m in ('dagster', 'mlflow', 'torch', 'numpy', 'pandas') if m in sys.modules])"
    )

    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert run.stdout.splitlines()[-1] == "[]"


class TestWhatIsNamedAndNotThere:
    def test_a_dataset_with_what_is_there_and_what_was_meant(self, tmp_path: Path) -> None:
        for name in ("Dataset004_Hipocampus", "Dataset005_Prostate"):
            (tmp_path / "data/nnUNet_raw" / name).mkdir(parents=True)

        result = check(write_project(tmp_path, {"defs.yaml": documents(DATASET, EXPERIMENT)}))

        assert result.exit_code == 2
        assert result.stdout.endswith(
            f"No errors in the declarations of {tmp_path}.\nBut not everything that they name is there:\n"
            "experiments/defs.yaml:3: attributes.dataset: Dataset004_Hippocampus is not in "
            f"{tmp_path}/data/nnUNet_raw. Did you mean Dataset004_Hipocampus? There are: Dataset004_Hipocampus, "
            "Dataset005_Prostate. Correct the name, or bring the data there: nnunet-assets import-dataset.\n"
        )

    def test_a_dataset_that_is_generated_or_prepared_needs_no_raw_data(self, tmp_path: Path) -> None:
        (tmp_path / "data/nnUNet_preprocessed/Dataset004_Hippocampus").mkdir(parents=True)
        phantom = DATASET.replace("Dataset004_Hippocampus", "Dataset900_Phantom") + "  phantom: {}\n"

        assert check(write_project(tmp_path, {"defs.yaml": documents(DATASET, phantom)})).exit_code == 0

    @pytest.mark.parametrize(
        ("line", "sentence"),
        [
            (
                "trainer: nnUNetTrainerV2",
                "attributes.trainer: nnU-Net has no trainer nnUNetTrainerV2. Did you mean nnUN",
            ),
            (
                "trainer: nnUNetTrainer_10epoch",
                "attributes.trainer: nnU-Net has no trainer nnUNetTrainer_10epoch. Did you",
            ),
            ("trainer: Mine", "attributes.trainer: nnU-Net has no trainer Mine. Its trainers are the classes below"),
            (
                "plans: nnUNetResEncUNetPlans",
                "attributes.plans: nnUNetResEncUNetPlans are no plans that nnU-Net makes, and {root}/data/"
                "nnUNet_preprocessed/Dataset004_Hippocampus/nnUNetResEncUNetPlans.json is not there. Did you mean",
            ),
            (
                "variant: {name: tuned, pretrained_weights: models/final.pth}",
                "attributes.variant.pretrained_weights: {root}/models/final.pth is not there. Correct the path.",
            ),
        ],
    )
    def test_a_choice_is_an_error(self, tmp_path: Path, line: str, sentence: str) -> None:
        result = check(write_with_data(tmp_path, {"defs.yaml": documents(DATASET, f"{EXPERIMENT}  {line}\n")}))

        assert result.exit_code == 1
        assert result.stdout.splitlines()[-1].startswith(
            f"experiments/defs.yaml:9: {sentence.format(root=tmp_path)}"
        ), result.stdout

    def test_plans_of_ones_own_and_trainers_of_ones_own_are_there(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "trainers").mkdir()
        (tmp_path / "trainers" / "mine.py").write_text("class Mine: pass\n")
        monkeypatch.setenv("nnUNet_extTrainer", str(tmp_path / "trainers"))
        plans = tmp_path / "data/nnUNet_preprocessed/Dataset004_Hippocampus/minePlans.json"
        plans.parent.mkdir(parents=True)
        plans.write_text("{}")

        own = f"{EXPERIMENT}  trainer: Mine\n  plans: minePlans\n"
        result = check(write_project(tmp_path, {"defs.yaml": documents(DATASET, own)}))

        assert result.exit_code == 0, result.output

    def test_a_variable_that_nobody_reads_is_shown(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("nnunet_raw", "/data")

        result = check(write_with_data(tmp_path, {"defs.yaml": DATASET}))

        assert (
            "nnunet_raw is set, and nnU-Net reads no variable of that name. Did you mean nnUNet_raw?" in result.stdout
        )
