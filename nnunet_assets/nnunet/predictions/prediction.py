"""The prediction of a test set, from the parent's side: what is missing, who owns it, and the child that predicts."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.digests import json_sha256
from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.core.files.kernel_lock import held_alone
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.errors import FoldError, first_offenders
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code_in
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.predictions.cases_run import DEVICE_FILE, CasesRun, run_cases
from nnunet_assets.nnunet.predictions.ensemble import Ensemble, finished_ensemble
from nnunet_assets.nnunet.predictions.prediction_request import CaseToPredict, PredictionFlags, PredictionRequest
from nnunet_assets.nnunet.predictions.prediction_store import PredictionStore
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets.processes.variables import check_variables
from nnunet_assets.settings import trusted_code

if TYPE_CHECKING:
    from nnunet_assets.nnunet.predictions.checked_test_set import CheckedTestSet


@dataclass(frozen=True)
class Predicted:
    """A test set that is predicted.

    Attributes:
        folder: The predictions, `CASE.ENDING`.
        digest: Names what they were made from.
        n_predicted: Cases that were predicted now; the others were there.
        device: What predicted them; None: nothing was predicted now.
    """

    folder: Path
    digest: str
    n_predicted: int
    device: str | None


def predictions_of(experiment: Experiment, roots: Roots, file_ending: str) -> PredictionStore:
    """Returns where an experiment's predictions of the test set lie."""
    return PredictionStore(experiment.summary_folder(roots), file_ending)


def predict_test_set(
    ensemble: Ensemble,
    test_set: "CheckedTestSet",
    file_ending: str,
    roots: Roots,
    *,
    device: str,
    environment: Mapping[str, str],
    progress: Progress = LOGGED,
) -> Predicted:
    """Predicts the cases that are not predicted yet; a killed prediction goes on with the next case.

    Args:
        ensemble: What predicts.
        test_set: The cases.
        file_ending: Of images and predictions.
        roots: nnU-Net's folders of the project; the variant's results lie below them.
        device: `auto`, `cuda`, `cpu` or `mps`.
        environment: Environment of the child, without nnU-Net's folders.
        progress: Told of the cases predicted now and those to predict, first with 0 when the child starts, then about
            twice a second once there is one; and of a wait for a GPU, and a restart.

    Raises:
        ConfigError: As `check_variables`.
        FoldError: Another process predicts, the folds changed meanwhile, or the previous stage of a cascade has not
            predicted every case.
        ForeignCodeError: The model's plans, or dataset.json, name code that is neither nnU-Net's own nor trusted.
        FoldFailed: The process ended without having predicted every case.
    """
    experiment = ensemble.experiment
    files = (ensemble.folder / "plans.json", ensemble.folder / DATASET_JSON)
    refuse_foreign_code_in(*files, trusted_code(environment))
    store = predictions_of(experiment, roots, file_ending)
    before = _store_before(ensemble, roots, file_ending)
    wanted = _wanted(ensemble, test_set, before)
    digest = json_sha256(wanted)
    with _sole_prediction(experiment, store.work):
        if store.is_current(wanted):
            return Predicted(store.folder, digest, 0, None)
        store.begin(wanted)
        n_missing = len(store.missing(wanted))
        if n_missing:
            check_variables(environment)
            own_roots = roots.for_variant(experiment.variant)
            request = _request(ensemble, test_set, store, before, device)
            _predict(ensemble, CasesRun(request, {**environment, **own_roots.environment()}, n_devices=1), progress)
            if finished_ensemble(roots, experiment, ensemble.folds).digest != ensemble.digest:
                store.discard()
                raise FoldError(f"The folds of {experiment.title} changed while they predicted. Materialize it again.")
        name = (read_json(store.work / DEVICE_FILE) or {}).get("device") if n_missing else None
        details = {"folds": list(ensemble.folds), "checkpoint": ensemble.checkpoint, "ensemble": ensemble.digest}
        store.finish(wanted, ensemble.folder, {**details, "device": name})
    return Predicted(store.folder, digest, n_missing, name)


def current_predictions(
    ensemble: Ensemble, test_set: "CheckedTestSet", file_ending: str, roots: Roots
) -> Predicted | None:
    """Returns what `predict_test_set` made, where these folds made it of these images; None: it is to be made anew.

    Args:
        ensemble: What predicts.
        test_set: The cases.
        file_ending: Of images and predictions.
        roots: nnU-Net's folders of the project.
    """
    store = predictions_of(ensemble.experiment, roots, file_ending)
    try:
        wanted = _wanted(ensemble, test_set, _store_before(ensemble, roots, file_ending))
    except FoldError:
        return None
    return Predicted(store.folder, json_sha256(wanted), 0, None) if store.is_current(wanted) else None


def _store_before(ensemble: Ensemble, roots: Roots, file_ending: str) -> PredictionStore | None:
    """Returns the predictions of the stage before a cascade; None: it is none."""
    stage = ensemble.experiment.previous_stage(Plans.read(ensemble.folder / "plans.json").configurations)
    return predictions_of(stage, roots, file_ending) if stage else None


def _wanted(ensemble: Ensemble, test_set: "CheckedTestSet", before: PredictionStore | None) -> dict[str, str]:
    """Returns case to the digest of what its prediction is made from."""
    previous = _predicted_before(before, ensemble.experiment, test_set) if before else {}
    return {
        case.name: json_sha256([ensemble.digest, case.images_hash, previous.get(case.name)]) for case in test_set.cases
    }


def _request(
    ensemble: Ensemble, test_set: "CheckedTestSet", store: PredictionStore, before: PredictionStore | None, device: str
) -> PredictionRequest:
    """Returns what the child is asked for; `before` is of the previous stage, or None."""
    cases = (
        CaseToPredict(
            name=case.name,
            images=tuple(case.images),
            previous=(before.finished_file(case.name) if before else None,),
            part=store.parts / case.name,
            file=store.file(case.name),
        )
        for case in test_set.cases
    )
    return PredictionRequest(
        members=(ensemble.member,),
        postprocessing=(),
        flags=PredictionFlags(),
        device=device,
        work_folder=store.work,
        cases=tuple(case for case in cases if not case.file.exists()),
    )


def _predict(ensemble: Ensemble, run: CasesRun, progress: Progress) -> None:
    end = run_cases(run, progress)
    if end.problem:
        raise FoldFailed(
            f"{ensemble.experiment.title}, test set: {end.problem} {run.n_done} of {len(run.request.cases)} cases were "
            f"predicted and are kept: materialize it again to go on. The whole output is in {end.log}.",
            end.code,
            end.log_tail,
        )


def _predicted_before(before: PredictionStore, experiment: Experiment, test_set: "CheckedTestSet") -> dict[str, str]:
    """Returns case to the digest of its prediction by the previous stage of a cascade."""
    predicted = before.predicted()
    if missing := [case.name for case in test_set.cases if case.name not in predicted]:
        raise FoldError(
            f"{experiment.title} starts from the predictions of the stage before it, and {before.folder} lacks these "
            f"cases of the test set: {first_offenders(missing)}. Materialize the test_predictions of that stage first."
        )
    return predicted


def _sole_prediction(experiment: Experiment, work: Path) -> AbstractContextManager[None]:
    """Keeps a second prediction out of the folder."""
    refusal = f"Another process predicts the test set of {experiment.title} at the moment. Wait for it, or end it."
    return held_alone(work / "owner.lock", FoldError(refusal))
