"""A trained model, registered, loaded as anybody loads it, and served: with real nnU-Net and a real registry."""

import base64
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.registry.gate import RULES
from nnunet_assets.declarations.config import DatasetConfig, ExperimentConfig
from nnunet_assets.declarations.sections.variant_config import VariantConfig
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.registry.download import download_version
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.registry.register import Registered
from nnunet_assets.workflows.registry.register_declared import register_declared
from nnunet_assets_tests.assets.graphs import declared
from nnunet_assets_tests.recorded_progress import RecordedProgress
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS, free_port
from nnunet_assets_tests.training_builders import DATASET, EXPERIMENT, TINY, PhantomProject

pytestmark = [*MLFLOW_WARNINGS, pytest.mark.faults, pytest.mark.timeout(3000)]

ADDRESS = "models:/Phantom organ@champion"
CONFIG = ExperimentConfig(
    dataset=DATASET,
    configuration=EXPERIMENT.configuration,
    variant=VariantConfig.model_validate({"name": "tiny", **TINY}),
    device="cpu",
    register="Phantom organ",
)


@dataclass(frozen=True)
class RealVersion:
    """A version of really trained folds, which are gone: MLflow has its own copy.

    Attributes:
        first: What its registration found.
        again: What another registration of the same found.
        destination: Where it is.
        images: Of two cases.
        masks: What plain nnU-Net predicted of them with the folds.
        folder: For whatever else.
    """

    first: Registered
    again: Registered
    destination: Destination
    images: tuple[Path, ...]
    masks: tuple[bytes, ...]
    folder: Path


@pytest.fixture(scope="module")
def real(trained_phantom: PhantomProject, new_store: bytes, tmp_path_factory: pytest.TempPathFactory) -> RealVersion:
    folder = tmp_path_factory.mktemp("registered")
    (folder / "data").mkdir()
    (folder / "data" / "mlflow.db").write_bytes(new_store)
    project = trained_phantom.copy_to(folder / "nnunet")
    roots = {name: str(root) for name, root in project.roots.environment().items()}
    settings = Settings.from_environment(folder, roots)
    destination = Destination.of(settings)
    declarations = declared([DatasetConfig(dataset=DATASET, folds=2)], [CONFIG])
    first, again = (
        register_declared(settings, declarations, CONFIG, destination, progress=RecordedProgress()) for _ in range(2)
    )
    images = tuple(sorted((project.roots.raw / DATASET / "imagesTr").glob("*_0000.nii.gz"))[:2])
    masks = _by_nnunet(EXPERIMENT.model_folder(project.roots), images, folder / "by_nnunet")
    shutil.rmtree(folder / "nnunet" / "results")
    return RealVersion(first, again, destination, images, masks, folder)


def _by_nnunet(model: Path, images: tuple[Path, ...], output: Path) -> tuple[bytes, ...]:
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    output.mkdir()
    predictor = nnUNetPredictor(device=torch.device("cpu"), allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model), (0, 1), "checkpoint_final.pth")
    files = [output / f"case_{k}.nii.gz" for k, _ in enumerate(images)]
    names = [str(file).removesuffix(".nii.gz") for file in files]
    predictor.predict_from_files_sequential([[str(image)] for image in images], names, save_probabilities=False)
    return tuple(file.read_bytes() for file in files)


