"""The intake of a raw dataset against nnU-Net's own integrity check, and its memory with many cases.

    python benchmarks/intake.py [DATASET_FOLDER] [--processes 2]

DATASET_FOLDER is a dataset in nnU-Net's form, such as nnUNet_raw/Dataset004_Hippocampus; without it one is generated.
Both sides read every case, each in a new Python with as many processes (nnU-Net) or threads (intake), in turn. Prints
the ratio of the medians of their times; that of their processor times, where nnU-Net's functions run in threads too, so
that its processes' import of torch does not count; and the largest memory of an intake of 2,000 small cases. Exit code
1: a goal was missed.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import nibabel
import numpy as np

ROUNDS = 3
N_GENERATED = 24
SHAPE = (192, 192, 96)
N_SMALL = 2000
GOAL_RATIO = 1.0
GOAL_BYTES = 1 << 30

OURS = """
import json, resource, sys, time
from pathlib import Path
from nnunet_assets.nnunet.cases import case_reading
from nnunet_assets.nnunet.raw import raw_data
case_reading.WORKERS = int(sys.argv[2])
folder = Path(sys.argv[1])
start, cpu = time.perf_counter(), time.process_time()
found = raw_data.inspect_raw_dataset(folder.parent, folder.name, 5)
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
assert found.errors == (), found.errors[:3]
peak = 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "cpu_seconds": cpu, "peak_bytes": peak}))
"""
# nnU-Net starts its processes anew within the check, each of which imports torch: that is part of what it costs.
THEIRS = """
import json, sys, time
from nnunetv2.experiment_planning.verify_dataset_integrity import verify_dataset_integrity
if __name__ == "__main__":
    start = time.perf_counter()
    verify_dataset_integrity(sys.argv[1], int(sys.argv[2]))
    print(json.dumps({"seconds": time.perf_counter() - start}))
"""
# The same without these processes: its functions, in as many threads, as if torch were there already.
THEIR_READING = """
import json, sys, time
from multiprocessing.pool import ThreadPool
from types import SimpleNamespace
from nnunetv2.experiment_planning import verify_dataset_integrity as module
module.multiprocessing = SimpleNamespace(get_context=lambda kind: SimpleNamespace(Pool=ThreadPool))
cpu = time.process_time()
module.verify_dataset_integrity(sys.argv[1], int(sys.argv[2]))
print(json.dumps({"cpu_seconds": time.process_time() - cpu}))
"""


def main() -> int:
    """Runs the benchmark and returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dataset", nargs="?", type=Path, help="a dataset in nnU-Net's form; default: a generated one")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        scripts = {}
        for name, text in {"intake": OURS, "nnU-Net": THEIRS, "nnU-Net's reading": THEIR_READING}.items():
            scripts[name] = Path(temporary) / f"{len(scripts)}.py"
            scripts[name].write_text(text)
        dataset = asked.dataset or generated(Path(temporary) / "large", N_GENERATED, SHAPE)
        results: dict[str, list[dict[str, float]]] = {name: [] for name in scripts}
        for _ in range(ROUNDS):
            for name, script in scripts.items():
                results[name].append(run(script, dataset, asked.processes))
        met = [
            said(f"{what}, {asked.processes} processes: intake / {name}", results["intake"], results[name], unit)
            for what, name, unit in (
                ("time", "nnU-Net", "seconds"),
                ("processor time", "nnU-Net's reading", "cpu_seconds"),
            )
        ]
        small = generated(Path(temporary) / "small", N_SMALL, (24, 24, 16))
        result = run(scripts["intake"], small, asked.processes)
    is_small = result["peak_bytes"] <= GOAL_BYTES
    print(
        f"{N_SMALL} small cases: {result['seconds']:.1f} s, {result['peak_bytes'] / 2**20:.0f} MiB at most "
        f"(goal {GOAL_BYTES >> 20}: {'met' if is_small else 'MISSED'})"
    )
    return int(not (all(met) and is_small))


def generated(root: Path, n_cases: int, shape: tuple[int, int, int]) -> Path:
    """Writes cases of 16-bit noise with two labels, compressed as ITK does, and returns the dataset's folder."""
    folder = root / "Dataset001_Generated"
    rng = np.random.default_rng(0)
    for subfolder in ("imagesTr", "labelsTr"):
        (folder / subfolder).mkdir(parents=True)
    label = np.zeros(shape, np.uint8)
    label[2:12, 2:12, 2:12], label[14:20, 2:12, 2:12] = 1, 2
    for case in range(n_cases):
        image = (100 * rng.normal(size=shape)).astype(np.int16)
        for name, voxels in ((f"imagesTr/case_{case}_0000", image), (f"labelsTr/case_{case}", label)):
            nibabel.Nifti1Image(voxels, np.eye(4)).to_filename(folder / f"{name}.nii.gz")
    content = {
        "channel_names": {"0": "MRI"},
        "labels": {"background": 0, "organ": 1, "lesion": 2},
        "numTraining": n_cases,
        "file_ending": ".nii.gz",
    }
    (folder / "dataset.json").write_text(json.dumps(content))
    return folder


def run(script: Path, dataset: Path, n_processes: int) -> dict[str, float]:
    """Returns what a script prints in its last line."""
    roots = {name: str(dataset.parent) for name in ("nnUNet_raw", "nnUNet_preprocessed", "nnUNet_results")}
    command = [sys.executable, str(script), str(dataset), str(n_processes)]
    output = subprocess.run(command, env=os.environ | roots, check=True, capture_output=True, text=True).stdout
    result: dict[str, float] = json.loads(output.splitlines()[-1])
    return result


def said(what: str, ours: list[dict[str, float]], theirs: list[dict[str, float]], unit: str) -> bool:
    """Prints a ratio of medians with what it is made of, and tells whether it meets its goal."""
    above, below = ([result[unit] for result in side] for side in (ours, theirs))
    ratio = median(above) / median(below)
    details = ", ".join(f"{median(side):.2f} s ({min(side):.2f} to {max(side):.2f})" for side in (above, below))
    verdict = "met" if ratio <= GOAL_RATIO else "MISSED"
    print(f"{what}: {ratio:.2f} (goal at most {GOAL_RATIO:g}: {verdict}; {details})", flush=True)
    return ratio <= GOAL_RATIO


if __name__ == "__main__":
    sys.exit(main())
