"""What a task asks of Ray, and what the nodes say to that: values in, values and words out."""

from collections.abc import Iterable, Mapping
from typing import Any

from nnunet_assets.core.text.amounts import bytes_text
from nnunet_assets.core.training.resources import Resources

GIB = 1024**3


def task_options(name: str, resources: Resources) -> dict[str, Any]:
    """Returns what `ray.remote` is to know of a task, which Ray never starts a second time by itself.

    Args:
        name: What it is called on the cluster.
        resources: What it is to get.
    """
    wanted = {
        "num_gpus": resources.gpus,
        "num_cpus": resources.cpus,
        "memory": None if resources.memory_gb is None else round(resources.memory_gb * GIB),
        "accelerator_type": resources.gpu_type,
        "resources": dict(resources.custom_resources) or None,
    }
    return {
        "name": name,
        # Who supervises the fold decides what comes after a lost node; and a worker that was lent to it is not kept.
        "max_retries": 0,
        "max_calls": 1,
        **{option: value for option, value in wanted.items() if value is not None},
    }


def wanted_amounts(resources: Resources) -> dict[str, float]:
    """Returns what a node must have free, by Ray's names: `{"GPU": 1.0, "CPU": 8.0}`."""
    accelerator = {f"accelerator_type:{resources.gpu_type}": 0.001} if resources.gpu_type else {}
    wanted = {
        "GPU": float(resources.gpus),
        "CPU": float(resources.cpus if resources.cpus is not None else 1),
        "memory": float(round((resources.memory_gb or 0) * GIB)),
        **accelerator,
        **{name: float(amount) for name, amount in resources.custom_resources.items()},
    }
    return {name: amount for name, amount in wanted.items() if amount}


def reason_to_wait(wanted: Mapping[str, float], nodes: Iterable[Mapping[str, float]]) -> tuple[str, bool]:
    """Returns why a task waits, and whether no node could ever run it as the cluster is now.

    Args:
        wanted: As `wanted_amounts`.
        nodes: What each living node has in all, by Ray's names.
    """
    whole = list(nodes)
    words = amounts_text(wanted)
    if any(all(node.get(name, 0.0) >= amount for name, amount in wanted.items()) for node in whole):
        return f"waits for a node with {words} free, and for a worker to start there", False
    n_nodes = f"none of the {len(whole)} nodes" if len(whole) != 1 else "the only node"
    has = "; ".join(dict.fromkeys(amounts_text({name: node.get(name, 0.0) for name in wanted}) for node in whole))
    verb = "has" if len(whole) != 1 else "does not have"
    return f"{n_nodes} of the cluster {verb} {words}, even when idle" + (f": there is {has}" if has else ""), True


def amounts_text(amounts: Mapping[str, float]) -> str:
    """Returns amounts in words: `1 GPU and 8 CPU`."""
    words = [
        f"{bytes_text(amount)} memory" if name == "memory" else f"{amount:g} {name}" for name, amount in _order(amounts)
    ]
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1] if words else "nothing"]))


def _order(amounts: Mapping[str, float]) -> list[tuple[str, float]]:
    first = {"GPU": 0, "CPU": 1, "memory": 2}
    return sorted(amounts.items(), key=lambda item: (first.get(item[0], 3), item[0]))
