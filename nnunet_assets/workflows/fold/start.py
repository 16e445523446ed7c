"""Where a training that a person asks for begins: what is refused at once, prepared, and said before it starts."""

from collections.abc import Mapping
from dataclasses import asdict
from functools import cache
from types import MappingProxyType

from nnunet_assets.core.files.layout import FULL_FOLD, fold_index
from nnunet_assets.core.fold.continued_fold import CONTINUES, continues_other
from nnunet_assets.core.fold.fold import Fold
from nnunet_assets.core.fold.fold_provenance import FoldProvenance
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.progress import Progress
from nnunet_assets.core.splits.splits import SPLITS_FILE
from nnunet_assets.core.splits.splits_files import readable_splits
from nnunet_assets.core.training.training_rules import check_options
from nnunet_assets.declarations.config import ExperimentConfig
from nnunet_assets.declarations.project import Project
from nnunet_assets.engines.engine import Engine
from nnunet_assets.engines.local import LOCAL
from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.folds.continued import finished_parent
from nnunet_assets.nnunet.folds.fold_attempt import changes_since_begun, check_may_be_trained, check_versions
from nnunet_assets.nnunet.folds.fold_inputs import check_fold, no_such_fold
from nnunet_assets.nnunet.folds.validation_files import reason_to_validate
from nnunet_assets.processes.fold_lock import fold_lease
from nnunet_assets.processes.machine.torch_devices import check_device
from nnunet_assets.settings import Settings
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.workflows.dataset.prepare import ensure_prepared
from nnunet_assets.workflows.fold.chosen_engine import chosen_engine, is_trained_here
from nnunet_assets.workflows.fold.train import AskedNow, TrainedFold, fold_request, train_fold


def prepared_request(
    settings: Settings,
    project: Project,
    config: ExperimentConfig,
    fold: str,
    asked: AskedNow,
    *,
    progress: Progress,
    continue_training: bool = False,
) -> FoldRequest:
    """Makes what the fold needs and is not there (see `ensure_prepared`), and returns what is asked of its process.

    What cannot be trained in the end (a fold that the split does not have, a device that is not there) is refused
    before hours of preprocessing.

    Raises:
        NnunetAssetsError: As `fold_request`, `check_versions`, `check_device` and `ensure_prepared`; and where
            `continue_training`, nnU-Net's `--c`, contradicts what is asked.
    """
    options, device = asked.options(config.options(settings.project)), asked.device or config.device
    check_options(options, device=device, retrain=asked.retrain, continue_training=continue_training)
    refuse_unfinished_parent(settings, config, fold)
    if not asked.retrain:
        check_versions(config.identity.place_of(settings.roots, fold), despite_changes=asked.despite_changes)

    @cache
    def before_work() -> None:
        refuse_missing_fold(settings, project, config, fold)
        if is_trained_here(chosen_engine(settings, config, device=device)):
            check_device(device, options.num_gpus, settings.child_environment())

    dataset = ensure_prepared(
        settings,
        project,
        config,
        progress,
        despite_changes=asked.despite_changes,
        before_work=before_work,
        before_planning=lambda looked_at: check_fold(looked_at, config.identity, fold),
    )
    return fold_request(settings, config, fold, asked, dataset=dataset)


def refuse_unfinished_parent(settings: Settings, config: ExperimentConfig, fold: str) -> None:
    """Passes where the fold that this one continues is finished, or it continues none; before hours of preparation.

    Raises:
        FoldError: It is not.
    """
    if config.continued:
        finished_parent(Fold.read(config.continued.place_of(settings.roots, fold)))


def refuse_missing_fold(settings: Settings, project: Project, config: ExperimentConfig, fold: str) -> None:
    """Passes where the split that is there has the fold, or the one that will be made will.

    Raises:
        FoldError: It has not.
    """
    if fold == FULL_FOLD:
        return
    n_folds = n_folds_of(settings, project, config.dataset)
    if int(fold_index(fold)) >= n_folds:
        raise no_such_fold(config.identity, fold, n_folds)


