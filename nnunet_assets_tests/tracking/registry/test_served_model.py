"""What a served model answers to requests that are none; a real one predicts in `test_registered_for_real`."""

import base64
import gzip
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from nnunet_assets.nnunet.packages.package_writing import write_package
from nnunet_assets.tracking.registry.model_folder import mlflow_folder
from nnunet_assets_tests.evaluation_builders import REFERENCE, write_case
from nnunet_assets_tests.package_builders import ABOUT, model_of, write_model
from nnunet_assets_tests.tracking.servers import MLFLOW_WARNINGS

pytestmark = [*MLFLOW_WARNINGS, pytest.mark.filterwarnings("ignore")]  # MLflow's server, on what it imports


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file: Path = tmp_path_factory.mktemp("image") / "case_0000.nii.gz"
    write_case(file, REFERENCE)
    return file


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, image: Path) -> Iterator[Any]:
    """MLflow's own server of a model that was never trained, in this process."""
    folder = tmp_path_factory.mktemp("served")
    package = write_package(model_of(write_model(folder)), ABOUT, folder / "package").folder
    with warnings.catch_warnings(), mlflow_folder(package, [image.read_bytes()]) as place:
        warnings.simplefilter("ignore")
        import mlflow
        from fastapi.testclient import TestClient
        from mlflow.pyfunc.scoring_server import init

        with TestClient(init(mlflow.pyfunc.load_model(str(place)))) as client:
            yield client


def sent(value: Any, column: str = "channel_0000", **others: Any) -> dict[str, Any]:
    return {"dataframe_split": {"columns": [column], "data": [[value]]}, **others}


def text_of(answer: Any) -> str:
    """Returns what a server says, which is no traceback and no place of its machine."""
    assert 400 <= answer.status_code < 600
    assert "Traceback" not in answer.text
    assert "stack_trace" not in answer.text
    assert "nnunet_served-" not in answer.text
    return str(answer.json()["message"])


def encoded(content: bytes) -> str:
    return base64.b64encode(content).decode()


def test_a_path_is_bytes_that_are_no_image_and_is_opened_nowhere(server: Any, tmp_path: Path) -> None:
    pipe = tmp_path / "canary.nii.gz"
    os.mkfifo(pipe)  # whoever opens it waits for ever
    for request in (
        sent(str(pipe)),
        sent(encoded(str(pipe).encode())),
        {"dataframe_records": [{"channel_0000": str(pipe)}]},
        {"instances": [{"channel_0000": str(pipe)}]},
        {"inputs": {"channel_0000": [str(pipe)]}},
    ):
        assert text_of(server.post("/invocations", json=request))
    table = server.post("/invocations", content=f"channel_0000\n{pipe}\n", headers={"content-type": "text/csv"})
    assert "Row 0 has str as channel 0, and not the bytes of a file" in text_of(table)


@pytest.mark.parametrize(
    "request_of",
    [
        {},
        [],
        sent(None),
        sent(5),
        sent([1, 2]),
        sent("not base64"),
        sent("!!!!"),
        sent(""),
        sent("AAAA", column="channel_0001"),
        sent("AAAA", params={"device": 5}),
        {"inputs": [1, 2]},
        {"dataframe_split": {"columns": ["channel_0000"], "data": [["AAAA", "AAAA"]]}},
    ],
)
def test_a_broken_request_is_answered_in_a_sentence(server: Any, request_of: Any) -> None:
    assert text_of(server.post("/invocations", json=request_of))


def test_what_is_no_image_and_no_device_is_said(server: Any, image: Path) -> None:
    whole = image.read_bytes()
    empty = gzip.compress(b"no image")
    text = text_of(server.post("/invocations", json=sent(encoded(empty))))
    assert "Row 0 is no case that nnU-Net can read as .nii.gz: RuntimeError: " in text
    device = text_of(server.post("/invocations", json=sent(encoded(whole), params={"device": "tpu"})))
    assert "The device 'tpu' is not known. It is auto, cpu, cuda, cuda:1 or mps." in device


def test_an_image_that_did_not_come_whole_is_refused_although_nnunets_reader_takes_it(
    server: Any, tmp_path: Path
) -> None:
    import SimpleITK

    noise = np.random.default_rng(1).normal(size=(32, 32, 32)).astype(np.float32)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(noise), str(tmp_path / "whole.nii.gz"))
    content = (tmp_path / "whole.nii.gz").read_bytes()
    damaged = content[:5000] + bytes(100) + content[5100:]
    for torn in (content[: len(content) // 2], content[:-4], damaged, content[10:]):
        text = text_of(server.post("/invocations", json=sent(encoded(torn))))
        assert "the file of channel 0 is cut short, damaged or not gzipped (" in text


def test_a_prediction_that_fails_is_a_sentence_and_the_next_request_is_answered(server: Any, image: Path) -> None:
    for _ in range(2):  # the weights are of no network
        answer = server.post("/invocations", json=sent(encoded(image.read_bytes())))
        assert answer.status_code == 500
        assert "Row 0 could not be predicted: " in text_of(answer)
        assert "The server's log says more." in text_of(answer)
    assert server.get("/ping").status_code == 200
