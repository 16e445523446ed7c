"""The clusters on which `engines.py` measures: a real Slurm and a real Ray, each of two nodes on this machine."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass

from nnunet_assets.core.files.layout import FoldPlace
from nnunet_assets.core.training.resources import Resources
from nnunet_assets.engines.job_files import read_from_job, read_record
from nnunet_assets.engines.named import EngineName
from nnunet_assets.engines.ray_cluster.driver_files import TOLD_FILE, RayTold
from nnunet_assets_tests.engines import real_ray as ray_module
from nnunet_assets_tests.engines import real_slurm as slurm_module
from nnunet_assets_tests.engines.real_ray import RealRay, real_ray
from nnunet_assets_tests.engines.real_slurm import RealSlurm, real_slurm


@dataclass(frozen=True)
class Cluster:
    """A cluster that runs.

    Attributes:
        engine: Its engine.
        variables: By which it is found.
        resources: Of a job.
        declared: Lines of `engine.yaml` that only it needs.
        n_waiting: Says how many of these folds wait in its queue.
        without_nodes: While this is entered no job can start, and those that are asked for wait.
    """

    engine: EngineName
    variables: Mapping[str, str]
    resources: Resources
    declared: str
    n_waiting: Callable[[Iterable[FoldPlace]], int]
    without_nodes: Callable[[], AbstractContextManager[None]]


def lack_of(engine: str) -> str | None:
    """Says why there can be no such cluster here; None: there can."""
    return slurm_module.lack() if engine == "slurm" else ray_module.lack()


@contextmanager
def running(engine: str) -> Iterator[Cluster]:
    """Yields a cluster of its own, of which nothing is left afterwards."""
    if engine == "slurm":
        with real_slurm() as slurm:
            yield _of_slurm(slurm)
    else:
        with real_ray() as ray:
            ray.add_node("n2")  # the head has no GPU
            yield _of_ray(ray)


def _of_slurm(slurm: RealSlurm) -> Cluster:
    @contextmanager
    def without_nodes() -> Iterator[None]:
        slurm.call("scontrol", "update", "nodename=n1,n2", "state=drain", "reason=benchmark")
        try:
            yield
        finally:
            for node in ("n1", "n2"):
                slurm.resume(node)

    asked = Resources(gpus=1, cpus=2, time_limit_minutes=10)
    return Cluster("slurm", slurm.variables, asked, "", lambda _: len(slurm.jobs("PENDING")), without_nodes)


def _of_ray(ray: RealRay) -> Cluster:
    @contextmanager
    def without_nodes() -> Iterator[None]:
        for node in ("n1", "n2"):
            ray.kill_node(node)
        try:
            yield
        finally:
            for node in ("n1", "n2"):
                ray.add_node(node)

    asked = Resources(gpus=1, cpus=2, address=ray.address)
    return Cluster("ray", ray.variables, asked, f"address: {ray.address}\n", _n_pending, without_nodes)


def _n_pending(places: Iterable[FoldPlace]) -> int:
    """Returns how many tasks wait, as their drivers have it."""
    records = [(place, record) for place in places if (record := read_record(place.folder))]
    told = [read_from_job(RayTold, place.own / "jobs" / record.job / TOLD_FILE) for place, record in records]
    return sum(one is not None and one.state == "PENDING" for one in told)
