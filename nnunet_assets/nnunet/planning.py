"""Plans and preprocessed cases of a dataset, made in a child process and only where they are not up to date."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

from nnunet_assets.core.layout import Roots
from nnunet_assets.errors import PlanningError
from nnunet_assets.nnunet.child import LOG_FILE, ChildResult, run_child
from nnunet_assets.nnunet.prepared import PreparedDataset
from nnunet_assets.nnunet.supervisor import run_with_restarts
from nnunet_assets.nnunet.workers import worker_variables

_logger = logging.getLogger(__name__)

PLANNERS = {
    "nnUNetPlans": "ExperimentPlanner",
    "nnUNetResEncUNetMPlans": "nnUNetPlannerResEncM",
    "nnUNetResEncUNetLPlans": "nnUNetPlannerResEncL",
    "nnUNetResEncUNetXLPlans": "nnUNetPlannerResEncXL",
}
"""nnU-Net's plans identifiers and the planners that make them; any other name is the user's own plans file."""


@dataclass(frozen=True)
class PreparedPlans:
    """Plans as they are on disk after `prepare`.

    Attributes:
        plans_hash: Digest of the plans file's content.
        configurations: The wanted configurations that the plans have.
        dropped: The wanted configurations that the plans do not have.
        planned: nnU-Net's plans, by configuration: patch size, batch size, spacing in mm, both in nnU-Net's axis
            order (z, y, x for NIfTI).
        made: What had to be made: `plans`, configurations.
    """

    plans_hash: str
    configurations: tuple[str, ...]
    dropped: tuple[str, ...]
    planned: Mapping[str, Mapping[str, Any]]
    made: tuple[str, ...]


def prepare(
    roots: Roots,
    dataset: str,
    plans: str,
    *,
    configurations: Sequence[str],
    trainers: Sequence[str],
    environment: Mapping[str, str],
    on_progress: Callable[[str, int, int], None] = lambda *_: None,
) -> PreparedPlans:
    """Plans and preprocesses a dataset for the wanted configurations; does nothing where all is up to date.

    Args:
        roots: nnU-Net's folders.
        dataset: `DatasetXXX_Name`, looked at before (`raw.json`).
        plans: Plans identifier.
        configurations: The configurations that experiments want; one that the plans lack is reported as dropped.
        trainers: Trainer classes that experiments want; an unknown one is an error before any long work.
        environment: Environment of the child, without nnU-Net's folders.
        on_progress: Called with the configuration, the cases preprocessed so far, and all cases.

    Raises:
        PlanningError: The child failed, or a plans file is there that this project did not make.
    """
    prepared = PreparedDataset(roots, dataset)
    raw = prepared.read_raw()
    made_from = {"raw_hash": raw.content_hash, "planner": PLANNERS.get(plans), "nnunetv2": version("nnunetv2")}
    replan = _must_plan(prepared, plans, made_from)
    before = {} if replan else {c: prepared.cases_stamp(plans, c) for c in configurations}
    request = {
        "dataset": dataset,
        "plans": plans,
        "made_from": made_from,
        "replan": replan,
        "configurations": list(configurations),
        "trainers": sorted(set(trainers)),
        "verify_integrity": not raw.voxels_checked,
    }
    if replan or any(
        prepared.cases_stamp(plans, c) != prepared.cases_made_from(plans, c)
        for c in prepared.needed_configurations(plans, configurations)
    ):
        folder = prepared.own / f"prepare_{plans}"

        def start(n_halvings: int) -> ChildResult:
            return run_child(
                "nnunet_assets.nnunet.planning_process",
                request,
                folder=folder,
                environment={
                    **environment,
                    **prepared.roots.environment(),
                    **worker_variables(environment, n_halvings=n_halvings),
                },
                on_poll=lambda: _report(prepared, plans, configurations, len(raw.cases), on_progress),
            )

        result = run_with_restarts(start, own_folder=folder, is_done=lambda: False, say=_logger.warning)
        if result.problem:
            raise PlanningError(
                f"Preparing {dataset} with {plans} failed: {result.problem} The whole output is in {folder / LOG_FILE}."
            )
    planned = prepared.configurations(plans)
    available = [c for c in configurations if c in planned]
    return PreparedPlans(
        plans_hash=str(prepared.plans_hash(plans)),
        configurations=tuple(available),
        dropped=tuple(c for c in configurations if c not in available),
        planned={c: planned[c] for c in available},
        made=(
            *(["plans"] if replan else []),
            *(c for c in available if prepared.cases_stamp(plans, c) != before.get(c)),
        ),
    )


def _must_plan(prepared: PreparedDataset, plans: str, made_from: Mapping[str, Any]) -> bool:
    """Says whether the plans have to be made; plans that somebody else made or edited are never overwritten."""
    stamp = prepared.plans_stamp(plans)
    if stamp is not None and stamp["plans_hash"] is None:  # interrupted while they were made, and perhaps torn
        return True
    now = prepared.plans_hash(plans)
    if plans not in PLANNERS:
        if now is None:
            raise PlanningError(
                f"There are no plans {plans!r} for {prepared.dataset}: {prepared.plans_file(plans)} is missing. Put "
                f"your plans file there, or use one of {', '.join(PLANNERS)}."
            )
        return False
    if now is None:
        return True
    if stamp is None or stamp["plans_hash"] != now:
        raise PlanningError(
            f"{prepared.plans_file(plans)} was made or edited outside this project. To use it, rename it (its "
            "plans_name too) and declare that name as `plans`; to have it made anew, delete it."
        )
    return {key: stamp.get(key) for key in made_from} != dict(made_from)


def _report(
    prepared: PreparedDataset,
    plans: str,
    configurations: Sequence[str],
    n_cases: int,
    on_progress: Callable[[str, int, int], None],
) -> None:
    try:
        planned = prepared.configurations(plans)
    except PlanningError:  # nnU-Net is writing the file
        return
    for configuration in filter(planned.__contains__, configurations):
        n_done = len(list(prepared.cases_folder(plans, configuration).glob("*.pkl")))
        if n_done:
            on_progress(configuration, n_done, n_cases)
