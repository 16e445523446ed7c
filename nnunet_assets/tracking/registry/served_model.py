"""The code of a registered model: a copy of this file is logged with it, and MLflow runs that where it is loaded.

It predicts with nnU-Net's own predictor and its own functions before and after it, and imports nothing of
nnunet_assets: whatever has nnunetv2 and torch in the pinned versions can serve it. It takes images and returns masks
as bytes: no path of a caller is ever opened, and nothing of nnU-Net's environment variables is asked for. Trainers that
nnU-Net does not have come along as sources, and are found in their folder alone.
"""

import gzip
import io
import json
import logging
import math
import os
import sys
import tempfile
import threading
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd  # noqa: TID253 (MLflow runs this file; nothing of ours imports it)
from mlflow.exceptions import MlflowException  # noqa: TID253 (as above)
from mlflow.models import set_model  # noqa: TID253 (as above)
from mlflow.pyfunc import PythonModel  # noqa: TID253 (as above)

MASK = "mask"
_LOGGER = logging.getLogger(__name__)
_DEVICES = ("auto", "cpu", "cuda", "mps")
_MOST_JSON_BYTES = 64 << 20
_EXTERNAL_TRAINERS = "nnUNet_extTrainer"


def _refused(sentence: str) -> MlflowException:
    """Returns the error that a server answers with: the caller's mistake, in a sentence."""
    return MlflowException.invalid_parameter_value(sentence)