@contextmanager
def bare_environment(real: RealVersion) -> Iterator[dict[str, str]]:
    """What a server knows: the registry, and nothing of nnU-Net's folders or of the project."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().startswith("nnunet")}
    yield {**environment, "MLFLOW_TRACKING_URI": real.destination.tracking_uri, "MLFLOW_DISABLE_TELEMETRY": "true"}


def test_a_trained_model_is_the_champion_and_is_registered_once(real: RealVersion) -> None:
    assert real.first.is_champion, real.first.headline()
    assert {rule: text.partition(":")[0] for rule, text in real.first.version.gate.items()} == dict.fromkeys(
        sorted(RULES), "passed"
    )
    assert real.first.version.numbers["dice"].endswith("(6 cases)")
    assert (real.again.version.version, real.again.version.digest) == (1, real.first.version.digest)
    package = download_version(real.destination, ADDRESS, real.folder / "cache")
    assert package.description.members[0].folds == ("fold_0", "fold_1")


def test_it_predicts_by_pyfunc_what_nnunet_does(
    real: RealVersion, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with bare_environment(real) as environment:
        for name in os.environ.keys() - environment.keys():
            monkeypatch.delenv(name)
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", real.destination.tracking_uri)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import mlflow
            import pandas as pd
            from mlflow.exceptions import MlflowException

            model = mlflow.pyfunc.load_model(ADDRESS)
            rows = pd.DataFrame({"channel_0000": [image.read_bytes() for image in real.images]})
            assert tuple(model.predict(rows, params={"device": "cpu"})["mask"]) == real.masks
            with pytest.raises(MlflowException, match="The device 'tpu' is not known"):
                model.predict(rows, params={"device": "tpu"})


@contextmanager
def served(real: RealVersion, folder: Path) -> Iterator[str]:
    """Yields the address of `mlflow models serve`, which runs in another folder."""
    port = free_port()
    words = ["models", "serve", "-m", ADDRESS, "--env-manager", "local", "-h", "127.0.0.1", "-p", str(port), "-w", "1"]
    with bare_environment(real) as environment, (folder / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", *words],
            env={
                **environment,
                "MLFLOW_SCORING_SERVER_REQUEST_TIMEOUT": "600",
                # MLflow looks for uvicorn there.
                "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}",
            },
            cwd=folder,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            uri, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 300
            while not _answers(uri):
                assert process.poll() is None, (folder / "serve.log").read_text()
                assert time.monotonic() < deadline, (folder / "serve.log").read_text()
                time.sleep(0.2)
            yield uri
        finally:
            with suppress(ProcessLookupError):  # it ended by itself
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answers(uri: str) -> bool:
    try:
        with urllib.request.urlopen(f"{uri}/ping", timeout=5):
            return True
    except OSError:
        return False


def asked(uri: str, body: bytes, kind: str = "application/json") -> tuple[int, str]:
    request = urllib.request.Request(f"{uri}/invocations", body, {"Content-Type": kind})
    try:
        with urllib.request.urlopen(request, timeout=600) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def row(*values: str, **others: Any) -> bytes:
    content: Mapping[str, Any] = {"columns": ["channel_0000"], "data": [[value] for value in values]}
    return json.dumps({"dataframe_split": content, **others}).encode()


def test_a_server_of_it_takes_bytes_and_answers_with_the_bytes_of_nnunets_masks(
    real: RealVersion, tmp_path: Path
) -> None:
    images = [base64.b64encode(image.read_bytes()).decode() for image in real.images]
    pipe = tmp_path / "canary.nii.gz"
    os.mkfifo(pipe)  # whoever opens it waits for ever
    named = base64.b64encode(str(pipe).encode()).decode()
    with served(real, tmp_path) as uri:
        status, text = asked(uri, row(*images, params={"device": "cpu"}))
        assert status == 200, text
        predictions = json.loads(text)["predictions"]
        assert tuple(base64.b64decode(one["mask"]) for one in predictions) == real.masks
        for body in (
            row(str(pipe)),
            row(named),
            json.dumps({"inputs": {"channel_0000": [str(pipe)]}}).encode(),
            json.dumps({"dataframe_records": [{"channel_0000": str(real.images[0])}]}).encode(),
        ):
            status, text = asked(uri, body)
            assert (status, "Traceback" in text) == (400, False), text
        status, text = asked(uri, f"channel_0000\n{pipe}\n".encode(), "text/csv")
        assert (status, "and not the bytes of a file" in text, "Traceback" in text) == (400, True, False), text
        for body in (b"", b"{", b"[]", row("AAAA"), row(images[0][: len(images[0]) // 8 * 4]), b"\xff" * 1000):
            status, text = asked(uri, body)
            assert (status, "Traceback" in text) == (400, False), text
        # Whatever was asked in between, it goes on.
        status, text = asked(uri, row(images[1]))
        assert base64.b64decode(json.loads(text)["predictions"][0]["mask"]) == real.masks[1]
    assert [path.name for path in tmp_path.iterdir() if path.name not in {"serve.log", pipe.name}] == []
