"""What many experiments cost Dagster's own processes, whoever trains them: the figures of docs/scale.md.

    python benchmarks/scale.py [--experiments 1000]

Processor seconds, which a busy machine leaves as they are, and memory, each in a process of its own. Nothing is
trained, and nothing is written but in a temporary folder.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from load_and_tick import RUN_OURS, write_project

MEASURE = """
import json, resource, sys, time
from pathlib import Path

def used():
    return {{"seconds": time.process_time(), "mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}}

import dagster
from nnunet_assets.definitions import load_definitions
before = used()
{work}
after = used()
after["added"] = after["seconds"] - before["seconds"]
print(json.dumps(after))
"""
READ = MEASURE.format(work="from nnunet_assets.declarations.project import read_project\nread_project(Path.cwd())")
LOAD = MEASURE.format(work="load_definitions(Path.cwd()).get_repository_def().get_all_jobs()")
TICKS = """
import json, sys, time
from pathlib import Path
from tempfile import TemporaryDirectory
import dagster as dg
from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.assets.graph import comparison_keys, summary_keys
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.sensors import build_refresh_sensor

n = int(sys.argv[1])
experiments = [Experiment(f"Dataset{1 + number // 10:03}_Bench", "2d", variant=f"v{number}") for number in range(n)]
made = {key for one in experiments for key in (*summary_keys(one), *comparison_keys(one.dataset))}

@dg.multi_asset(specs=[dg.AssetSpec(key) for key in {*made, *map(fold_model_key, experiments)}], can_subset=True)
def everything(): ...

sensor = build_refresh_sensor(experiments)
definitions = dg.Definitions(assets=[everything], sensors=[sensor])
with TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
    instance = dg.DagsterInstance.local_temp(folder)
    for one in experiments:
        for fold in range(5):
            instance.report_runless_asset_event(dg.AssetMaterialization(fold_model_key(one), partition=f"fold_{fold}"))
    def tick(cursor):
        began = time.process_time()
        context = dg.build_sensor_context(instance, cursor=cursor, definitions=definitions)
        result = sensor.evaluate_tick(context)
        return time.process_time() - began, result.cursor, len(result.run_requests or [])
    first, cursor, requests = tick(None)
    quiet = min(tick(cursor)[0] for _ in range(3))
    print(json.dumps({"all due": first, "requests": requests, "quiet": quiet, "cursor bytes": len(cursor or "")}))
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiments", type=int, default=1000)
    n = parser.parse_args().experiments
    with tempfile.TemporaryDirectory() as folder:
        project = write_project(Path(folder) / f"project_{n}", n)
        for what, code in {"declarations": READ, "definitions": LOAD}.items():
            found = measured(project, code)
            print(f"{what} of {n} experiments: {found['added']:.1f} s of processor, {found['mib']:.0f} MiB", flush=True)
        print(f"start of a run among them: {float(printed(project, RUN_OURS)):.1f} s of processor", flush=True)
        ticks = json.loads(printed(project, TICKS, str(n)))
    print(
        f"tick of the refresh sensor, {5 * n} folds there: {ticks['quiet']:.2f} s where nothing is new, "
        f"{ticks['all due']:.2f} s where all are ({ticks['requests']} runs asked for); "
        f"its cursor has {ticks['cursor bytes'] / 1024:.0f} KiB"
    )
    return 0


def measured(project: Path, code: str) -> dict[str, float]:
    return dict(json.loads(printed(project, code)))


def printed(project: Path, code: str, *arguments: str) -> str:
    """Returns the last line that a process of its own prints."""
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, cwd=project, check=True, timeout=1800, capture_output=True, text=True)
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    sys.exit(main())
