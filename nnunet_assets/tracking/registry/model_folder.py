"""The folder of a model as MLflow reads it: MLflow's own files round a package, whose files are not copied for it.

What MLflow writes of this machine, the paths that things came from, is taken out again: it loads without.
"""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING

from nnunet_assets.core.model.model_description import MODEL_FILE, ModelDescription
from nnunet_assets.core.model.package_files import read_description

if TYPE_CHECKING:
    from mlflow.models import ModelSignature

PACKAGE_FOLDER = "package"
PACKAGE_PATH = f"artifacts/{PACKAGE_FOLDER}"
"""Where the package lies in MLflow's folder of a model."""

TRAINERS_FOLDER = "trainers"
"""Beside it, the sources of trainers that nnU-Net does not have; only whoever loads the model by MLflow runs them."""

CODE_FILE = Path(__file__).with_name("served_model.py")
"""What is logged as the model's code; MLflow runs it where the model is loaded."""

REQUIRED = ("nnunetv2", "torch", "numpy", "pandas", "mlflow", "setuptools")
"""What that code needs, each pinned to the version that is installed here; setuptools since nnU-Net imports distutils,
which Python 3.12 took away."""

SEVERAL_CHANNELS_A_FILE = (".png", ".bmp", ".tif")
"""Endings of nnU-Net's reader of natural images, for which one file may hold all channels."""


@contextmanager
def mlflow_folder(
    package: Path, example: Sequence[bytes], trainers: Mapping[str, bytes] = MappingProxyType({})
) -> Iterator[Path]:
    """Yields MLflow's folder of a package, which is removed afterwards; the package's files are links in it.

    Args:
        package: The package, checked.
        example: Synthetic image files, one a channel: what a caller sends.
        trainers: Sources by path, of trainers that nnU-Net does not have.
    """
    description = read_description(package / MODEL_FILE)
    with TemporaryDirectory(prefix="nnunet_assets-") as name:
        seed, folder = Path(name, PACKAGE_FOLDER), Path(name, "model")
        seed.mkdir()
        (seed / MODEL_FILE).write_bytes((package / MODEL_FILE).read_bytes())
        seeds = {PACKAGE_FOLDER: seed, **({TRAINERS_FOLDER: Path(name, TRAINERS_FOLDER)} if trainers else {})}
        for path, content in trainers.items():
            file = seeds[TRAINERS_FOLDER] / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        _save(folder, seeds, description, example)
        for path in (MODEL_FILE, *description.files):
            link = folder / PACKAGE_PATH / path
            link.parent.mkdir(parents=True, exist_ok=True)
            link.unlink(missing_ok=True)
            link.symlink_to((package / path).resolve())
        yield folder


def _save(folder: Path, seeds: Mapping[str, Path], description: ModelDescription, example: Sequence[bytes]) -> None:
    import pandas as pd

    columns = [f"channel_{number:04d}" for number in range(len(example))]
    with warnings.catch_warnings():
        # MLflow finds fault with type hints of its own, and asks for some, which would say what the signature says.
        warnings.simplefilter("ignore")
        import mlflow.pyfunc

        mlflow.pyfunc.save_model(
            path=str(folder),
            python_model=str(CODE_FILE),
            artifacts={name: str(seed) for name, seed in seeds.items()},
            signature=_signature(description, columns),
            input_example=pd.DataFrame({name: [one] for name, one in zip(columns, example, strict=True)}),
            pip_requirements=pinned_requirements(),
        )
    _forget_places(folder / "MLmodel", seeds)


def pinned_requirements() -> list[str]:
    """Returns what a server of the model installs; a build's local name (`+cpu`) is in no index, and left out."""
    return [f"{name}=={version(name).partition('+')[0]}" for name in REQUIRED]


def _signature(description: ModelDescription, columns: Sequence[str]) -> "ModelSignature":
    from mlflow.models import ModelSignature
    from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

    may_lack = description.images.file_ending in SEVERAL_CHANNELS_A_FILE
    inputs = [ColSpec("binary", name, required=not (may_lack and number)) for number, name in enumerate(columns)]
    return ModelSignature(
        inputs=Schema(inputs),
        outputs=Schema([ColSpec("binary", "mask")]),
        params=ParamSchema([ParamSpec("device", "string", "auto")]),
    )


def _forget_places(file: Path, seeds: Mapping[str, Path]) -> None:
    """Takes the paths of this machine out of MLflow's description of a model."""
    text = file.read_text(encoding="utf-8")
    for place in {str(CODE_FILE), str(CODE_FILE.resolve())}:
        text = text.replace(place, CODE_FILE.name)
    for name, seed in seeds.items():
        for place in {str(seed), str(seed.resolve())}:
            text = text.replace(place, f"artifacts/{name}")
    file.write_text(text, encoding="utf-8")
