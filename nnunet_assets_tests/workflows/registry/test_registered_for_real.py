"""A trained model, registered, loaded as anybody loads it, and served: with real nnU-Net and a real registry."""

import base64
import shutil
import warnings
from pathlib import Path

import pytest

from nnunet_assets.core.registry.gate import RULES
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig, VariantConfig
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.registry.download import download_version
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.registry.register_declared import register_declared
from nnunet_assets_tests.assets.graphs import declared
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, TINY, PhantomProject

pytestmark = [*MLFLOW_WARNINGS, pytest.mark.faults]

CONFIG = ExperimentConfig(
    dataset=DATASET,
    configuration=EXPERIMENT.configuration,
    variant=VariantConfig.model_validate({"name": "tiny", **TINY}),
    device="cpu",
    register="Phantom organ",
)


def test_a_trained_model_is_the_champion_predicts_in_a_bare_process_and_answers_with_bytes(
    trained_phantom: PhantomProject, with_store: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    project = trained_phantom.copy_to(tmp_path / "nnunet")
    roots = {name: str(folder) for name, folder in project.roots.environment().items()}
    settings = Settings.from_environment(tmp_path, {**dict(with_store.variables), **roots})
    destination = Destination.of(settings)
    declarations = declared([DatasetConfig(dataset=DATASET, folds=2)], [CONFIG])

    registered = register_declared(settings, declarations, CONFIG, destination, progress=RecordedProgress())

    assert registered.is_champion, registered.headline()
    assert {rule: text.partition(":")[0] for rule, text in registered.version.gate.items()} == dict.fromkeys(
        sorted(RULES), "passed"
    )
    assert registered.version.numbers["dice"].endswith("(6 cases)")
    again = register_declared(settings, declarations, CONFIG, destination, progress=RecordedProgress())
    assert (again.version.version, again.version.digest) == (1, registered.version.digest)

    package = download_version(destination, "models:/Phantom organ@champion", tmp_path / "cache")
    assert package.description.members[0].folds == ("fold_0", "fold_1")
    # Without anything of the training: MLflow has its own copy.
    shutil.rmtree(tmp_path / "nnunet" / "results")
    for name in roots:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", destination.tracking_uri)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import mlflow
        import pandas as pd
        from fastapi.testclient import TestClient
        from mlflow.exceptions import MlflowException
        from mlflow.pyfunc.scoring_server import init

        model = mlflow.pyfunc.load_model("models:/Phantom organ@champion")
        image = sorted((project.roots.raw / DATASET / "imagesTr").glob("*_0000.nii.gz"))[0].read_bytes()
        row = pd.DataFrame({"channel_0000": [image]})
        (mask,) = model.predict(row, params={"device": "cpu"})["mask"]
        assert mask[:2] == b"\x1f\x8b"  # a gzipped file
        with TestClient(init(model)) as client:
            sent = {"columns": ["channel_0000"], "data": [[base64.b64encode(image).decode()]]}
            answer = client.post("/invocations", json={"dataframe_split": sent, "params": {"device": "cpu"}})
            assert answer.status_code == 200, answer.text
            assert base64.b64decode(answer.json()["predictions"][0]["mask"]) == mask
            # A path is bytes that are no image, and nothing that is opened.
            sent["data"] = [[base64.b64encode(b"/etc/passwd").decode()]]
            answer = client.post("/invocations", json={"dataframe_split": sent})
            assert (answer.status_code, "no case that nnU-Net can read" in answer.text) == (400, True)
        with pytest.raises(MlflowException, match="The device 'tpu' is not known"):
            model.predict(row, params={"device": "tpu"})
