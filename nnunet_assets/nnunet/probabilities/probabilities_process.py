"""The process that predicts validation cases again, and keeps their probabilities.

`python -m nnunet_assets.nnunet.probabilities.probabilities_process FOLDER PARENT_PID`

A case is predicted from its preprocessed file, as a validation does it (a cascade then reads what the stage before it
predicted, and not a mask of it), by nnU-Net's own predictor and with nnU-Net's own way back to the image: on a CPU the
numbers are, bit by bit, those of `nnUNetv2_train --val --npz`. On a GPU sums depend on the order in which it adds.
"""

import warnings
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code_in_child
from nnunet_assets.nnunet.predictions.cases_run import DEVICE_FILE
from nnunet_assets.nnunet.predictions.in_order import in_order
from nnunet_assets.nnunet.predictions.predictor_copies import PredictorCopies, predict_at_once
from nnunet_assets.nnunet.probabilities.probabilities_request import FoldToPredict, ProbabilitiesRequest
from nnunet_assets.nnunet.probabilities.probability_store import ProbabilityStore
from nnunet_assets.nnunet.trainer.devices import device_name, resolve_device
from nnunet_assets.nnunet.trainer.trainer import trainer_class
from nnunet_assets.processes.child import child_main


def predict_probabilities(request: ProbabilitiesRequest) -> None:
    """Predicts the cases of a request."""
    device = resolve_device(request.device)
    write_json_atomically(request.work_folder / DEVICE_FILE, {"device": device_name(device)})
    for fold in request.folds:
        print(f"{len(fold.cases)} cases of {fold.experiment.title}, fold {fold.fold}.", flush=True)
        _predict_fold(fold, device, request.n_threads)


def _predict_fold(fold: FoldToPredict, device: Any, n_threads: int) -> None:
    from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class

    refuse_foreign_code_in_child(fold.model_folder / "plans.json", fold.model_folder / DATASET_JSON)
    trainer_class(fold.experiment.trainer)
    predictor = nnUNetPredictor(device=device, allow_tqdm=False)
    predictor.initialize_from_trained_model_folder(str(fold.model_folder), (fold.fold,), fold.checkpoint)
    previous = str(fold.previous_folder) if fold.previous_folder else None
    dataset = infer_dataset_class(str(fold.cases_folder))(
        str(fold.cases_folder), list(fold.cases), folder_with_segs_from_previous_stage=previous
    )
    store, copies = ProbabilityStore(fold.store), PredictorCopies(predictor)
    n_at_once = predict_at_once([copies], n_threads)

    def predict(case: str) -> tuple[str, Any, Any]:
        data, _, seg_previous, properties = dataset.load_case(case)
        return case, copies.logits(_network_input(predictor, data, seg_previous)), properties

    with ThreadPoolExecutor(n_at_once, "predict") as within, ThreadPoolExecutor(n_threads, "export") as after:
        predicted = in_order((within.submit(predict, case) for case in fold.cases), n_at_once - 1)
        exported = (
            after.submit(partial(_export, predictor, store, case, fold.cases[case]), logits, properties)
            for case, logits, properties in predicted
        )
        # The logits of the next case wait in memory while those before are exported.
        for _ in in_order(exported, n_threads - 1):
            pass


def _network_input(predictor: Any, data: Any, seg_previous: Any) -> Any:
    """Returns what the network reads: the image, and below it what the stage before predicted, where there is one."""
    import numpy as np
    import torch
    from nnunetv2.utilities.label_handling.label_handling import convert_labelmap_to_one_hot

    data = data[:]  # blosc2 arrays become numpy's
    if seg_previous is not None:
        labels = predictor.label_manager.foreground_labels
        data = np.vstack((data, convert_labelmap_to_one_hot(seg_previous[:], labels, output_dtype=data.dtype)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of an array that may not be written: nobody does
        return torch.from_numpy(data)


def _export(  # noqa: PLR0917 (bound in two steps)
    predictor: Any, store: ProbabilityStore, case: str, made_from: str, logits: Any, properties: dict[str, Any]
) -> None:
    import numpy as np
    from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape

    _, probabilities = convert_predicted_logits_to_segmentation_with_correct_shape(
        logits,
        predictor.plans_manager,
        predictor.configuration_manager,
        predictor.label_manager,
        properties,
        return_probabilities=True,
    )
    part = store.part(case)
    with part.open("wb") as file:
        np.savez(file, probabilities=probabilities)
    store.take(case, part, made_from)
    print(f"{case} is predicted.", flush=True)


if __name__ == "__main__":
    child_main(ProbabilitiesRequest, predict_probabilities)
