"""Odd datasets, of which each that `check` lets through is split, planned, preprocessed, loaded and predicted for.

`python -m nnunet_assets_tests.planning_trial FIRST LAST FOLDER` prints a line of JSON a seed: what is odd, what the
check says, and what nnU-Net dies of. One process for all: torch is loaded once, and nnU-Net's pools are threads of it.
"""

import contextlib
import io
import json
import os
import shutil
import sys
import traceback
import warnings
from multiprocessing.pool import ThreadPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.progress import SILENT
from nnunet_assets.core.splits.splits import SplitSettings
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
from nnunet_assets.nnunet.preparation.planning_process import prepare_dataset
from nnunet_assets.nnunet.preparation.planning_request import PlanningRequest
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import curated_roots, read_raw
from nnunet_assets.nnunet.splits.splits_final import ensure_splits
from nnunet_assets_tests.odd_datasets import OF_THE_WHOLE, odd_dataset
from nnunet_assets_tests.odd_files import OF_FILES

ODDITIES = OF_THE_WHOLE + OF_FILES
DATASET = "Dataset042_Odd"
PLANS = "nnUNetPlans"
MOST_VOXELS = 3e7
"""Of a batch or of logits; a patch of nnU-Net's for large images takes seconds and gigabytes."""


def check(roots: Roots) -> tuple[str, str]:
    """Returns `ok`, `refused` or `crashed`, and the codes and words of it."""
    try:
        found, _ = look_at_raw_data(roots, DATASET, 5, Curation(), SILENT, variables=dict(os.environ))
    except NnunetAssetsError as error:
        return "refused", str(error)[:300]
    except Exception as error:  # noqa: BLE001 (whatever it is, it is a finding of the trial)
        return "crashed", "".join(traceback.format_exception(error))
    codes = " ".join(sorted({one.code for one in found.findings}))
    return ("refused", f"{codes}: {found.errors[0].message[:300]}") if found.errors else ("ok", codes)


def take(roots: Roots) -> None:
    """Does with a dataset what a cross-validation does, but for the epochs."""
    prepared = PreparedFolder(roots, DATASET)
    ensure_splits(roots, DATASET, SplitSettings(n_folds=5), progress=SILENT)
    raw = read_raw(prepared)
    os.environ.update(curated_roots(prepared).environment())
    request = PlanningRequest(
        dataset=DATASET,
        plans=PLANS,
        planner="ExperimentPlanner",
        configurations=("2d", "3d_fullres"),
        trainers=("nnUNetTrainer",),
        verified={"raw_hash": raw.content_hash, "nnunetv2": "of the trial"},
        verify_integrity=True,
        n_processes=1,
        n_processes_is_set=True,
    )
    prepare_dataset(request)
    for configuration in ("2d", "3d_fullres"):
        if configuration in prepared.plans(PLANS).configurations:
            _load_and_predict(prepared, roots.results, configuration, raw.cases)


def _load_and_predict(prepared: PreparedFolder, results: Path, configuration: str, cases: tuple[str, ...]) -> None:
    import torch
    from nnunetv2.evaluation.evaluate_predictions import compute_metrics
    from nnunetv2.inference.export_prediction import export_prediction_from_logits
    from nnunetv2.training.dataloading.data_loader import nnUNetDataLoader
    from nnunetv2.training.dataloading.nnunet_dataset import infer_dataset_class
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans, description = PlansManager(str(prepared.plans_file(PLANS))), _json(prepared.folder / "dataset.json")
    plan, labels = plans.get_configuration(configuration), plans.get_label_manager(description)
    folder = str(prepared.folder / plan.data_identifier)
    dataset_class = infer_dataset_class(folder)
    there = sorted(dataset_class.get_identifiers(folder))
    assert there == sorted(cases), f"nnU-Net finds {there}, and there are {sorted(cases)}."
    if np.prod(plan.patch_size) * plan.batch_size < MOST_VOXELS / 10:
        train = dataset_class(folder, list(_json(prepared.folder / "splits_final.json")[0]["train"]))
        next(nnUNetDataLoader(train, plan.batch_size, plan.patch_size, plan.patch_size, labels, 0.33))
    output, writer, ending = results / "validation", plans.image_reader_writer_class(), description["file_ending"]
    output.mkdir(parents=True)
    rng, loaded, predicted = np.random.default_rng(0), dataset_class(folder, list(cases)), set()
    for case in cases:
        data, _, _, properties = loaded.load_case(case)
        shape = (labels.num_segmentation_heads, *data.shape[1:])
        if np.prod(shape) > MOST_VOXELS:
            continue
        logits = torch.from_numpy(rng.normal(size=shape).astype(np.float32))
        export_prediction_from_logits(logits, properties, plan, plans, description, str(output / case), True)
        regions = labels.foreground_regions if labels.has_regions else labels.foreground_labels
        files = (str(prepared.references / f"{case}{ending}"), str(output / f"{case}{ending}"))
        compute_metrics(*files, writer, regions, labels.ignore_label)
        predicted.add(f"{case}{ending}")
    lost = predicted - {path.name for path in output.iterdir()}
    assert not lost, f"The predictions {sorted(lost)} were written over by others."
    shutil.rmtree(output)


def _json(path: Path) -> Any:
    return json.loads(path.read_bytes())


def _bind_nnunet() -> None:
    """Makes nnU-Net's pools threads, its pauses short, and its statistics of few voxels."""
    import torch
    from nnunetv2.experiment_planning.dataset_fingerprint import fingerprint_extractor
    from nnunetv2.utilities import utils

    torch.set_num_threads(1)
    extractor, made, pause = fingerprint_extractor.DatasetFingerprintExtractor, {}, fingerprint_extractor.sleep
    made["init"] = extractor.__init__

    def with_few_voxels(self: Any, *arguments: Any, **named: Any) -> None:
        made["init"](self, *arguments, **named)
        self.num_foreground_voxels_for_intensitystats = 1e5

    extractor.__init__ = with_few_voxels
    fingerprint_extractor.multiprocessing = SimpleNamespace(get_context=lambda _: SimpleNamespace(Pool=ThreadPool))
    fingerprint_extractor.sleep = lambda _: pause(0.002)
    utils.Pool = lambda processes: ThreadPool(1)


def trial(seed: int, folder: Path) -> dict[str, Any]:
    """Returns what became of the dataset of one seed."""
    shutil.rmtree(folder, ignore_errors=True)
    roots = Roots(folder / "raw", folder / "preprocessed", folder / "results")
    roots.raw.mkdir(parents=True)
    os.environ.update(roots.environment())
    try:
        made = odd_dataset(roots.raw, DATASET, seed, ODDITIES)
    except Exception as error:  # noqa: BLE001 (two oddities may exclude each other, or their library refuses one)
        return {"seed": seed, "check": "not made", "said": str(error)[:200]}
    found, said = check(roots)
    outcome: dict[str, Any] = {"seed": seed, "odd": [made.ending, *made.oddities], "check": found, "said": said}
    if found == "ok":
        try:
            take(roots)
        except (Exception, SystemExit) as error:  # noqa: BLE001 (as above)
            outcome["dies"] = "".join(traceback.format_exception(error))[-2000:]
    return outcome


def main(first: int, last: int, folder: Path) -> None:
    """Prints what became of each seed."""
    warnings.simplefilter("ignore")
    _bind_nnunet()
    for seed in range(first, last):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            outcome = trial(seed, folder / str(seed))
        print(json.dumps(outcome), flush=True)
        shutil.rmtree(folder / str(seed), ignore_errors=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
