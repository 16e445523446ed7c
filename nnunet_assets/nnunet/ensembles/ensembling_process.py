"""The process that makes the masks of ensembles and scores them.

`python -m nnunet_assets.nnunet.ensembles.ensembling_process FOLDER PARENT_PID`

The mean of the members' probabilities is taken as nnU-Net takes it, in float32, divided once at the end; what sums come
to depends on their order, which the request fixes. Labels, files and scores are made by nnU-Net's own functions, in
threads of this process: a pool of nnU-Net's would import torch once more for each of its workers.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.json_file import load_json
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE
from nnunet_assets.nnunet.ensembles.ensembling_request import CaseToEnsemble, EnsemblingRequest, FoldToEnsemble
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code_in_child
from nnunet_assets.nnunet.trainer.whole_predictions import read_back_predictions, score_predictions_alone
from nnunet_assets.nnunet.training.costs import export_in_threads
from nnunet_assets.processes.child import child_main


def make_ensembles(request: EnsemblingRequest) -> None:
    """Makes and scores the masks of a request."""
    export_in_threads()
    score_predictions_alone()
    for fold in request.folds:
        _make_fold(fold, request.n_threads)


def mean_probabilities(files: Sequence[Path]) -> Any:
    """Returns the mean of the probabilities in files, added in their order; float32 `(heads, z, y, x)`.

    One array beside the sum is in memory at a time.
    """
    import numpy as np

    def read(file: Path) -> Any:
        with np.load(file, allow_pickle=False) as content:
            return content["probabilities"]

    total = read(files[0]).astype(np.float32, copy=False)
    for file in files[1:]:
        total += read(file)
    total /= len(files)
    return total


def _make_fold(fold: FoldToEnsemble, n_threads: int) -> None:
    from nnunetv2.evaluation.evaluate_predictions import compute_metrics_on_folder
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans_file, dataset_json_file = fold.model_folder / "plans.json", fold.model_folder / DATASET_JSON
    refuse_foreign_code_in_child(plans_file, dataset_json_file)
    plans, dataset_json = PlansManager(str(plans_file)), load_json(dataset_json_file)
    labels = plans.get_label_manager(dataset_json)
    read_back_predictions(plans.image_reader_writer_class)
    reader_writer = plans.image_reader_writer_class()
    names = [case.name for case in fold.cases]
    dataset = infer_dataset_class(str(fold.cases_folder))(str(fold.cases_folder), names)
    with ThreadPoolExecutor(n_threads, "ensemble") as pool:
        make = partial(_make_mask, dataset=dataset, labels=labels, reader_writer=reader_writer)
        for case in pool.map(make, fold.cases):
            print(f"{case} of {fold.folder} is made.", flush=True)
    compute_metrics_on_folder(
        str(fold.references),
        str((fold.folder / SUMMARY_FILE).parent),
        str(fold.folder / SUMMARY_FILE),
        reader_writer,
        dataset_json["file_ending"],
        labels.foreground_regions if labels.has_regions else labels.foreground_labels,
        labels.ignore_label,
        num_processes=n_threads,
    )


def _make_mask(case: CaseToEnsemble, *, dataset: Any, labels: Any, reader_writer: Any) -> str:
    *_, properties = dataset.load_case(case.name)
    segmentation = labels.convert_probabilities_to_segmentation(mean_probabilities(case.probabilities))
    reader_writer.write_seg(segmentation, str(case.part), properties)
    # Of a 3D TIFF nnU-Net writes the spacing beside it; first, so that no mask is whole without it.
    if (sidecar := case.part.parent / f"{case.name}.json").exists():
        sidecar.replace(case.file.with_name(sidecar.name))
    case.part.replace(case.file)
    return case.name


if __name__ == "__main__":
    child_main(EnsemblingRequest, make_ensembles)
