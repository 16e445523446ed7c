"""One fold brought to its COMMIT, from the parent's side: what is refused, what is kept, and what is trained."""

from collections.abc import Container, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass, replace
from functools import cached_property

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.atomic_files import remove_unfinished
from nnunet_assets.core.files.json_file import read_json
from nnunet_assets.core.files.layout import FULL_FOLD, STOP_FILE, Experiment, FoldPlace, Roots
from nnunet_assets.core.fold.commit import FinishedFold, Manifest
from nnunet_assets.core.fold.fold import Fold
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.core.summary.scored_summary import ScoredSummary
from nnunet_assets.engines.engine import Engine
from nnunet_assets.engines.local import LOCAL
from nnunet_assets.nnunet.folds.bound_inputs import bound_roots
from nnunet_assets.nnunet.folds.fold_attempt import (
    check_may_be_trained,
    check_versions,
    is_begun,
    note_stage,
    room_for_attempt,
)
from nnunet_assets.nnunet.folds.fold_child import train_in_child
from nnunet_assets.nnunet.folds.fold_inputs import fold_inputs
from nnunet_assets.nnunet.folds.followed_job import refuse_other_job, settled
from nnunet_assets.nnunet.folds.validation_files import is_current, reason_to_validate, say_lack
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code
from nnunet_assets.nnunet.plans.plans import Plans
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.results.results import scores_of
from nnunet_assets.nnunet.seams import require_nnunet
from nnunet_assets.nnunet.splits.split_users import note_fold, seen_split, split_held
from nnunet_assets.processes.exit_codes import ExitCode, failure_class
from nnunet_assets.processes.failures import explain
from nnunet_assets.processes.fold_lock import fold_lease
from nnunet_assets.processes.machine.disk_space import lacking_room, needed_checkpoint_bytes
from nnunet_assets.processes.supervisor import FoldFailed
from nnunet_assets.processes.variables import check_variables
from nnunet_assets.settings import trusted_code


@dataclass(frozen=True)
class FoldOutcome:
    """A finished fold.

    Attributes:
        experiment: Which cross-validation.
        dataset: What it was trained on, or would be, as it was read under the fold's lease.
        finished: As it was read last, under its lease: what is shown or sent of it need not be read again.
        is_new: False where it was finished already and nothing had to be done.
    """

    experiment: Experiment
    dataset: PreparedDataset
    finished: FinishedFold
    is_new: bool

    @cached_property
    def scores(self) -> ScoredSummary | None:
        """Of its validation cases; None for a model of all cases, whose scores say nothing about new ones.

        Raises:
            SummaryError: As `scores_of`.
        """
        return scores_of(self.experiment, self.finished)

    @property
    def manifest(self) -> Manifest:
        """What made it."""
        return self.finished.manifest