class ServedModel(PythonModel):  # type: ignore[misc]  # mlflow has no types
    """Takes a table with a row a case and a column a channel, the bytes of image files; returns the masks' bytes."""

    def load_context(self, context: Any) -> None:
        """Reads how the model describes itself; torch is imported when something is predicted."""
        self._folder = Path(context.artifacts["package"])
        own = context.artifacts.get("trainers")
        self._trainers = Path(own) if own else None
        self._model = _read_json(self._folder / "model.json")
        self._ending = str(self._model["images"]["file_ending"])
        self._predictors: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()

    def predict(self, context: Any, model_input: pd.DataFrame, params: Mapping[str, Any] | None = None) -> pd.DataFrame:
        """Returns a table with the column `mask`: the bytes of a file of the same format as the images, case by case.

        Args:
            context: MLflow's; not used.
            model_input: A column `channel_0000` ... each, with the bytes of one file of the model's ending.
            params: `device`: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.
        """
        device = _device((params or {}).get("device", "auto"))
        columns = sorted(name for name in model_input.columns if str(name).startswith("channel_"))
        # A network and its device are one: two requests at once would share their memory and not their time.
        with self._lock:
            rows = [[row[name] for name in columns] for _, row in model_input.iterrows()]
            return pd.DataFrame({MASK: [self._predicted(number, row, device) for number, row in enumerate(rows)]})

    def _predicted(self, number: int, images: list[Any], device: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="nnunet_served-") as name:
            folder = Path(name)
            files = []
            for channel, content in enumerate(images):
                if content is None or (isinstance(content, float) and math.isnan(content)):
                    continue  # an optional one
                file = folder / f"case_{channel:04d}{self._ending}"
                if not isinstance(content, bytes | bytearray):
                    raise _refused(
                        f"Row {number} has {type(content).__name__} as channel {channel}, and not the bytes of a file: "
                        "in JSON they are sent as base64. A path is opened nowhere."
                    )
                if self._ending.endswith(".gz"):
                    _refuse_torn(number, channel, bytes(content))
                file.write_bytes(content)
                files.append(str(file))
            self._check(number, files)
            try:
                return self._mask(files, folder, device).read_bytes()
            except Exception as error:
                _LOGGER.exception("Row %d could not be predicted.", number)
                raise MlflowException(
                    f"Row {number} could not be predicted: {_reason(error)}. The server's log says more."
                ) from error

    def _check(self, number: int, files: list[str]) -> None:
        """Refuses what is no case for this model, before anything is predicted."""
        import numpy as np

        member = self._model["members"][0]
        images = self._model["images"]["channels"]
        try:
            voxels, properties = _reader(self._folder / member["path"])().read_images(files)
        except Exception as error:
            raise _refused(
                f"Row {number} is no case that nnU-Net can read as {self._ending}: {_reason(error)}."
            ) from error
        if len(voxels) != len(images):
            raise _refused(
                f"Row {number} has {len(voxels)} channels; the model expects {len(images)}: "
                f"{', '.join(one['name'] for one in images)}."
            )
        if not np.isfinite(voxels).all():
            raise _refused(f"Row {number} has voxels that are NaN or infinite.")
        if not all(math.isfinite(mm) and mm > 0 for mm in properties["spacing"]):
            raise _refused(f"Row {number} has the spacing {properties['spacing']}, which is none.")

    def _mask(self, files: list[str], folder: Path, device: str) -> Path:
        """Returns the file of the mask, as nnU-Net predicts, ensembles and postprocesses it."""
        averaged = [member for member in self._model["members"] if member["weight"] > 0]
        made: dict[str, Path] = {}
        if len(averaged) == 1:
            mask = self._stage(averaged[0], files, folder, device, made)
        else:
            mask = self._averaged(averaged, files, folder, device, made)
        return self._postprocessed(mask, averaged[0])

    def _stage(
        self, member: Mapping[str, Any], files: list[str], folder: Path, device: str, made: dict[str, Path]
    ) -> Path:
        """Returns the file of one member's own mask, predicted once a case."""
        from nnunetv2.inference.export_prediction import export_prediction_from_logits

        path = str(member["path"])
        if path not in made:
            predictor, logits, properties = self._logits(member, files, folder, device, made)
            part = folder / f"stage_{len(made)}"
            export_prediction_from_logits(
                logits,
                properties,
                predictor.configuration_manager,
                predictor.plans_manager,
                predictor.dataset_json,
                str(part),
            )
            made[path] = Path(f"{part}{self._ending}")
        return made[path]

    def _averaged(
        self, members: list[Mapping[str, Any]], files: list[str], folder: Path, device: str, made: dict[str, Path]
    ) -> Path:
        """Returns the file of the mask of the mean: float32, added in the order of names, divided once."""
        ordered = sorted(members, key=lambda one: str(one["name"]))
        first, of_first, total = self._probabilities(ordered[0], files, folder, device, made)
        total = total.astype("float32")
        for member in ordered[1:]:
            total += self._probabilities(member, files, folder, device, made)[2]
        total /= len(ordered)
        mask = folder / f"mean{self._ending}"
        segmentation = first.label_manager.convert_probabilities_to_segmentation(total)
        first.plans_manager.image_reader_writer_class().write_seg(segmentation, str(mask), of_first)
        return mask

    def _probabilities(
        self, member: Mapping[str, Any], files: list[str], folder: Path, device: str, made: dict[str, Path]
    ) -> tuple[Any, Any, Any]:
        from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape

        predictor, logits, properties = self._logits(member, files, folder, device, made)
        _, probabilities = convert_predicted_logits_to_segmentation_with_correct_shape(
            logits,
            predictor.plans_manager,
            predictor.configuration_manager,
            predictor.label_manager,
            properties,
            return_probabilities=True,
        )
        return predictor, properties, probabilities

    def _logits(
        self, member: Mapping[str, Any], files: list[str], folder: Path, device: str, made: dict[str, Path]
    ) -> tuple[Any, Any, Any]:
        """Returns the predictor, its logits and what nnU-Net keeps of the image; a cascade's stage comes before."""
        from queue import SimpleQueue

        from nnunetv2.inference.data_iterators import preprocess_fromfiles_save_to_queue

        previous = None
        if member["previous"] is not None:
            stage = next(one for one in self._model["members"] if one["path"] == member["previous"])
            previous = str(self._stage(stage, files, folder, device, made))
        predictor = self._predictor(member, device)
        queue: SimpleQueue[dict[str, Any]] = SimpleQueue()
        preprocess_fromfiles_save_to_queue(
            [files],
            [previous],
            [str(folder / "unused")],
            predictor.plans_manager,
            predictor.dataset_json,
            predictor.configuration_manager,
            queue,
            threading.Event(),
            threading.Event(),
        )
        item = queue.get_nowait()
        logits = predictor.predict_logits_from_preprocessed_data(item["data"]).cpu().numpy()
        return predictor, logits, item["data_properties"]

    def _predictor(self, member: Mapping[str, Any], device: str) -> Any:
        """Returns the predictor of a member on a device, which is kept."""
        import torch
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        key = (str(member["path"]), device)
        if key not in self._predictors:
            folder = self._folder / member["path"]
            for fold in member["folds"]:
                # nnU-Net's own loading would run what is pickled in it.
                torch.load(folder / fold / member["checkpoint"], map_location="cpu", weights_only=True)
            predictor = nnUNetPredictor(device=torch.device(device), allow_tqdm=False)
            folds = tuple(_fold(fold) for fold in member["folds"])
            with _trainers_found(self._trainers):
                predictor.initialize_from_trained_model_folder(str(folder), folds, member["checkpoint"])
            self._predictors[key] = predictor
        return self._predictors[key]

    def _postprocessed(self, mask: Path, member: Mapping[str, Any]) -> Path:
        """Returns the mask after the package's steps, with nnU-Net's own function; the pickle is never read."""
        from nnunetv2.postprocessing.remove_connected_components import (
            load_postprocess_save,
            remove_all_but_largest_component_from_segmentation,
        )

        file = self._folder / "postprocessing.json"
        steps = _read_json(file)["postprocessing_kwargs"] if file.exists() else []
        if not steps:
            return mask
        wanted = [{"labels_or_regions": [_tuples(one) for one in _listed(step["labels_or_regions"])]} for step in steps]
        cleaned = mask.with_name(f"cleaned{self._ending}")
        functions = [remove_all_but_largest_component_from_segmentation] * len(wanted)
        reader = _reader(self._folder / member["path"])()
        load_postprocess_save(str(mask), str(cleaned), reader, functions, wanted)
        return cleaned


