"""Folds that plain nnU-Net trains in the project's results are adopted by themselves, where that is switched on."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import dagster as dg

from nnunet_assets.core.layout import Experiment
from nnunet_assets.resources import ProjectResource

ADOPTING_SECONDS = 50
"""The daemon gives a tick 60 s; importing torch takes 6 to 19 of them."""


def build_adoption_sensor(experiments: Sequence[Experiment]) -> dg.SensorDefinition:
    """Returns the sensor that adopts one fold a tick and has Dagster record it; off until switched on.

    Its cursor holds the folds that could not be adopted, each with the time of its scores: they are tried again when
    these change, and hold up no other fold meanwhile.
    """

    @dg.sensor(
        name="adopt_folds",
        minimum_interval_seconds=60,
        default_status=dg.DefaultSensorStatus.STOPPED,
        description="Takes in finished folds of declared experiments that plain nnU-Net trained.",
    )
    def adopt_folds(context: dg.SensorEvaluationContext, project: ProjectResource) -> dg.SensorResult:
        from nnunet_assets.assets.adopted_folds import back_fill, materialization
        from nnunet_assets.nnunet.adoption import adopt_fold

        refused: dict[str, int] = json.loads(context.cursor or "{}")
        fold = _next(project, experiments, refused)
        if fold is None:
            looked = f"No fold to adopt. Experiments looked at: {len(experiments)}; folds refused: {len(refused)}."
            return dg.SensorResult(skip_reason=looked, cursor=context.cursor)
        problem = _adopt(fold)
        if problem:
            cursor = json.dumps({**refused, str(fold): _written_at(fold)})
            return dg.SensorResult(skip_reason=problem, cursor=cursor)
        # Committed by now, so that this reads no checkpoint.
        adopted = adopt_fold(fold)
        report = back_fill(project.settings, adopted)
        if report.problem:
            context.log.warning(report.problem)
        return dg.SensorResult(asset_events=[materialization(adopted)], cursor=context.cursor)

    return adopt_folds


def _next(project: ProjectResource, experiments: Sequence[Experiment], refused: dict[str, int]) -> Path | None:
    from nnunet_assets.nnunet.results_folder import unadopted_folds

    roots = project.settings.roots
    folds = (fold for experiment in experiments for fold in unadopted_folds(experiment.model_folder(roots)))
    return next((fold for fold in folds if refused.get(str(fold)) != _written_at(fold)), None)


def _written_at(fold: Path) -> int:
    return (fold / "validation" / "summary.json").stat().st_mtime_ns


def _adopt(fold: Path) -> str | None:
    """Adopts a fold in a process of its own, which keeps torch out of the daemon; returns what is wrong with it."""
    command = [sys.executable, "-m", "nnunet_assets.nnunet.adoption", str(fold)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ADOPTING_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"{fold} could not be adopted within {ADOPTING_SECONDS} s. `nnunet-assets adopt {fold}` takes its time."
    if done.returncode == 0:
        return None
    return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{fold} could not be adopted."
