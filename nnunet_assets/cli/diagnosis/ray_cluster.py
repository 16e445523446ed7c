"""Whether the Ray cluster on which experiments are declared to train is there, and has what they ask for."""

from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import version

from nnunet_assets.cli.diagnosis.findings import Finding
from nnunet_assets.declarations.project import Project, read_project
from nnunet_assets.engines.ray_cluster.probe import NoClusterError, cluster_nodes
from nnunet_assets.engines.ray_cluster.wanted import amounts_text, reason_to_wait, wanted_amounts
from nnunet_assets.errors import ConfigError
from nnunet_assets.settings import Settings

WHAT = "Ray"

Probe = Callable[[str | None, Mapping[str, str]], list[dict[str, float]]]


def ray_findings(settings: Settings, probe: Probe = cluster_nodes) -> Iterator[Finding]:
    """Looks at the clusters of the experiments that train on Ray; nothing where none does.

    Args:
        settings: Of the project.
        probe: As `cluster_nodes`.
    """
    try:
        project = read_project(settings.project)
    except ConfigError:  # found by `declaration_findings`
        return
    declared = {project.engine_of(one).address for one in project.in_jobs if project.engine_of(one).chosen == "ray"}
    for address in sorted(declared, key=str):
        try:
            nodes = probe(address, settings.cluster_environment())
        except ConfigError as error:
            yield Finding("error", WHAT, str(error))
            return
        except NoClusterError as error:
            remedy = "Folds wait until it answers. The machine where Dagster runs must be one of its nodes."
            yield Finding("error", WHAT, f"{address or 'auto'}: {error}", remedy)
            continue
        total = {name: sum(node.get(name, 0.0) for node in nodes) for name in ("GPU", "CPU")}
        found = f"{version('ray')} at {address or 'auto'}: nodes: {len(nodes)}, in all {amounts_text(total)}"
        yield Finding("ok", WHAT, found)
        yield from _unmet(project, address, nodes)


def _unmet(project: Project, address: str | None, nodes: list[dict[str, float]]) -> Iterator[Finding]:
    for experiment in project.in_jobs:
        engine = project.engine_of(experiment)
        if engine.chosen != "ray" or engine.address != address:
            continue
        asked = engine.resources(device=experiment.device, num_gpus=experiment.num_gpus)
        reason, may_never_start = reason_to_wait(wanted_amounts(asked), nodes)
        if may_never_start:
            remedy = "Ask for less in engine.yaml or the experiment's `engine`, unless such a node is still to come."
            yield Finding("warning", WHAT, f"{experiment.identity.title}: {reason}.", remedy)
