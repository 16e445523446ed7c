"""`predict` as a user calls it; the child stands for nnU-Net."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import nnunet_assets
from nnunet_assets.cli.model.predict import predict
from nnunet_assets.errors import ConfigError, PredictionError
from nnunet_assets.nnunet.predictions import cases_run
from nnunet_assets.nnunet.predictions.prediction_request import PredictionFlags
from nnunet_assets_tests.predict_builders import NAME, PredictProject, write_predict_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PredictProject:
    for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results", "NNUNET_ASSETS_PROJECT"):
        monkeypatch.delenv(name, raising=False)
    project = write_predict_project(tmp_path)
    monkeypatch.setattr(cases_run, "run_child", project.child)
    monkeypatch.chdir(tmp_path)
    return project


def run(*arguments: object) -> Result:
    return CliRunner().invoke(predict, [str(argument) for argument in arguments], standalone_mode=False)


def test_nnunets_flags_are_known(project: PredictProject) -> None:
    flags = ["-step_size", "0.7", "--disable_tta", "--save_probabilities", "-device", "cpu", "--continue_prediction"]
    chosen = ["-f", "0", "1", "-chk", "checkpoint_final.pth"]
    result = run(NAME, "-i", project.images, "-o", "out", *chosen, *flags, "--no-previews")
    assert result.return_value == 0, result.exception
    assert "2 of 2 cases were predicted now on a fast GPU" in result.stdout
    (request,) = project.child.requests
    assert request.flags == PredictionFlags(step_size=0.7, use_mirroring=False, save_probabilities=True)
    assert request.members[0].folds == ("fold_0", "fold_1")
    assert (project.output / "new_1.npz").is_file()


@pytest.mark.parametrize("folds", [["-f", "1", "0"], ["-f", "1", "-f", "0"]])
def test_folds_are_named_as_nnunet_takes_them_wherever_they_stand(project: PredictProject, folds: list[str]) -> None:
    assert run(*folds, "-o", "out", "--no-previews", NAME, "images").return_value == 0
    assert project.child.requests[0].members[0].folds == ("fold_1", "fold_0")


def test_a_dry_run_says_what_would_be_predicted_and_writes_nothing(project: PredictProject) -> None:
    result = run(NAME, "images", "-o", "out", "--dry-run")
    assert "would predict 2 of 2 cases into out: new_1, new_2." in result.stdout
    content = json.loads(run(NAME, "images", "-o", "out", "--dry-run", "--json").stdout)
    assert (content["to_predict"], content["conflicts"]) == (["new_1", "new_2"], [])
    assert not project.output.exists()
    project.predict()
    assert (
        "It would be refused without --overwrite."
        in run(NAME, "images", "-o", "out", "--dry-run", "-step_size", "1").stdout
    )


def test_the_result_is_json_on_request(project: PredictProject) -> None:
    content = json.loads(run(NAME, "images", "-o", "out", "--json").stdout)
    assert (content["cases"], content["predicted_now"]) == (["new_1", "new_2"], 2)


def test_images_are_named_once(project: PredictProject) -> None:
    for images in ([], ["images", "-i", "images"]):
        assert isinstance(run(NAME, *images, "-o", "out").exception, ConfigError)


def test_files_and_patterns(project: PredictProject) -> None:
    assert run(NAME, *sorted(project.images.iterdir()), "-o", "a", "--no-previews").return_value == 0
    assert run(NAME, "images", "-o", "b", "--pattern", "{case}_{channel}.nii.gz", "--no-previews").return_value == 0
    assert project.child.predicted[0] == project.child.predicted[1]
    assert isinstance(run(NAME, "images", "-o", "c", "--pattern", "{case}.png").exception, PredictionError)


def test_python_does_the_same(project: PredictProject) -> None:
    done = nnunet_assets.predict(NAME, "images", "out", folds=[0], previews=False, device="cpu")
    assert (done.cases, done.n_predicted) == (("new_1", "new_2"), 2)
    again = nnunet_assets.predict(NAME, sorted(project.images.iterdir()), "out", folds=[0], previews=False)
    assert (again.n_predicted, again.digest) == (0, done.digest)
