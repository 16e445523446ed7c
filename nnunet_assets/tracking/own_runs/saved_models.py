"""Models as folders that MLflow loads."""

import inspect
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

from nnunet_assets.tracking.fold.sent_model import registered_as
from nnunet_assets.tracking.store.client import prepare_environment


def save_model(model: Any, folder: Path, registered_model_name: str | None) -> None:
    """Saves a model into a folder, in place of what is there, with the name under which it is to be registered.

    Requirements are named, not looked for: MLflow would run the model in a process of its own to find them.

    Raises:
        TypeError: It is no model that is known here.
    """
    shutil.rmtree(folder, ignore_errors=True)
    registered_as(folder).unlink(missing_ok=True)
    if isinstance(model, str | Path):
        shutil.copytree(model, folder)
    else:
        _save(model, folder)
    if registered_model_name:
        registered_as(folder).write_text(registered_model_name, encoding="utf-8")


def _save(model: Any, folder: Path) -> None:
    prepare_environment()
    bases = {(base.__module__.partition(".")[0], base.__name__) for base in type(model).__mro__}
    if ("torch", "Module") in bases:
        import mlflow.pytorch

        # Current MLflow would trace the model instead, for which it wants an example of an input.
        has_formats = "serialization_format" in inspect.signature(mlflow.pytorch.save_model).parameters
        whole = {"serialization_format": "pickle"} if has_formats else {}
        mlflow.pytorch.save_model(model, str(folder), pip_requirements=_pinned("mlflow", "torch"), **whole)
    elif ("mlflow", "PythonModel") in bases:
        import mlflow.pyfunc

        mlflow.pyfunc.save_model(str(folder), python_model=model, pip_requirements=_pinned("mlflow"))
    else:
        raise TypeError(
            f"{type(model).__qualname__} is no model that can be logged: give a module of torch, a PythonModel of "
            "MLflow, or the folder of a model that MLflow saved."
        )


def _pinned(*packages: str) -> list[str]:
    return [f"{name}=={version(name)}" for name in packages]
