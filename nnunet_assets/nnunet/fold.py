"""One fold, from the parent's side: what state it is in, who owns it, and the child that trains it.

A fold's folder is nnU-Net's own. Beside the folds, in `nnunet_assets/`, lie the lease of each fold and the folds that
were superseded: nothing that was trained is ever deleted.
"""

import json
import os
import socket
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout

from nnunet_assets.core.commit import FoldInputs, Manifest, read_committed
from nnunet_assets.core.exit_codes import ExitCode
from nnunet_assets.core.layout import OWN_FOLDER, SUMMARY_FOLDER, Experiment, Roots
from nnunet_assets.core.provenance import json_sha256, write_json_atomically
from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.child import REQUEST_FILE, run_child
from nnunet_assets.nnunet.prepared import PreparedDataset
from nnunet_assets.nnunet.splits import check_splits
from nnunet_assets.nnunet.workers import worker_variables

State = Literal["absent", "interrupted", "committed", "foreign"]


class FoldFailed(FoldError):  # noqa: N818 - reads as what happened
    """A fold's process ended without a result.

    Attributes:
        code: Its exit code; negative: a signal.
        log_tail: The last lines of its output.
    """

    def __init__(self, message: str, code: int, log_tail: str) -> None:
        super().__init__(message)
        self.code = code
        self.log_tail = log_tail

    @property
    def is_permanent(self) -> bool:
        """Whether trying again without a change must fail again."""
        return self.code in {ExitCode.BAD_INPUT, ExitCode.CHANGED_INPUT, ExitCode.OWNED, ExitCode.DIVERGED}


@dataclass(frozen=True)
class FoldRequest:
    """What is asked of a fold's process.

    Attributes:
        experiment: Which cross-validation.
        fold: `fold_0` ...
        overrides: Trainer attribute to value.
        device: `auto`, `cuda`, `cpu` or `mps`.
        inputs: Digests of what the fold is to be trained on.
        dagster_run_id: The run that asks; None: not from a Dagster run.
    """

    experiment: Experiment
    fold: str
    overrides: Mapping[str, Any]
    device: str
    inputs: FoldInputs
    dagster_run_id: str | None


@dataclass(frozen=True)
class FoldOutcome:
    """A finished fold.

    Attributes:
        manifest: What made it.
        is_new: False where it was finished already and nothing had to be done.
    """

    manifest: Manifest
    is_new: bool


def fold_inputs(roots: Roots, experiment: Experiment, fold: str, training_hash: str) -> FoldInputs:
    """Returns the digests of what a fold would be trained on now.

    Raises:
        PlanningError: Plans or preprocessed cases are missing, or were made from other data than is there now.
        FoldError: The splits file is missing or does not have this fold.
        DatasetError: The splits do not fit the cases.
    """
    prepared = PreparedDataset(roots, experiment.dataset)
    raw = prepared.read_raw()
    splits = read_splits(prepared)
    if fold not in splits:
        raise FoldError(
            f"{experiment.title}: {fold} does not exist; the splits of {experiment.dataset} have {', '.join(splits)}. "
            "nnU-Net would silently train on a random split."
        )
    check_splits(list(splits.values()), raw.cases, len(splits))
    _check_cases(prepared, experiment)
    return FoldInputs(
        raw_hash=raw.content_hash,
        plans_hash=str(prepared.plans_hash(experiment.plans)),
        splits_hash=json_sha256(list(splits.values())),
        training_hash=training_hash,
    )


def read_splits(prepared: PreparedDataset) -> dict[str, dict[str, list[str]]]:
    """Returns fold key to the case ids of `train` and `val`, as `splits_final.json` has them.

    Raises:
        FoldError: The file is missing.
    """
    path = prepared.folder / "splits_final.json"
    try:
        content = json.loads(path.read_text())
    except FileNotFoundError as error:
        raise FoldError(
            f"{path} is missing. Materialize splits first; parallel folds would race to make it."
        ) from error
    return {f"fold_{index}": split for index, split in enumerate(content)}


def _check_cases(prepared: PreparedDataset, experiment: Experiment) -> None:
    from nnunet_assets.nnunet.planning import cases_made_from

    stamp = prepared.cases_stamp(experiment.plans, experiment.configuration)
    if stamp is None:
        planned = prepared.plans_file(experiment.plans)
        known = json.loads(planned.read_text())["configurations"] if planned.exists() else {}
        if known and experiment.configuration not in known:
            raise FoldError(
                f"The plans {experiment.plans} of {experiment.dataset} have no configuration "
                f"{experiment.configuration!r}: nnU-Net's planner dropped it, as it does with 3d_lowres where the "
                f"images are small enough for 3d_fullres. There are: {', '.join(known)}."
            )
        raise FoldError(
            f"{experiment.dataset} is not preprocessed for {experiment.plans}, {experiment.configuration}. "
            "Materialize preprocessed_plans first."
        )
    now = cases_made_from(prepared, experiment.plans)
    changed = [key for key in now if stamp[key] != now[key]]
    if changed:
        raise FoldError(
            f"The preprocessed cases of {experiment.dataset}, {experiment.plans}, {experiment.configuration} were made "
            f"from other input than there is now: {', '.join(f'{k} was {stamp[k]}, is {now[k]}' for k in changed)}. "
            "Materialize preprocessed_plans again."
        )


