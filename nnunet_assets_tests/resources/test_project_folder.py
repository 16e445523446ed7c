"""What a run does to its process before it makes anything."""

import os
import subprocess
import sys

PRIORITY_IN_A_RUN = """
import os
import dagster as dg
from nnunet_assets.resources.project_folder import ProjectResource

@dg.asset
def priority(project: ProjectResource) -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)

for tags in ({}, {"nnunet_assets/refresh": "an-experiment"}):
    resources = {"project": ProjectResource(folder="/")}
    print(dg.materialize([priority], resources=resources, tags=tags).output_for_node("priority"))
"""


def test_a_run_that_nobody_waits_for_leaves_the_processors_to_trainings() -> None:
    # In a process of its own: a process cannot take back what it gave away.
    command = [sys.executable, "-c", PRIORITY_IN_A_RUN]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    own = os.getpriority(os.PRIO_PROCESS, 0)
    assert [int(line) for line in shown.split()] == [own, max(own, 10)]
