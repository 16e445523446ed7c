"""The process that predicts a test set.

`python -m nnunet_assets.nnunet.predictions.prediction_process FOLDER PARENT_PID`

nnU-Net's own predictor and its own functions before and after it, so that a prediction is what `nnUNetv2_predict` makes
of the same folds. Cases are preprocessed and written in threads of this process, not in processes that each import
torch anew (see `costs.export_in_threads`), and take their names one by one, when they are whole.
"""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.atomic_files import fsync_path
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code_in_child
from nnunet_assets.nnunet.predictions.prediction import DEVICE_FILE
from nnunet_assets.nnunet.predictions.prediction_request import CaseToPredict, PredictionRequest
from nnunet_assets.nnunet.training.devices import device_name, resolve_device
from nnunet_assets.nnunet.training.trainer import trainer_class
from nnunet_assets.nnunet.training.whole_predictions import read_back_predictions
from nnunet_assets.processes.child import child_main

MOST_THREADS = 3
"""Before and after the predictor each: what nnUNetv2_predict takes, by default."""


def predict_cases(request: PredictionRequest) -> None:
    """Predicts the cases of a request."""
    from nnunetv2.configuration import default_num_processes
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

    model_folder = request.model_folder
    refuse_foreign_code_in_child(model_folder / "plans.json", model_folder / DATASET_JSON)
    trainer_class(request.experiment.trainer)
    device = resolve_device(request.device)
    write_json_atomically(request.work_folder / DEVICE_FILE, {"device": device_name(device)})
    predictor = nnUNetPredictor(device=device, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(model_folder), request.folds, request.checkpoint)
    read_back_predictions(predictor.plans_manager.image_reader_writer_class)
    n_threads = max(1, min(MOST_THREADS, default_num_processes))
    print(f"{len(request.cases)} cases on {device_name(device)}, folds {list(request.folds)}.", flush=True)
    with ThreadPoolExecutor(n_threads, "preprocess") as before, ThreadPoolExecutor(n_threads, "export") as after:
        written: deque[Future[None]] = deque()
        for case, item in _preprocessed(predictor, request.cases, before, n_threads):
            logits = predictor.predict_logits_from_preprocessed_data(item["data"]).cpu().numpy()
            written.append(after.submit(_write, predictor, case, logits, item["data_properties"]))
            # A GPU is faster than what follows it: the logits of no more than a few cases wait in memory.
            while len(written) > n_threads:
                written.popleft().result()
        for future in written:
            future.result()


def _preprocessed(
    predictor: Any, cases: Sequence[CaseToPredict], pool: ThreadPoolExecutor, n_ahead: int
) -> Iterator[tuple[CaseToPredict, dict[str, Any]]]:
    """Yields the cases in their order, each with what nnU-Net makes of it, while the next few are made."""
    made: deque[tuple[CaseToPredict, Future[dict[str, Any]]]] = deque()
    for case in cases:
        made.append((case, pool.submit(_preprocess, predictor, case)))
        if len(made) > n_ahead:
            first, future = made.popleft()
            yield first, future.result()
    for case, future in made:
        yield case, future.result()


def _preprocess(predictor: Any, case: CaseToPredict) -> dict[str, Any]:
    from nnunetv2.inference.data_iterators import preprocess_fromfiles_save_to_queue

    made: SimpleQueue[dict[str, Any]] = SimpleQueue()
    preprocess_fromfiles_save_to_queue(
        [[str(image) for image in case.images]],
        [str(case.previous) if case.previous else None],
        [str(case.part)],
        predictor.plans_manager,
        predictor.dataset_json,
        predictor.configuration_manager,
        made,
        Event(),
        Event(),
    )
    return made.get_nowait()


def _write(predictor: Any, case: CaseToPredict, logits: Any, properties: Mapping[str, Any]) -> None:
    from nnunetv2.inference.export_prediction import export_prediction_from_logits

    export_prediction_from_logits(
        logits,
        properties,
        predictor.configuration_manager,
        predictor.plans_manager,
        predictor.dataset_json,
        str(case.part),
    )
    part = Path(f"{case.part}{predictor.dataset_json['file_ending']}")
    fsync_path(part)
    # Of a 3D TIFF nnU-Net writes the spacing beside it; first, so that no prediction is whole without it.
    if (sidecar := part.with_name(f"{case.part.name}.json")).exists():
        sidecar.replace(case.file.with_name(f"{case.name}.json"))
    part.replace(case.file)
    print(f"{case.name} is predicted.", flush=True)


if __name__ == "__main__":
    child_main(PredictionRequest, predict_cases)
