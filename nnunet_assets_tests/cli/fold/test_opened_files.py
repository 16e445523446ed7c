"""How often the command line reads what says that a fold is finished, and that there is nothing to do."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, commit_fold
from nnunet_assets.core.fold.journal import append_record, journal_path
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets_tests.builders import build_manifest, summary_entry, write_validation_summary
from nnunet_assets_tests.opened_files import opened_by
from nnunet_assets_tests.prepared_builders import DATASET, EXPERIMENT, SPLITS, dataset_of, write_prepared

LIMITS = {"checkpoint_final.pth": 1}
"""By how often they are opened; all others twice: before the fold's lock, and under it, where they may be others."""


def write_finished(roots: Roots) -> Path:
    """Writes a finished fold of what `write_prepared` wrote, as `train` without flags would have trained it."""
    folder = EXPERIMENT.fold_folder(roots, "fold_0")
    config = ExperimentConfig(dataset=DATASET, configuration=EXPERIMENT.configuration)
    inputs = fold_inputs(dataset_of(roots), EXPERIMENT, "fold_0", config.training_hash())
    cases = SPLITS[0]["val"]
    write_validation_summary(folder, [summary_entry(case, {"1": 0.5}) for case in cases])
    (folder.parent / "dataset.json").write_text('{"labels": {"background": 0, "organ": 1}, "file_ending": ".nii.gz"}')
    (folder.parent / "plans.json").write_text("{}")
    (folder / FINAL_CHECKPOINT).write_bytes(b"the weights")
    request = {"inputs": vars(inputs), "overrides": {}, "options": {}, "attempt": "first"}
    write_json_atomically(folder / ".nnunet_assets" / "request.json", request)
    append_record(journal_path(folder), "start", {"attempt": "first", "params": {}})
    append_record(journal_path(folder), "epoch", {"val_loss": 0.25}, epoch=0)
    append_record(journal_path(folder), "end", {"val_dice_mean": 0.5})
    manifest = build_manifest(folder, inputs)
    files = {**manifest.files, FINAL_CHECKPOINT: file_sha256(folder / FINAL_CHECKPOINT)}
    details = {"validation_cases": cases, "attempt": "first", "overrides": {}, "options": {}}
    commit_fold(folder, replace(manifest, files=files, details=details))
    return folder


def named(opened: Mapping[str, int]) -> dict[str, int]:
    """Returns how often each of the files was opened of which it matters."""
    prepared, model = f"preprocessed/{DATASET}", f"results/{DATASET}/{EXPERIMENT.name}"
    places = {
        "plans.json of the dataset": f"{prepared}/nnUNetPlans.json",
        "manifest.json": f"{model}/fold_0/.nnunet_assets/manifest.json",
        "raw.json": f"{prepared}/.nnunet_assets/raw.json",
        "summary.json": f"{model}/fold_0/validation/summary.json",
        "COMMIT": f"{model}/fold_0/.nnunet_assets/COMMIT",
        "splits_final.json": f"{prepared}/splits_final.json",
        "dataset.json of the model": f"{model}/dataset.json",
        "checkpoint_final.pth": f"{model}/fold_0/{FINAL_CHECKPOINT}",
    }
    return {name: opened[place] for name, place in places.items()}


def test_a_finished_fold_is_read_a_few_times(tmp_path: Path, new_store: bytes) -> None:
    roots, _ = write_prepared(tmp_path / "project")
    (tmp_path / "project" / "data").mkdir(exist_ok=True)
    (tmp_path / "project" / "data" / "mlflow.db").write_bytes(new_store)
    folder, place = write_finished(roots), ["--project", str(tmp_path / "project")]
    train = ["train", "951", "3d_fullres", "0", *place]

    # A machine under load may not have sent all to MLflow when the first one ends.
    commands = [train, ["sync", str(folder), *place], train]
    opened, printed = opened_by(tmp_path / "project", *commands, environment=roots.environment())

    assert "fold_0 is finished: Dice 0.5000" in printed[-2]
    counts = named(opened)
    assert all(counts.values()), "a file that is not read at all is not checked, or lies elsewhere"
    assert {name: n for name, n in counts.items() if n > LIMITS.get(name, 2)} == {}
