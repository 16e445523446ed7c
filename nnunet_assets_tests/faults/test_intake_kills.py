"""An intake that is killed, wherever the kill comes: the next one ends as if nothing had been, and reads the rest."""

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from nnunet_assets.nnunet.cases.fact_cache import FactCache
from nnunet_assets.nnunet.raw.raw_data import inspect_raw_dataset
from nnunet_assets_tests.raw_builders import DATASET, tiny_json, write_json, write_volume

pytestmark = pytest.mark.faults

N_TRIALS = int(os.environ.get("NNUNET_ASSETS_FAULT_TRIALS", "10"))
SEED = os.environ.get("NNUNET_ASSETS_FAULT_SEED", "0")
N_CASES = 60

LOOK = """
import sys
from pathlib import Path
from nnunet_assets.nnunet.cases import fact_cache
from nnunet_assets.core.files import digests
from nnunet_assets.nnunet.raw.raw_data import inspect_raw_dataset
from nnunet_assets.reports.pages.intake_files import write_intake
from nnunet_assets_tests.recorded_progress import RecordedProgress
digests.SAFETY_SECONDS, fact_cache.FLUSH_SECONDS = 0.0, 0.05
root, own = Path(sys.argv[1]), Path(sys.argv[2])
while True:  # as long as it takes to be killed, in every part of it
    found = inspect_raw_dataset(root, sys.argv[3], 3, RecordedProgress(on_step=lambda done: print(done, flush=True)),
                                fact_cache.FactCache(own / "case_facts.json", rehash=True))
    write_intake(own, found.report)
    print("whole", flush=True)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset that takes about a second to read."""
    root = tmp_path_factory.mktemp("raw")
    rng = np.random.default_rng(0)
    for case in range(N_CASES):
        label = np.zeros((64, 64, 32), np.uint8)
        label[:4, :4, :4], label[8:12, :4, :4] = 1, 2
        write_volume(root / DATASET / f"imagesTr/case_{case}_0000.nii.gz", rng.normal(size=label.shape))
        write_volume(root / DATASET / f"labelsTr/case_{case}.nii.gz", label)
    write_json(root / DATASET / "dataset.json", tiny_json(N_CASES))
    return root


@pytest.mark.parametrize("number", range(N_TRIALS))
def test_a_killed_intake_leaves_nothing_half_made(root: Path, tmp_path: Path, number: int) -> None:
    wanted = inspect_raw_dataset(root, DATASET, 3)
    rng = random.Random(f"{SEED} {number}")
    process = subprocess.Popen(
        [sys.executable, "-c", LOOK, root, tmp_path, DATASET], stdout=subprocess.PIPE, text=True, bufsize=1
    )
    assert process.stdout
    process.stdout.readline()
    time.sleep(rng.uniform(0, 2.0))
    process.kill()
    process.communicate()

    cache = tmp_path / "case_facts.json"
    kept = json.loads(cache.read_text())["cases"] if cache.exists() else {}
    found = inspect_raw_dataset(root, DATASET, 3, cache=FactCache(cache))

    assert found.n_read == N_CASES - len(kept)
    assert (found.content_hash, found.findings, found.rows) == (wanted.content_hash, wanted.findings, wanted.rows)
    # Each file is the old or the new one; what a kill leaves beside them is hidden, and no name that anybody reads.
    visible = {path.name for path in tmp_path.iterdir() if not path.name.startswith(".")}
    assert visible <= {"case_facts.json", "intake.html", "intake.parquet", "findings.parquet"}
    if (tmp_path / "intake.html").exists():
        assert (tmp_path / "intake.html").read_text().endswith("</html>")
