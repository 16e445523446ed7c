"""An import and a curation that are killed at any moment: nothing half-made is ever taken for whole."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nnunet_assets.core.files.layout import Roots
from nnunet_assets.nnunet.importing.import_described import plan_described
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.prepared.raw_records import curated_roots, curation_of, read_raw
from nnunet_assets.nnunet.raw.raw_data import inspect_raw_dataset
from nnunet_assets_tests.raw_builders import DATASET, tiny_label, write_decathlon, write_tiny_dataset, write_volume
from nnunet_assets_tests.training_builders import roots_in

pytestmark = pytest.mark.faults

IMPORT = """
import sys; from pathlib import Path; from nnunet_assets.nnunet.importing.import_described import plan_described
source, raw = map(Path, sys.argv[1:])
import nibabel, numpy
print("started", flush=True)
plan_described(source, raw).carry_out()
"""
CURATE = """
import sys; from pathlib import Path; from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
roots = Roots(*map(Path, sys.argv[1:]))
import nibabel, numpy
print("started", flush=True)
look_at_raw_data(roots, "Dataset001_Tiny", 2, Curation({"case_0": "bad"}, 0.1))
"""


def run(code: str, *arguments: Path, killed_after: float | None = None) -> tuple[int, float]:
    """Returns exit code and seconds from the start of the work, which begins when the imports are done."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "started\n"
        start = time.monotonic()
        if killed_after is not None:
            time.sleep(killed_after)
            process.kill()
        return process.wait(), time.monotonic() - start


def test_an_import_killed_at_ten_moments_leaves_nothing_that_looks_finished_and_the_next_finishes(
    tmp_path: Path,
) -> None:
    source = write_decathlon(tmp_path / "Task04_Tiny", n_cases=150, n_channels=3)
    whole = plan_described(source, tmp_path / "whole").carry_out()
    wanted = inspect_raw_dataset(tmp_path / "whole", whole.name, 5).content_hash
    _, seconds = run(IMPORT, source, tmp_path / "timed")
    moments, raw = random.Random(7), tmp_path / "raw"
    n_killed = n_left = 0
    for _ in range(10):
        code, _ = run(IMPORT, source, raw, killed_after=moments.uniform(0, seconds))
        if code == -signal.SIGKILL:
            n_killed += 1
        there = sorted(path.name for path in raw.iterdir()) if raw.exists() else []
        n_left += any(".partial-" in name for name in there)
        if whole.name in there:  # whole in time
            assert inspect_raw_dataset(raw, whole.name, 5).content_hash == wanted
            (raw / whole.name).rename(tmp_path / f"done_{n_killed}")
    assert n_killed >= 5
    assert n_left >= 3
    assert run(IMPORT, source, raw)[0] == 0
    assert [path.name for path in raw.iterdir()] == [whole.name]
    assert inspect_raw_dataset(raw, whole.name, 5).content_hash == wanted


def test_a_curation_killed_at_ten_moments_leaves_the_record_of_a_whole_one(tmp_path: Path) -> None:
    roots = roots_in(tmp_path)
    folder = write_tiny_dataset(roots.raw, n_cases=150)
    for case in range(1, 150):
        write_volume(folder / f"labelsTr/case_{case}.nii.gz", tiny_label(), origin_mm=(0.05, 0, 0))
    prepared = PreparedFolder(roots, DATASET)
    timed = Roots(roots.raw, tmp_path / "timed", tmp_path / "timed")
    _, seconds = run(CURATE, timed.raw, timed.preprocessed, timed.results)
    wanted = read_raw(PreparedFolder(timed, DATASET)).content_hash
    moments = random.Random(7)
    for _ in range(10):
        run(CURATE, roots.raw, roots.preprocessed, roots.results, killed_after=moments.uniform(0, seconds))
        if (prepared.own / "raw.json").exists():
            found = inspect_raw_dataset(curated_roots(prepared).raw, DATASET, 2)
            assert (found.content_hash, read_raw(prepared).content_hash) == (wanted, wanted)
            (prepared.own / "raw.json").unlink()
    assert run(CURATE, roots.raw, roots.preprocessed, roots.results)[0] == 0
    assert [path.name for path in prepared.curated_root("").iterdir()] == [curation_of(prepared)]
    assert inspect_raw_dataset(curated_roots(prepared).raw, DATASET, 2).content_hash == wanted
