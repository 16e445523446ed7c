"""Folds that plain nnU-Net trains in the project's results are adopted by themselves, where that is switched on."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

import dagster as dg

from nnunet_assets.assets.fold.partitions import fold_model_key
from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.processes.interpreter import python_command, with_safe_imports
from nnunet_assets.resources.mlflow import destination_in
from nnunet_assets.resources.project_folder import ProjectResource

ADOPTING_SECONDS = 50
"""The daemon gives a tick 60 s; importing torch takes 6 to 19 of them."""


def build_adoption_sensor(experiments: Sequence[Experiment]) -> dg.SensorDefinition:
    """Returns the sensor that adopts one fold a tick and has Dagster record it; off until switched on.

    One that is adopted, but that Dagster has not recorded as it is now, is recorded: a tick may be killed in between.
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
        from nnunet_assets.assets.fold.adopted_folds import materialization
        from nnunet_assets.nnunet.adoption.adoption import adopted_before
        from nnunet_assets.workflows.fold.adopted_fold_run import back_fill

        refused: dict[str, int] = json.loads(context.cursor or "{}")
        fold = _next(context.instance, project, experiments, refused)
        if fold is None:
            looked = f"No fold to adopt. Experiments looked at: {len(experiments)}; folds refused: {len(refused)}."
            return dg.SensorResult(skip_reason=looked, cursor=context.cursor)
        problem = _adopt(fold, project.settings.child_environment())
        if problem:
            cursor = json.dumps({**refused, str(fold): _written_at(fold)})
            return dg.SensorResult(skip_reason=problem, cursor=cursor)
        adopted = adopted_before(fold)
        # First, since a server that hangs may cost the rest of the tick; what it did not get waits for `sync`.
        context.instance.report_runless_asset_event(materialization(adopted))
        report = back_fill(destination_in(context.repository_def, project.settings), adopted)
        if report.problem:
            context.log.warning(report.problem)
        return dg.SensorResult(skip_reason=f"{fold} is adopted and recorded.", cursor=context.cursor)

    return adopt_folds


def _next(
    instance: dg.DagsterInstance, project: ProjectResource, experiments: Sequence[Experiment], refused: dict[str, int]
) -> Path | None:
    from nnunet_assets.nnunet.results.results_folder import unadopted_folds

    for experiment in experiments:
        model = experiment.model_folder(project.settings.roots)
        for fold in (*unadopted_folds(model), *_unrecorded(instance, experiment, model)):
            if refused.get(str(fold)) != _written_at(fold):
                return fold
    return None


def _unrecorded(instance: dg.DagsterInstance, experiment: Experiment, model: Path) -> list[Path]:
    """Returns the adopted folds that Dagster does not know, or knows as they were before."""
    from nnunet_assets.assets.fold.recorded_folds import recorded_folds
    from nnunet_assets.core.fold.commit import FinishedFold

    found = [FinishedFold.read(fold) for fold in sorted(model.glob("fold_*"))]
    folds = [fold for fold in found if fold and fold.manifest.is_adopted]
    if not folds:
        return []
    recorded = {fold.folder.name: fold.data_version for fold in recorded_folds(instance, fold_model_key(experiment))}
    return [fold.folder for fold in folds if recorded.get(fold.folder.name) != fold.sha256]


def _written_at(fold: Path) -> int:
    return (fold / "validation" / "summary.json").stat().st_mtime_ns


def _adopt(fold: Path, environment: Mapping[str, str]) -> str | None:
    """Adopts a fold in a process of its own, which keeps torch out of the daemon; returns what is wrong with it."""
    command = python_command("-m", "nnunet_assets.nnunet.adoption.adoption", str(fold))
    try:
        done = subprocess.run(
            command,
            env=with_safe_imports(environment),
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=ADOPTING_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"{fold} could not be adopted within {ADOPTING_SECONDS} s. `nnunet-assets adopt {fold}` takes its time."
    if done.returncode == 0:
        return None
    return done.stderr.strip().splitlines()[-1] if done.stderr.strip() else f"{fold} could not be adopted."
