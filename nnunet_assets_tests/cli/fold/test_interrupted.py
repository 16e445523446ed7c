"""A training that was interrupted says what is there."""

from pathlib import Path

from nnunet_assets.cli.fold.interrupted import FoldAtWork
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.settings import Settings
from nnunet_assets_tests.evaluation_builders import HIGHER, REFERENCE, write_fold

EXPERIMENT = Experiment("Dataset001_Tiny", "2d")


def test_what_became_of_the_fold_is_said(tmp_path: Path) -> None:
    roots = Settings.from_environment(tmp_path, {}).roots
    place = EXPERIMENT.place_of(roots, "fold_0")
    at_work = FoldAtWork()
    unfinished = "Interrupted. The same command goes on from the last checkpoint, where one is written already."
    assert at_work.interrupted(retrain=False, validates=False) == unfinished
    at_work.begin(place)
    assert at_work.interrupted(retrain=False, validates=False) == unfinished
    assert "The same command without --retrain goes on" in at_work.interrupted(retrain=True, validates=False)

    write_fold(roots, EXPERIMENT, "fold_0", {"a": HIGHER})
    finished = at_work.interrupted(retrain=False, validates=False)
    assert finished.startswith(f"Interrupted, but fold_0 is finished: {place.folder}.")
    assert "`nnunet-assets sync`" in finished

    at_work.begin(place)
    assert at_work.interrupted(retrain=False, validates=False).endswith("was finished before, and is as it was.")
    assert "Nothing was trained anew" in at_work.interrupted(retrain=True, validates=False)
    assert "the same command validates it again" in at_work.interrupted(retrain=False, validates=True)
    write_fold(roots, EXPERIMENT, "fold_0", {"a": REFERENCE}, {"1": 1.0, "2": 1.0})
    assert at_work.interrupted(retrain=True, validates=False).startswith("Interrupted, but fold_0 is finished")
