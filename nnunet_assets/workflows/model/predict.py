"""New images predicted by a model into a folder of the user's, with what there is to say of each mask.

On disk see `nnunet.predictions.output_folder`; beside the masks lie `predictions.csv` (a row a case), `images.csv` (a
row a file: which case and channel it is), `predictions.json` (the model, the flags, what each mask was made from) and
`previews/CASE.png`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.dataset.findings import Finding, findings_text
from nnunet_assets.core.files.atomic_files import remove_unfinished
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.core.progress import Progress
from nnunet_assets.errors import PredictionError
from nnunet_assets.workflows.model.planned_prediction import PlannedPrediction
from nnunet_assets.workflows.model.predicted_files import PREVIEWS, Previews, write_files

if TYPE_CHECKING:
    from nnunet_assets.nnunet.predictions.cases_run import RunEnd
    from nnunet_assets.nnunet.predictions.checked_images import CheckedCase
    from nnunet_assets.nnunet.predictions.prediction_request import CaseToPredict


@dataclass(frozen=True)
class PredictedImages:
    """Images that are predicted.

    Attributes:
        folder: With the masks.
        model: The model's title.
        digest: Of what decides the masks beside the images.
        cases: By name, all that the call was for.
        n_predicted: Those that were predicted now; the others were there.
        device: What predicted them; None: nothing was predicted now.
        warnings: What somebody should look at.
    """

    folder: Path
    model: str
    digest: str
    cases: tuple[str, ...]
    n_predicted: int
    device: str | None
    warnings: tuple[Finding, ...]

    @property
    def headline(self) -> str:
        """The result in one line."""
        on = f" on {self.device}" if self.device else ""
        n = len(self.cases)
        others = "" if self.n_predicted == n else ", the others before"
        were = "case was" if n == 1 else "cases were"
        return f"{self.n_predicted} of {n} {were} predicted now{on}{others}."

    @property
    def n_warned(self) -> int:
        """How many cases there is something to say of."""
        return len({finding.case for finding in self.warnings if finding.case})


def predict_images(plan: PlannedPrediction, progress: Progress) -> PredictedImages:
    """Predicts what is missing; a killed prediction goes on with the next case.

    Raises:
        PredictionError: The folder holds what is not to be overwritten, another process predicts into it, the disk
            is too small, or the process ended without having predicted every case.
    """
    with plan.folder.sole_owner():
        return _predict(plan, progress)


def _predict(plan: PlannedPrediction, progress: Progress) -> PredictedImages:
    folder, model, wanted, made_by = plan.folder, plan.model, plan.wanted, plan.made_by
    first = model.usable.first
    _refuse_small_disk(plan)
    model_files = {name: first.folder / name for name in (DATASET_JSON, "plans.json")}
    folder.begin(made_by, wanted, model_files, overwrites=plan.asked.overwrite)
    missing = folder.missing(wanted)
    if missing:
        n_there = len(wanted) - len(missing)
        there = f"; {n_there} {'is' if n_there == 1 else 'are'} there already" if n_there else ""
        are = "1 case is" if len(missing) == 1 else f"{len(missing)} cases are"
        progress.say(f"{are} to be predicted into {folder.folder} by {model.usable.title}{there}.")
    if plan.warnings:
        progress.warn(findings_text(plan.warnings))
    remove_unfinished(folder.folder / PREVIEWS, is_sole_owner=True)
    pictures = Previews(folder, plan.checked.cases if plan.asked.previews else (), model.description)
    device = None
    if missing:
        cases = _stages_first(plan, missing, progress)
        end = _run(plan, model.usable.members, cases, progress, pictures)
        device = end.device
    pictures.draw_all(progress)
    digest = json_sha256(made_by.settings)
    checked = plan.checked
    write_files(folder, model, made_by, digest, cases=checked.cases, warnings=plan.warnings, reader=checked.reader)
    return PredictedImages(
        folder.folder, model.usable.title, digest, tuple(wanted), len(missing), device, plan.warnings
    )


def _refuse_small_disk(plan: PlannedPrediction) -> None:
    from nnunet_assets.processes.machine.disk_space import lacking_room

    there = next(path for path in (plan.asked.output, *plan.asked.output.resolve().parents) if path.is_dir())
    # Compressed, probabilities may take a tenth of their size in memory.
    certain = plan.needed_bytes // 20
    if lack := lacking_room(there, certain, "The masks and probabilities take"):
        raise PredictionError(f"{lack} Make room there, or name a folder on another disk.")


# --- the cases, and those of the stages before ----------------------------------------------------------------------


def _stages_first(plan: PlannedPrediction, missing: Sequence[str], progress: Progress) -> "tuple[CaseToPredict, ...]":
    """Predicts by the stages before of cascades, each into a folder of ours, and returns the cases to predict."""
    members = plan.model.usable.members
    stages: dict[Path, Mapping[str, Path]] = {}
    for member in members:
        if member.previous and member.previous.folder not in stages:
            stages[member.previous.folder] = _stage(plan, member.previous, missing, progress)
    folder = plan.folder
    return tuple(
        _case(
            case,
            part=folder.parts / case.name,
            file=folder.file(case.name),
            previous=tuple(stages[one.previous.folder][case.name] if one.previous else None for one in members),
            record=folder.record_file(case.name),
        )
        for case in plan.checked.cases
        if case.name in set(missing)
    )


def _stage(plan: PlannedPrediction, stage: Member, missing: Sequence[str], progress: Progress) -> Mapping[str, Path]:
    """Returns the masks of a stage before by case; those that are not there yet are predicted."""
    before = _stage(plan, stage.previous, missing, progress) if stage.previous else {}
    own = plan.folder.stages / json_sha256([str(stage.folder), stage.folds, stage.checkpoint])[:16]
    own.mkdir(exist_ok=True)
    files = {name: own / plan.folder.file(name).name for name in missing}
    cases = tuple(
        _case(
            case,
            part=plan.folder.parts / f"{case.name}.stage",
            file=files[case.name],
            previous=(before.get(case.name),),
        )
        for case in plan.checked.cases
        if case.name in files and not files[case.name].exists()
    )
    if cases:
        progress.say(f"{stage.experiment.title} predicts first, which the cascade starts from.")
        _run(plan, (stage,), cases, progress, None)
    return files


def _case(case: "CheckedCase", **places: Any) -> "CaseToPredict":
    from nnunet_assets.nnunet.predictions.prediction_request import CaseToPredict

    return CaseToPredict(name=case.name, images=case.images, **places)


def _run(
    plan: PlannedPrediction,
    members: Sequence[Member],
    cases: "tuple[CaseToPredict, ...]",
    progress: Progress,
    pictures: "Previews | None",
) -> "RunEnd":
    """Runs the children until the cases are predicted; of a stage before, masks as they come are enough."""
    from nnunet_assets.nnunet.predictions.cases_run import CasesRun, run_cases
    from nnunet_assets.nnunet.predictions.prediction_request import PredictionRequest
    from nnunet_assets.processes.variables import check_variables

    asked, is_stage = plan.asked, pictures is None
    environment = {**plan.settings.child_environment(), **plan.settings.roots.environment()}
    check_variables(environment)
    request = PredictionRequest(
        members=tuple(members),
        postprocessing=() if is_stage else plan.steps,
        flags=replace(asked.flags, save_probabilities=False) if is_stage else asked.flags,
        device=asked.device,
        work_folder=plan.folder.work,
        # The largest first: at the end, nobody waits for it alone.
        cases=tuple(sorted(cases, key=lambda case: -sum(path.stat().st_size for path in case.images))),
    )
    run = CasesRun(request, environment, asked.n_gpus)
    end = run_cases(run, progress, pictures.draw_next if pictures else lambda: None)
    if end.problem:
        raise PredictionError(
            f"{plan.model.usable.title}: {end.problem} {run.n_done} of {len(cases)} cases were predicted and are kept: "
            f"run the same command again to go on. The whole output is in {end.log}."
        )
    return end