def fold_state(fold_folder: Path) -> State:
    """Returns how far a fold is: `foreign` is one that holds checkpoints this project did not make."""
    if read_committed(fold_folder) is not None:
        return "committed"
    if (fold_folder / OWN_FOLDER / REQUEST_FILE).is_file():
        return "interrupted"
    return "foreign" if any(fold_folder.glob("checkpoint_*.pth")) else "absent"


def run_fold(
    request: FoldRequest,
    roots: Roots,
    *,
    environment: Mapping[str, str],
    retrain: bool = False,
    on_poll: Callable[[], None] = lambda: None,
) -> FoldOutcome:
    """Brings a fold to its COMMIT: adopts a finished one, resumes an interrupted one, trains what is missing.

    Args:
        request: What to train.
        roots: nnU-Net's folders of the project; the variant's results lie below them.
        environment: Environment of the child, without nnU-Net's folders.
        retrain: Train anew even where the fold is finished; the old one is kept among the superseded.
        on_poll: Called about twice a second while the child runs.

    Raises:
        FoldError: Another process trains this fold, or its folder holds a training made elsewhere.
        FoldFailed: The fold's process ended without a result.
    """
    experiment = request.experiment
    fold_folder = experiment.fold_folder(roots, request.fold)
    prepared = PreparedDataset(roots, experiment.dataset)
    with (
        _lease(experiment.summary_folder(roots), request.fold),
        prepared.lock(experiment.plans, experiment.configuration, "read"),
    ):
        committed = read_committed(fold_folder)
        if committed and committed.inputs == request.inputs and not retrain:
            return FoldOutcome(committed, is_new=False)
        attempt = _make_way(fold_folder, request, retrain=retrain)
        result = run_child(
            "nnunet_assets.nnunet.fold_process",
            {**asdict(request), "fold_folder": str(fold_folder), "attempt": attempt},
            folder=fold_folder / OWN_FOLDER,
            environment={
                **environment,
                **roots.for_variant(experiment.variant).environment(),
                **worker_variables(environment),
            },
            on_poll=on_poll,
        )
        finished = read_committed(fold_folder)
        if finished is None:
            problem = result.problem or "The process ended with exit code 0, but its COMMIT does not verify."
            raise FoldFailed(f"{experiment.title}, {request.fold}: {problem}", result.code, result.log_tail)
        return FoldOutcome(finished, is_new=True)


def _make_way(fold_folder: Path, request: FoldRequest, *, retrain: bool) -> str:
    """Makes room for a new attempt, or keeps an interrupted one to resume; returns the attempt's id."""
    state = fold_state(fold_folder)
    if state == "foreign" and not retrain:
        raise FoldError(
            f"{fold_folder} holds a training that this project did not make. It is never trained again by itself: "
            "move it away, or materialize the fold with `retrain: true`, which keeps it among the superseded folds."
        )
    if state == "interrupted" and not retrain:
        before = json.loads((fold_folder / OWN_FOLDER / REQUEST_FILE).read_text())
        if FoldInputs(**before["inputs"]) == request.inputs:
            return str(before["attempt"])
    if state != "absent":
        _supersede(fold_folder)
    return uuid.uuid4().hex


def _supersede(fold_folder: Path) -> None:
    # Not beside the folds: nnU-Net takes every folder `fold_*` there for a fold.
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S.%fZ")
    place = fold_folder.parent / SUMMARY_FOLDER / "superseded" / f"{fold_folder.name}_{stamp}"
    place.parent.mkdir(parents=True, exist_ok=True)
    fold_folder.rename(place)


@contextmanager
def _lease(folder: Path, fold: str) -> Iterator[None]:
    """Holds the fold for this process; a kernel lock, free the moment its owner dies."""
    folder.mkdir(parents=True, exist_ok=True)
    owner_file = folder / f"{fold}.owner.json"
    lock = FileLock(folder / f"{fold}.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout as error:
        owner = json.loads(owner_file.read_text()) if owner_file.exists() else {}
        raise FoldFailed(
            f"{fold} is being trained by another process: {owner.get('host', 'unknown host')}, process "
            f"{owner.get('process', 'unknown')}, since {owner.get('since', 'unknown')}. Wait for it, or end it.",
            ExitCode.OWNED,
            "",
        ) from error
    try:
        write_json_atomically(
            owner_file,
            {"host": socket.gethostname(), "process": os.getpid(), "since": datetime.now(UTC).isoformat()},
        )
        yield
    finally:
        lock.release()