def n_folds_of(settings: Settings, project: Project, dataset: str) -> int:
    """Returns how many folds the split of a dataset has that is there, or will have when it is made."""
    roots = settings.roots
    # The one beside the raw data becomes that of the dataset.
    splits = readable_splits(roots.preprocessed / dataset)
    if splits is None and not (roots.preprocessed / dataset / SPLITS_FILE).exists():
        splits = readable_splits(roots.raw / dataset)
    return project.dataset_or_default(dataset).folds if splits is None else len(splits)


def starting_point(fold: Fold, request: FoldRequest, *, retrain: bool, continue_training: bool) -> str:
    """Returns what happens with a fold that is there already, where nothing is put aside unasked.

    Raises:
        FoldError: As `check_may_be_trained`; or a training with other data or settings is there, which only `retrain`
            puts aside.
    """
    state = fold.state
    if retrain and state != "absent":
        return "training anew; the one that is there is kept among the superseded folds."
    check_may_be_trained(fold, request.options)
    if state in ("finished", "interrupted", "trained", "running") and (others := _changes(fold, request)):
        files = {"splits": SPLITS_FILE, "plans": f"{fold.place.experiment.plans}.json"}
        changed = [files[name] for name in others if name in files]
        unasked = f" If {' and '.join(changed)} should not have changed, restore what it was." if changed else ""
        raise FoldError(
            f"{fold.place.folder} holds a training with other {' and '.join(others)}. It is kept "
            "as it is. --retrain trains anew and keeps it among the superseded folds; --variant NAME, with flags that "
            f"change the result, trains beside it.{unasked}"
        )
    if request.options.validation_only:
        return "predicting and scoring the validation cases again."
    if state == "finished" and is_to_validate(fold, request):
        return "finished already; nothing is trained, but its validation runs again."
    return {
        "adopted": "trained elsewhere and adopted; nothing is trained. --retrain trains it anew.",
        "finished": "finished already; nothing is trained. --retrain trains it anew.",
        "interrupted": "interrupted before; going on from its last checkpoint, with or without --c. --retrain begins "
        "anew.",
        "running": "a job trains it already, and is followed.",
        "trained": "trained before; only its validation runs, with or without --c. --retrain begins anew.",
    }.get(state, _beginning(request) + (": there is nothing to go on with." if continue_training else "."))


def _beginning(request: FoldRequest) -> str:
    if request.continued:
        return f"going on with {request.continued.experiment} after its {request.continued.n_epochs} epochs"
    return "training from the beginning"


def is_to_validate(fold: Fold, request: FoldRequest) -> bool:
    """Says whether the validation of a finished fold would run again for what is asked."""
    return fold.finished is not None and reason_to_validate(fold.finished, request.options) is not None


def _changes(fold: Fold, request: FoldRequest) -> list[str]:
    """Names in what the fold that is there differs from the one that is asked for."""
    if fold.finished is None:
        return changes_since_begun(fold.place, request)
    manifest = fold.finished.manifest
    details = manifest.details
    there = FoldProvenance.asked(manifest.inputs, details.get("overrides") or {}, details.get("options") or {})
    now = FoldProvenance.asked(request.inputs, request.overrides, asdict(request.options))
    return there.differences(now) + continues_other(details.get(CONTINUES), request.continued)


def train_from_there(
    settings: Settings,
    request: FoldRequest,
    destination: Destination | None,
    progress: Progress,
    *,
    retrain: bool,
    continue_training: bool = False,
    engine: Engine = LOCAL,
    tags: Mapping[str, str] = MappingProxyType({}),
) -> TrainedFold:
    """Says where the fold starts from, and brings it to its COMMIT as `train_fold` does.

    Raises:
        NnunetAssetsError: As `starting_point` and `train_fold`.
    """
    place = request.experiment.place_of(settings.roots, request.fold)
    # Of two that are asked for one fold, the one that does not get it must not say that it goes on.
    with fold_lease(place):
        there = Fold.read(place, check_files=True)
        point = starting_point(there, request, retrain=retrain, continue_training=continue_training)
        progress.say(f"{place.title}: {point}")
        return train_fold(
            settings, request, destination, progress, retrain=retrain, known=there, engine=engine, tags=tags
        )