def run_fold(
    request: FoldRequest,
    roots: Roots,
    *,
    environment: Mapping[str, str],
    retrain: bool = False,
    known: Fold | None = None,
    engine: Engine = LOCAL,
    is_followed: bool | None = None,
    progress: Progress = LOGGED,
) -> FoldOutcome:
    """Brings a fold to its COMMIT: keeps a finished or adopted one, resumes an interrupted one, trains what is missing.

    Args:
        request: What to train.
        roots: nnU-Net's folders of the project; the variant's results lie below them.
        environment: Environment of the child, without nnU-Net's folders.
        retrain: Train anew even where the fold is finished; the old one is kept among the superseded. What the same
            asker began already is gone on with.
        known: The fold as the caller read it, with every byte; it is read again under its lease, see `Fold.read`.
        engine: Where the fold's process runs.
        is_followed: What `refuse_other_job` said under the lease that the caller still holds; None: it is asked here.
        progress: Is warned of a wait for a GPU, a restart, a long silence, an interrupted training that other inputs
            put aside; the epochs are relayed to it.

    Raises:
        ConfigError: As `check_variables`.
        FoldError: Another process trains this fold, or its folder holds a training made or changed elsewhere.
        ForeignCodeError: The plans, or dataset.json, name code that is neither nnU-Net's own nor trusted.
        FoldFailed: The fold's process ended without a result, or the disk is too full to start it.
    """
    experiment = request.experiment
    place = experiment.place_of(roots, request.fold)
    prepared = PreparedFolder(roots, experiment.dataset)
    with _full_disk_classified(place), fold_lease(place), ExitStack() as stack:
        retrain = retrain and not is_begun(place, request)
        if is_followed is None:
            is_followed = refuse_other_job(
                request, roots, engine, environment=environment, retrain=retrain, progress=progress
            )
        stack.enter_context(settled(place, is_followed=is_followed))
        dataset = _unchanged(request, prepared)
        _check_batch(request, dataset.plans)
        _refuse_foreign_code(dataset, trusted_code(environment))
        fold = Fold.read(place, check_files=True, known=known)
        finished = None if retrain else fold.finished
        if not retrain:
            check_may_be_trained(fold, request.options)
        if finished and fold.state == "adopted":
            say_lack(request, finished, progress)
            return FoldOutcome(experiment, dataset, finished, is_new=False)
        current = finished if finished and is_current(finished, request) else None
        reason = reason_to_validate(current, request.options) if current else None
        # A finished one is noted too, where anybody may write beside the split.
        with suppress(OSError) if current else nullcontext():
            _begin_on_split(request, dataset, progress)
        if current and reason is None:
            say_lack(request, current, progress)
            return FoldOutcome(experiment, dataset, current, is_new=False)
        if current:
            progress.warn(f"{place.title} is trained; its validation runs again, since {reason}.")
            request = replace(request, options=replace(request.options, validation_only=True))
        return _train(
            request,
            fold,
            dataset,
            environment=environment,
            retrain=retrain,
            engine=engine,
            is_followed=is_followed,
            progress=progress,
        )


def _train(
    request: FoldRequest,
    fold: Fold,
    dataset: PreparedDataset,
    *,
    environment: Mapping[str, str],
    retrain: bool,
    engine: Engine,
    is_followed: bool,
    progress: Progress,
) -> FoldOutcome:
    """Trains or validates what is missing of a fold, on the dataset as it is bound for it."""
    place, experiment, prepared = fold.place, request.experiment, dataset.place
    require_nnunet()
    check_variables(environment)
    if not is_followed:
        (place.folder / STOP_FILE).unlink(missing_ok=True)  # it was meant for an earlier attempt
    with (
        room_for_attempt(fold, request, progress, retrain=retrain) as (attempt, before),
        bound_roots(dataset, experiment) as bound,
    ):
        dataset = _unchanged(request, prepared)
        _check_room(place, request)
        stages = check_versions(place, despite_changes=request.despite_changes, progress=progress)
        note_stage(place, dataset, stages, despite_changes=request.despite_changes)
        result, finished = train_in_child(
            request,
            place,
            bound,
            before,
            environment=environment,
            attempt=attempt,
            engine=engine,
            progress=progress,
        )
        # What kills left, of this run and of earlier ones.
        for folder in (place.own, place.model_folder):
            remove_unfinished(folder)
    if finished is None:
        problem = result.problem or "The process ended with exit code 0, but its COMMIT does not verify."
        sentences = [
            problem,
            _plan_size(dataset.plans, experiment.configuration, result.code),
            failure_class(result.code).remedy,
        ]
        raise FoldFailed(f"{place.title}: {' '.join(filter(None, sentences))}", result.code, result.log_tail)
    return FoldOutcome(experiment, dataset, finished, is_new=True)


