"""A version loaded as anybody would load it: by a bare process, which knows nothing of the project.

`python -m nnunet_assets.tracking.registry.round_trip FOLDER PARENT_PID`

Beside whoever calls MLflow himself, this is the one place that runs a version's code, and it runs one that was made
here a moment ago. No variable of nnU-Net's is set, and the current folder is another. A GPU computes by the algorithms
that every process takes, as on the other side of the check: the fastest ones are another choice in another process.
"""

import os
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.processes.child import ChildResult, child_main, run_child


@dataclass(frozen=True)
class CaseOfRoundTrip:
    """A case to predict.

    Attributes:
        images: By channel.
        file: Where the mask's bytes go.
    """

    images: tuple[Path, ...]
    file: Path


@dataclass(frozen=True)
class RoundTripRequest:
    """What a bare process is asked for.

    Attributes:
        address: Of the version.
        device: `auto`, `cpu`, `cuda` or `mps`.
        cases: To be predicted.
    """

    address: str
    device: str
    cases: tuple[CaseOfRoundTrip, ...]


def predict_bare(
    tracking_uri: str,
    address: str,
    device: str,
    cases: Sequence[CaseOfRoundTrip],
    *,
    folder: Path,
    environment: Mapping[str, str],
) -> ChildResult:
    """Has a bare process load a version and predict cases with it; returns how that ended.

    Args:
        folder: Takes the request and the output.
        tracking_uri: Where the registry is.
        address: Of the version.
        device: `auto`, `cpu`, `cuda` or `mps`.
        cases: To be predicted.
        environment: With what MLflow needs; what it has of nnU-Net's and of the project is left out.
    """
    bare = {name: value for name, value in environment.items() if not name.lower().startswith("nnunet")}
    request = RoundTripRequest(address, device, tuple(cases))
    # By the environment, and not in the request: it may hold a password.
    bare["MLFLOW_TRACKING_URI"] = tracking_uri
    return run_child("nnunet_assets.tracking.registry.round_trip", request, folder=folder, environment=bare)


def load_and_predict(request: RoundTripRequest) -> None:
    """Loads the version by MLflow's own function, and writes the masks."""
    from nnunet_assets.tracking.store.client import patient, prepare_environment

    prepare_environment()
    with tempfile.TemporaryDirectory(prefix="nnunet_assets-") as elsewhere, warnings.catch_warnings():
        os.chdir(elsewhere)
        warnings.simplefilter("ignore")  # MLflow's own, on type hints
        import mlflow
        import pandas as pd

        compute_repeatably()

        with patient(3600):
            model = mlflow.pyfunc.load_model(request.address)
        print(f"{request.address} is loaded.", flush=True)
        for case in request.cases:
            row = {f"channel_{k:04d}": [image.read_bytes()] for k, image in enumerate(case.images)}
            masks = model.predict(pd.DataFrame(row), params={"device": request.device})
            write_atomically(case.file, masks["mask"][0])
            print(f"{case.file.name} is predicted.", flush=True)
        os.chdir("/")


def compute_repeatably() -> None:
    """Takes back what every predictor of nnU-Net asks of a GPU when it is made: the fastest algorithms.

    The version's code makes them when it predicts first, so that it is their class which is told.
    """
    import torch
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    make = nnUNetPredictor.__init__

    def make_repeatable(self: Any, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options)
        torch.backends.cudnn.benchmark = False
        torch.backends.cudnn.deterministic = True

    nnUNetPredictor.__init__ = make_repeatable


if __name__ == "__main__":
    child_main(RoundTripRequest, load_and_predict)
