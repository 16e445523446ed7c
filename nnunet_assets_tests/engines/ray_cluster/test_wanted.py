"""What a task asks of Ray, and what is said of a wait."""

import pytest

from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.ray_cluster.wanted import amounts_text, reason_to_wait, task_options, wanted_amounts

WHOLE = Resources(
    gpus=0.5, gpu_type="A100", cpus=8, memory_gb=2.5, address="head:6379", custom_resources={"fast_disk": 1}
)


def test_what_is_declared_becomes_rays_options_and_ray_never_starts_a_task_twice() -> None:
    assert task_options("nnunet_assets-abc", WHOLE) == {
        "name": "nnunet_assets-abc",
        "max_retries": 0,
        "max_calls": 1,
        "num_gpus": 0.5,
        "num_cpus": 8,
        "memory": 2_684_354_560,
        "accelerator_type": "A100",
        "resources": {"fast_disk": 1},
    }


def test_what_is_not_declared_is_left_to_ray() -> None:
    asked = Resources(gpus=0)
    assert task_options("a", asked) == {"name": "a", "max_retries": 0, "max_calls": 1, "num_gpus": 0}
    assert wanted_amounts(asked) == {"CPU": 1.0}


@pytest.mark.parametrize(
    ("nodes", "reason", "may_never_start"),
    [
        # 16 CPUs and 2 GPUs in all, but on no node together.
        ([{"CPU": 16.0}, {"CPU": 2.0, "GPU": 2.0}], "none of the 2 nodes of the cluster has 1 GPU and 8 CPU", True),
        ([{"CPU": 4.0, "GPU": 1.0}], "the only node of the cluster does not have 1 GPU and 8 CPU", True),
        ([], "none of the 0 nodes of the cluster has 1 GPU and 8 CPU, even when idle", True),
        ([{"CPU": 2.0}, {"CPU": 8.0, "GPU": 1.0}], "waits for a node with 1 GPU and 8 CPU free", False),
    ],
)
def test_a_wait_for_what_no_node_has_is_told_from_one_for_what_is_taken(
    nodes: list[dict[str, float]], reason: str, may_never_start: bool
) -> None:
    told, found = reason_to_wait({"GPU": 1.0, "CPU": 8.0}, nodes)
    assert told.startswith(reason)
    assert found is may_never_start


def test_what_the_nodes_have_is_told_once_where_they_are_alike() -> None:
    node = {"GPU": 2.0, "CPU": 8.0, "object_store_memory": 1e9}
    told, _ = reason_to_wait({"GPU": 4.0}, [node, node, {"CPU": 8.0}])
    assert told == "none of the 3 nodes of the cluster has 4 GPU, even when idle: there is 2 GPU; 0 GPU"


def test_amounts_read_as_words() -> None:
    assert amounts_text(wanted_amounts(WHOLE)) == (
        "0.5 GPU, 8 CPU, 2.5 GiB memory, 0.001 accelerator_type:A100 and 1 fast_disk"
    )
    assert amounts_text({}) == "nothing"
