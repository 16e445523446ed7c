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
from nnunet_assets.core.files.layout import Experiment, Roots, fold_index
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.errors import FoldError, first_offenders
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code_in
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.predictions.ensemble import Ensemble, finished_ensemble
from nnunet_assets.nnunet.predictions.prediction_request import CaseToPredict, PredictionRequest
from nnunet_assets.nnunet.predictions.prediction_store import PredictionStore
from nnunet_assets.processes.child import LOG_FILE, ChildResult, run_child
from nnunet_assets.processes.device_lease import device_lease
from nnunet_assets.processes.supervisor import FoldFailed, run_with_restarts
from nnunet_assets.processes.variables import check_variables
from nnunet_assets.processes.workers import worker_variables
from nnunet_assets.settings import trusted_code

if TYPE_CHECKING:
    from nnunet_assets.nnunet.predictions.checked_test_set import CheckedTestSet

DEVICE_FILE = "device.json"
"""In the work folder: what the child predicted on."""

PREDICTING = "cases predicted"


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
    stage = experiment.previous_stage(Plans.read(ensemble.folder / "plans.json").configurations)
    before = predictions_of(stage, roots, file_ending) if stage else None
    previous = _predicted_before(before, experiment, test_set) if before else {}
    wanted = {
        case.name: json_sha256([ensemble.digest, case.images_hash, previous.get(case.name)]) for case in test_set.cases
    }
    digest = json_sha256(wanted)
    with _sole_prediction(experiment, store.work):
        if store.is_current(wanted):
            return Predicted(store.folder, digest, 0, None)
        store.begin(wanted)
        n_missing = len(store.missing(wanted))
        if n_missing:
            check_variables(environment)
            job = _Job(ensemble, test_set, roots, device, environment, store, before, wanted)
            _predict(job, progress)
            if finished_ensemble(roots, experiment, ensemble.folds).digest != ensemble.digest:
                store.discard()
                raise FoldError(f"The folds of {experiment.title} changed while they predicted. Materialize it again.")
        name = (read_json(store.work / DEVICE_FILE) or {}).get("device") if n_missing else None
        details = {"folds": list(ensemble.folds), "checkpoint": ensemble.checkpoint, "ensemble": ensemble.digest}
        store.finish(wanted, ensemble.folder, {**details, "device": name})
    return Predicted(store.folder, digest, n_missing, name)


@dataclass(frozen=True)
class _Job:
    """What the child is started for, as often as it is started; `before` is of the previous stage, or None."""

    ensemble: Ensemble
    test_set: "CheckedTestSet"
    roots: Roots
    device: str
    environment: Mapping[str, str]
    store: PredictionStore
    before: PredictionStore | None
    wanted: Mapping[str, str]

    def request(self) -> PredictionRequest:
        """Returns what the child is asked for now."""
        store, before, ensemble = self.store, self.before, self.ensemble
        missing = set(store.missing(self.wanted))
        cases = (
            CaseToPredict(
                name=case.name,
                images=tuple(case.images),
                previous=before.finished_file(case.name) if before else None,
                part=store.parts / case.name,
                file=store.file(case.name),
            )
            for case in self.test_set.cases
            if case.name in missing
        )
        return PredictionRequest(
            experiment=ensemble.experiment,
            model_folder=ensemble.folder,
            folds=tuple(fold_index(fold) for fold in ensemble.folds),
            checkpoint=ensemble.checkpoint,
            device=self.device,
            work_folder=store.work,
            cases=tuple(cases),
        )


def _predict(job: _Job, progress: Progress) -> None:
    """Runs the child on a leased device until every case is predicted, again where a restart may help."""
    store, environment = job.store, job.environment
    n_at_start = len(store.missing(job.wanted))

    def n_done() -> int:
        return n_at_start - len(store.missing(job.wanted))

    def look() -> None:
        if n := n_done():
            progress.step(PREDICTING, n, n_at_start)

    def start(n_halvings: int) -> ChildResult:
        with device_lease(job.device, environment, progress=progress) as lease:
            progress.step(PREDICTING, n_done(), n_at_start)
            return run_child(
                "nnunet_assets.nnunet.predictions.prediction_process",
                job.request(),
                folder=store.work,
                environment={
                    **environment,
                    **job.roots.for_variant(job.ensemble.experiment.variant).environment(),
                    **worker_variables(environment, n_sharing=lease.n_sharing, n_halvings=n_halvings),
                    **lease.variables,
                },
                on_poll=look,
            )

    def is_done() -> bool:
        return not store.missing(job.wanted)

    result = run_with_restarts(start, own_folder=store.work, is_done=is_done, n_saved=n_done, progress=progress)
    if not is_done():
        problem = result.problem or "The process ended with exit code 0, but did not predict every case."
        raise FoldFailed(
            f"{job.ensemble.experiment.title}, test set: {problem} {n_done()} of {n_at_start} cases were predicted and "
            f"are kept: materialize it again to go on. The whole output is in {store.work / LOG_FILE}.",
            result.code,
            result.log_tail,
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
