"""What a run does to its process before it makes anything."""

import os
import subprocess
import sys
from typing import Any

import pytest

PRIORITY_IN_A_RUN = """
import os, sys
import dagster as dg
from nnunet_assets.resources.project_folder import ProjectResource

@dg.asset
def priority(project: ProjectResource) -> int:
    return os.getpriority(os.PRIO_PROCESS, 0)

resources, tags = {"project": ProjectResource(folder="/")}, dict(tag.split("=") for tag in sys.argv[1:])
print(dg.materialize([priority], resources=resources, tags=tags).output_for_node("priority"))
"""


@pytest.mark.parametrize(("tags", "lowered"), [((), 0), (("nnunet_assets/refresh=an-experiment",), 10)])
def test_a_run_that_nobody_waits_for_leaves_the_processors_to_trainings(tags: tuple[Any, ...], lowered: int) -> None:
    # In a process of its own: a process cannot take back what it gave away.
    command = [sys.executable, "-c", PRIORITY_IN_A_RUN, *tags]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout
    assert int(shown) == max(os.getpriority(os.PRIO_PROCESS, 0), lowered)