@contextmanager
def _trainers_found(folder: Path | None) -> Iterator[None]:
    """Lets nnU-Net find the trainers whose sources came along, which build the network; None: it has them itself.

    Those of the model's own go before ours, as where they trained. A package of the same name that is installed goes
    first, and what is imported meanwhile stays for later members.
    """
    if folder is None:
        yield
        return
    variables = os.environ  # noqa: TID251 (nnU-Net has no other way to be told)
    before = variables.get(_EXTERNAL_TRAINERS)
    own = sorted(folder.glob("own*"), key=lambda one: (len(one.name), one.name))
    folders = [*own, folder / "nnunet_assets" / "trainers"]
    sys.path.append(str(folder))
    variables[_EXTERNAL_TRAINERS] = os.pathsep.join(str(one) for one in folders if one.is_dir())
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        variables.pop(_EXTERNAL_TRAINERS)
        if before is not None:
            variables[_EXTERNAL_TRAINERS] = before


def _refuse_torn(number: int, channel: int, content: bytes) -> None:
    """Refuses a file that did not come whole: nnU-Net's reader takes what there is of it, and the rest for zeros."""
    try:
        with gzip.open(io.BytesIO(content)) as whole:
            while whole.read(1 << 20):
                pass
    except (EOFError, OSError, zlib.error) as error:
        raise _refused(
            f"Row {number} is no case that can be read: the file of channel {channel} is cut short, damaged or not "
            f"gzipped ({_reason(error)}). Send it again, whole."
        ) from error


def _reason(error: Exception) -> str:
    """Returns what is wrong in a few words of one line, without the places of this machine."""
    last = (str(error).strip().splitlines() or [""])[-1].rstrip(".")
    shown = " ".join("..." if "/" in word else word for word in last.split())
    return f"{type(error).__name__}: {shown[:200]}" if shown else type(error).__name__


def _device(wanted: Any) -> str:
    kind, _, number = str(wanted).partition(":")
    if kind not in _DEVICES or (number and (kind != "cuda" or not number.isdecimal())):
        raise _refused(f"The device {wanted!r} is not known. It is auto, cpu, cuda, cuda:1 or mps.")
    import torch

    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if kind == "auto":
        return next(name for name in ("cuda", "mps", "cpu") if has[name])
    if not has[kind] or (number and int(number) >= torch.cuda.device_count()):
        raise _refused(f"The device {wanted!r} is not there; auto takes what is.")
    return str(wanted)


def _reader(folder: Path) -> Any:
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    return PlansManager(str(folder / "plans.json")).image_reader_writer_class


def _read_json(file: Path) -> dict[str, Any]:
    if file.stat().st_size > _MOST_JSON_BYTES:
        raise _refused(f"{file.name} of the model is larger than any honest one.")
    content: dict[str, Any] = json.loads(file.read_bytes())
    return content


def _fold(name: str) -> int | str:
    return "all" if name == "fold_all" else int(name.removeprefix("fold_"))


def _listed(labels: Any) -> list[Any]:
    return labels if isinstance(labels, list) else [labels]


def _tuples(label: Any) -> Any:
    return tuple(label) if isinstance(label, list) else label


set_model(ServedModel())
