"""Whatever a dataset is like: `check` names what is wrong, and what it lets through, nnU-Net takes."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from nnunet_assets.core.dataset.curation import Curation
from nnunet_assets.core.files.layout import Roots
from nnunet_assets.core.progress import SILENT
from nnunet_assets.errors import NnunetAssetsError
from nnunet_assets.nnunet.images.image_reader import reader_class, reader_of_cases
from nnunet_assets.nnunet.preparation.curated_dataset import look_at_raw_data
from nnunet_assets.nnunet.raw.case_files import find_cases
from nnunet_assets_tests.odd_datasets import OF_THE_WHOLE, odd_dataset
from nnunet_assets_tests.odd_files import OF_FILES
from nnunet_assets_tests.tiny_request import with_modules_of

DATASET = "Dataset042_Odd"
SAMPLE = range(100, 140)
TRIED = range(10_000, 10_400)


def read_and_written(roots: Roots, name: str) -> bool:
    """Tells whether the check lets a dataset through; nnU-Net's reader must then read every file, and write it."""
    try:
        found, curated = look_at_raw_data(roots, name, 5, Curation(), SILENT)
    except NnunetAssetsError:
        return False
    if found.errors:
        return False
    folder, ending = curated.raw_root / name, found.description.file_ending
    cases, _ = find_cases(folder, found.description, roots.environment())
    reader = reader_class(str(reader_of_cases(found.description, cases)))()
    roots.results.mkdir()
    for files in cases:
        images, properties = reader.read_images([str(path) for path in files.images])
        label, of_label = reader.read_seg(str(files.label))
        assert (len(images), images.shape[1:]) == (len(found.description.channel_names), label.shape[1:])
        assert np.allclose(properties["spacing"], of_label["spacing"])
        assert set(np.unique(label)) <= set(found.description.voxel_values)
        reader.write_seg(label[0].astype(np.uint8), str(roots.results / f"{files.case}{ending}"), properties)
    written = {path.name for path in roots.results.iterdir() if not path.name.endswith(".json")}
    assert written == {f"{files.case}{ending}" for files in cases}
    return True


@pytest.mark.filterwarnings("ignore")
def test_a_sample_of_odd_datasets_is_refused_in_words_or_read_by_nnunet(tmp_path: Path) -> None:
    outcomes: Counter[bool] = Counter()
    for seed in SAMPLE:
        roots = Roots(*(tmp_path / str(seed) / name for name in ("raw", "preprocessed", "results")))
        roots.raw.mkdir(parents=True)
        try:
            made = odd_dataset(roots.raw, DATASET, seed, OF_THE_WHOLE + OF_FILES)
        except Exception:  # noqa: BLE001 (two oddities may exclude each other, or their library refuses one)
            continue
        try:
            outcomes[read_and_written(roots, DATASET)] += 1
        except Exception as error:
            error.add_note(f"Seed {seed}, {made.ending}: {made.oddities}")
            raise
    assert min(outcomes[True], outcomes[False]) >= 5


@pytest.mark.faults
@pytest.mark.timeout(3600)
def test_what_check_lets_through_is_planned_preprocessed_loaded_and_predicted(tmp_path: Path) -> None:
    environment = {**with_modules_of(tmp_path), "OMP_NUM_THREADS": "1", "nnUNet_n_proc_DA": "1"}
    first, last = str(TRIED[0]), str(TRIED[-1] + 1)
    command = [sys.executable, "-m", "nnunet_assets_tests.planning_trial", first, last, str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    outcomes = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(outcomes) == len(TRIED), done.stderr[-2000:]
    assert [one for one in outcomes if one["check"] == "crashed" or "dies" in one] == []
    counts = Counter(one["check"] for one in outcomes)
    assert counts["ok"] > len(TRIED) / 5
    assert counts["not made"] < len(TRIED) / 20