@contextmanager
def _full_disk_classified(place: FoldPlace) -> Iterator[None]:
    """Makes a disk on which this process finds no room the failure that it is in the fold's process."""
    try:
        yield
    except OSError as error:
        code, problem = explain(error, "")
        if code != ExitCode.NO_SPACE:
            raise
        remedy = failure_class(code).remedy
        raise FoldFailed(f"{place.title}: {problem} {remedy}", code, "") from error


def _plan_size(plans: Plans, name: str, code: int) -> str:
    """Returns what of the plans decides how much GPU memory a training takes, where that was too little."""
    if code != ExitCode.OUT_OF_GPU_MEMORY:
        return ""
    planned = plans.configurations.get(name, {})
    patch = " x ".join(map(str, planned.get("patch_size", ["unknown"])))
    return f"{plans.name}, {name}, has batch size {planned.get('batch_size', 'unknown')} and patch size {patch}."


def _unchanged(request: FoldRequest, prepared: PreparedFolder) -> PreparedDataset:
    """Returns the dataset as it is now; refuses one that was prepared anew since the request, before it was bound."""
    dataset = PreparedDataset.read(prepared, request.experiment.plans)
    now = fold_inputs(dataset, request.experiment, request.fold, request.inputs.training_hash)
    if now != request.inputs:
        changed = " and ".join(request.inputs.differences(now))
        raise FoldFailed(
            f"{request.experiment.title}, {request.fold}: {changed} changed after the fold was asked for. Materialize "
            "it again.",
            ExitCode.CHANGED_INPUT,
            "",
        )
    return dataset


def _refuse_foreign_code(dataset: PreparedDataset, trusted: Container[str]) -> None:
    plans, file = dataset.plans, dataset.place.folder / DATASET_JSON
    refuse_foreign_code(plans.file, trusted, plans=plans.content)
    refuse_foreign_code(file, trusted, dataset_json=read_json(file))


def _begin_on_split(request: FoldRequest, dataset: PreparedDataset, progress: Progress) -> None:
    """Notes beside the split that this fold is of it, while nobody can change it; from then on nobody does unasked."""
    if request.fold == FULL_FOLD:
        return
    prepared = dataset.place
    with split_held(prepared, progress):
        if not dataset.is_splits_file_the_same:
            _unchanged(request, prepared)
        if seen_split(prepared) not in (None, request.inputs.splits_hash):
            progress.warn(
                f"{request.experiment.title}, {request.fold}: the split in {prepared.folder} is another one than this "
                "project saw last: it was edited, or changed by another project on the same nnUNet_preprocessed. The "
                "fold is of the split that is there now. Materialize splits to see whether it is the declared one."
            )
        note_fold(prepared, request.experiment, request.fold, request.inputs.splits_hash)


def _check_room(place: FoldPlace, request: FoldRequest) -> None:
    """Refuses a training whose checkpoints certainly do not fit on the disk, as other folds show."""
    if request.options.disable_checkpointing or request.options.validation_only:
        return
    needed = needed_checkpoint_bytes(place.folder, request.options.n_kept_checkpoints)
    if lack := lacking_room(place.model_folder, needed, f"{place.title}: its checkpoints need"):
        remedy = failure_class(ExitCode.NO_SPACE).remedy
        raise FoldFailed(f"{lack} {remedy}", ExitCode.NO_SPACE, "")


def _check_batch(request: FoldRequest, plans: Plans) -> None:
    """Refuses more GPUs than there are patches in a batch; nnU-Net fails there, in each process that it starts."""
    name = request.experiment.configuration
    batch_size = plans.configurations.get(name, {}).get("batch_size")
    if batch_size is not None and request.options.num_gpus > batch_size:
        raise FoldFailed(
            f"{request.experiment.title}, {request.fold}: num_gpus is {request.options.num_gpus}, and the batch of "
            f"{name} in {plans.name} has {batch_size} patches: nnU-Net deals them out, at least one to each GPU. Set "
            f"num_gpus to at most {batch_size}.",
            ExitCode.BAD_INPUT,
            "",
        )
