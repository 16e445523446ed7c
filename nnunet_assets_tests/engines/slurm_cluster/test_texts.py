"""What Slurm's commands print. The texts of squeue and scontrol are those of Slurm 22.05; sacct's are of its page."""

import pytest

from nnunet_assets.engines.job_queue import GONE, JobLook
from nnunet_assets.engines.slurm_cluster.texts import gone, look_of, place_of, shown_by_sacct, shown_by_scontrol

CANCELLED = (
    "JobId=1 JobName=nnunet_assets-abc UserId=root(0) GroupId=root(0) MCS_label=N/A Priority=4294901759 Nice=0 "
    "Account=(null) QOS=(null) JobState=CANCELLED Reason=None Dependency=(null) Requeue=0 Restarts=0 BatchFlag=1 "
    "Reboot=0 ExitCode=0:15 RunTime=00:00:06 TimeLimit=00:10:00 TimeMin=N/A SubmitTime=2026-11-30T09:40:01 "
    "NodeList=n1 BatchHost=n1 NumNodes=1 NumCPUs=8 NumTasks=1 CPUs/Task=8 ReqB:S:C:T=0:0:*:* "
    "Command=/tmp/slurmlab/j.sh WorkDir=/tmp/slurmlab StdErr=/tmp/slurmlab/o.1 Power= TresPerNode=gres:gpu:1 "
)


@pytest.mark.parametrize(
    ("printed", "look"),
    [
        ("PENDING|JobHeldUser|N/A||gpu\n", JobLook("PENDING", "JobHeldUser")),
        ("PENDING|Resources|2026-11-30T09:50:05||gpu\n", JobLook("PENDING", "Resources", None, "2026-11-30T09:50:05")),
        ("RUNNING|None|2026-11-30T09:40:02|n1|gpu\n", JobLook("RUNNING", None, "n1", "2026-11-30T09:40:02")),
        ("COMPLETING|None|2026-11-30T09:40:02|n1|gpu\n", JobLook("COMPLETING", None, "n1", "2026-11-30T09:40:02")),
        ("NODE_FAIL|None|N/A|n1|gpu\nPENDING|BeginTime|N/A||gpu\n", JobLook("PENDING", "BeginTime")),
    ],
)
def test_what_squeue_prints_of_a_job(printed: str, look: JobLook) -> None:
    assert look_of(printed) == (look, "gpu")


@pytest.mark.parametrize("printed", ["", "\n", "slurm_load_jobs error: Invalid job id specified\n"])
def test_nothing_printed_of_a_job_is_no_job_and_no_success(printed: str) -> None:
    assert look_of(printed) is None


def test_only_what_is_over_counts_as_over() -> None:
    over = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY", "TIMEOUT"}
    alive = {"PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "STAGE_OUT", "a word of a later version"}
    assert {state for state in over | alive if JobLook(state).is_over} == over
    assert gone() == JobLook(GONE)
    assert gone().is_over


def test_the_place_is_that_among_those_that_wait() -> None:
    assert place_of("12", "11\n12\n14\n") == (2, 3)
    assert place_of("12", "11\n14\n") is None


@pytest.mark.parametrize(
    ("printed", "look"),
    [
        (CANCELLED, JobLook("CANCELLED", None, "n1", exit_code=-15)),
        (CANCELLED.replace("CANCELLED", "FAILED").replace("0:15", "64:0"), JobLook("FAILED", None, "n1", exit_code=64)),
        (
            CANCELLED.replace("CANCELLED Reason=None", "NODE_FAIL Reason=NodeDown"),
            JobLook("NODE_FAIL", "NodeDown", "n1", exit_code=-15),
        ),
        ("slurm_load_jobs error: Invalid job id specified\n", None),
    ],
)
def test_what_scontrol_prints_of_a_job(printed: str, look: JobLook | None) -> None:
    assert shown_by_scontrol(printed) == look


@pytest.mark.parametrize(
    ("printed", "look"),
    [
        ("COMPLETED|0:0|n1\n", JobLook("COMPLETED", None, "n1", exit_code=0)),
        ("CANCELLED by 1000|0:15|n1\n", JobLook("CANCELLED", None, "n1", exit_code=-15)),
        ("TIMEOUT|0:0|gpu-[03-04]\n", JobLook("TIMEOUT", None, "gpu-[03-04]", exit_code=0)),
        ("OUT_OF_MEMORY|0:125|n2\n", JobLook("OUT_OF_MEMORY", None, "n2", exit_code=-125)),
        ("PENDING|0:0|None assigned\n", JobLook("PENDING", None, "None assigned", exit_code=0)),
        ("", None),
    ],
)
def test_what_sacct_prints_of_a_job(printed: str, look: JobLook | None) -> None:
    assert shown_by_sacct(printed) == look
