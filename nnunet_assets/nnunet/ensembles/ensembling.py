"""Ensembles made on disk: the probabilities of the folds that are needed, the masks of their means, and their scores.

Several ensembles that share members are made together: each member predicts a case once. Probabilities are large, so
that folds are taken in groups for which the disk has room, and what nobody keeps is removed after each group.
"""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import Timeout

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.kernel_lock import kernel_lock
from nnunet_assets.core.files.layout import ENSEMBLES, Experiment, Roots
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.core.text.amounts import bytes_text
from nnunet_assets.nnunet.ensembles.agreement import check_agreement, check_names
from nnunet_assets.nnunet.ensembles.ensemble_fold import EnsembleFold
from nnunet_assets.nnunet.ensembles.ensembling_request import EnsemblingRequest
from nnunet_assets.nnunet.ensembles.ensembling_room import groups_of_folds, means_at_once, refuse_without_room
from nnunet_assets.nnunet.folds.bound_inputs import bound_roots
from nnunet_assets.nnunet.prepared.prepared_dataset import PreparedDataset
from nnunet_assets.nnunet.prepared.prepared_folder import REFERENCES
from nnunet_assets.nnunet.probabilities.finished_member import FinishedMember, finished_member
from nnunet_assets.nnunet.probabilities.probabilities import (
    case_bytes,
    exports_at_once,
    predict_probabilities,
    refuse_foreign_members,
)
from nnunet_assets.processes.child import LOG_FILE, ChildResult, run_child
from nnunet_assets.processes.supervisor import FoldFailed, run_with_restarts
from nnunet_assets.processes.workers import worker_variables

Places = tuple[Path, Path]
"""Of preprocessed cases, and of the references."""

MASKS = "masks of ensembles made"


@dataclass(frozen=True)
class Wanted:
    """An ensemble that is wanted.

    Attributes:
        name: Its name in the dataset.
        members: Two experiments or more.
        keeps_probabilities: Whether those of its members stay on the disk.
    """

    name: str
    members: tuple[Experiment, ...]
    keeps_probabilities: bool = False


@dataclass(frozen=True)
class Ensembled:
    """What was done.

    Attributes:
        n_predicted: Cases whose probabilities were predicted now, of all members together.
        made: Ensemble to its folds that were made now; the others were there.
    """

    n_predicted: int
    made: Mapping[str, tuple[str, ...]]


def make_ensembles(
    roots: Roots,
    dataset: str,
    wanted: Sequence[Wanted],
    folds: Sequence[str],
    *,
    device: str,
    environment: Mapping[str, str],
    progress: Progress = LOGGED,
) -> Ensembled:
    """Makes the folds of ensembles that are missing or of which a member changed; what is killed goes on.

    Args:
        roots: nnU-Net's folders of the project.
        dataset: `DatasetXXX_Name`.
        wanted: Ensembles of its experiments.
        folds: `fold_0` ..., which every member has.
        device: What predicts: `auto`, `cuda`, `cpu` or `mps`.
        environment: Of the children, without nnU-Net's folders.
        progress: Told of what is predicted and made.

    Raises:
        ConfigError: As `check_names`.
        FoldError: A fold of a member is not finished, or members do not agree.
        PredictionError: Memory or disk do not suffice.
        ForeignCodeError: Plans, or dataset.json, name code that is neither nnU-Net's own nor trusted.
        FoldFailed: A process ended without its result.
    """
    members = {one.name: check_names(dataset, one.members) for one in wanted}
    folder = roots.results / dataset / ENSEMBLES
    with _sole(folder, dataset, progress):
        read = _read(roots, sorted({m for names in members.values() for m in names}, key=lambda m: m.name), folds)
        plan = {
            fold: [
                EnsembleFold.of(Experiment.ensemble(dataset, name), tuple(read[one, fold] for one in of), roots)
                for name, of in members.items()
            ]
            for fold in folds
        }
        for found in plan.values():
            for one in found:
                check_agreement(one.members)
        work = _Work(roots, folder / ".work", device, environment, progress)
        missing = {fold: [one for one in found if not one.is_finished] for fold, found in plan.items()}
        keeps = {one.name for one in wanted if one.keeps_probabilities}
        done = work.make({fold: found for fold, found in missing.items() if found}, keeps)
        for member in read.values():  # also what was killed between a COMMIT and this
            member.store(roots).remove_unless_kept()
        return done


@dataclass(frozen=True)
class _Work:
    roots: Roots
    folder: Path
    device: str
    environment: Mapping[str, str]
    progress: Progress

    def make(self, missing: Mapping[str, Sequence[EnsembleFold]], keeps: set[str]) -> Ensembled:
        members = {fold: _distinct(found) for fold, found in missing.items()}
        refuse_foreign_members([one for found in members.values() for one in found], self.environment)
        sizes = {
            fold: {one.experiment: case_bytes(one, self.roots) for one in found} for fold, found in members.items()
        }
        on_disk = {
            fold: sum(self._lacking_bytes(one, sizes[fold][one.experiment]) for one in found)
            for fold, found in members.items()
        }
        largest = max((max(cases.values()) for of in sizes.values() for cases in of.values()), default=0)
        n_threads = means_at_once(largest)
        exports_at_once(largest)  # refuses what does not fit, before the first of several groups is predicted
        refuse_without_room(self.roots.results, on_disk, self._kept_bytes(missing, sizes, keeps))
        n_predicted, made = 0, dict[str, tuple[str, ...]]()
        for group in groups_of_folds(self.roots.results, on_disk):
            self.folder.mkdir(parents=True, exist_ok=True)
            to_predict = [one for fold in group for one in members[fold]]
            to_make = [one for fold in group for one in missing[fold]]
            size = bytes_text(sum(on_disk[fold] for fold in group))
            self.progress.say(f"{', '.join(group)}: probabilities of {len(to_predict)} folds, {size} more on the disk.")
            n_predicted += predict_probabilities(
                to_predict,
                self.roots,
                device=self.device,
                environment=self.environment,
                work_folder=self.folder / "probabilities",
                progress=self.progress,
            )
            self._merge(to_make, n_threads)
            for one in to_make:
                name = one.ensemble.configuration
                made[name] = (*made.get(name, ()), one.first.fold)
            self._clear(to_make, keeps)
        shutil.rmtree(self.folder, ignore_errors=True)
        return Ensembled(n_predicted, made)

    def _kept_bytes(
        self,
        missing: Mapping[str, Sequence[EnsembleFold]],
        sizes: Mapping[str, Mapping[Experiment, Mapping[str, int]]],
        keeps: set[str],
    ) -> int:
        """Returns what the probabilities take that are predicted now and stay on the disk."""
        return sum(
            self._lacking_bytes(member, sizes[fold][member.experiment])
            for fold, found in missing.items()
            for member in _distinct([one for one in found if one.ensemble.configuration in keeps])
        )

    def _lacking_bytes(self, member: FinishedMember, sizes: Mapping[str, int]) -> int:
        """Returns what a member's probabilities take beyond those that are there, kept or of a run that was killed."""
        store = member.store(self.roots)
        return sum(size for case, size in sizes.items() if not store.file(case).is_file())

    def _merge(self, folds: Sequence[EnsembleFold], n_threads: int) -> None:
        began = time.monotonic()
        for one in folds:
            one.begin()
            for name in ("plans.json", DATASET_JSON):
                write_atomically(one.folder.parent / name, (one.first.model_folder / name).read_bytes())
        n = sum(len(one.missing()) for one in folds)
        firsts = {one.first.experiment: one.first.dataset for one in folds}
        with _bound_folders(firsts, self.roots) as bound:

            def request(n_halvings: int) -> EnsemblingRequest:
                asked = (one.request(self.roots, *bound[one.first.experiment]) for one in folds if not one.is_scored)
                return EnsemblingRequest(max(1, n_threads >> n_halvings), tuple(asked))

            def n_done() -> int:
                return n - sum(len(one.missing()) for one in folds)

            def look() -> None:
                self.progress.step(MASKS, n_done(), n)
                self.progress.poll()

            def start(n_halvings: int) -> ChildResult:
                return run_child(
                    "nnunet_assets.nnunet.ensembles.ensembling_process",
                    request(n_halvings),
                    folder=self.folder,
                    environment={
                        **self.environment,
                        **self.roots.environment(),
                        **worker_variables(self.environment, n_halvings=n_halvings),
                    },
                    on_poll=look,
                )

            result = run_with_restarts(
                start,
                own_folder=self.folder,
                is_done=lambda: all(one.is_scored for one in folds),
                n_saved=n_done,
                progress=self.progress,
            )
        seconds = (time.monotonic() - began) / len(folds)
        for one in folds:
            if one.is_scored:
                one.commit(seconds)
        if lacking := [one for one in folds if not one.is_scored]:
            problem = result.problem or "The process ended with exit code 0, but did not make every mask."
            raise FoldFailed(
                f"{lacking[0].ensemble.title}, {lacking[0].first.fold}: {problem} What is made is kept: start it again "
                f"to go on. The whole output is in {self.folder / LOG_FILE}.",
                result.code,
                result.log_tail,
            )

    def _clear(self, folds: Sequence[EnsembleFold], keeps: set[str]) -> None:
        for one in folds:
            for member in one.members:
                if one.ensemble.configuration in keeps:
                    member.store(self.roots).keep()
        for one in folds:
            for member in one.members:
                member.store(self.roots).remove_unless_kept()


def _read(
    roots: Roots, experiments: Sequence[Experiment], folds: Sequence[str]
) -> dict[tuple[Experiment, str], FinishedMember]:
    return {(one, fold): finished_member(roots, one, fold) for one in experiments for fold in folds}


def _distinct(folds: Sequence[EnsembleFold]) -> list[FinishedMember]:
    return list({member.experiment: member for one in folds for member in one.members}.values())


@contextmanager
def _bound_folders(datasets: Mapping[Experiment, PreparedDataset], roots: Roots) -> Iterator[dict[Experiment, Places]]:
    """Yields by experiment where its preprocessed cases and references lie, which stay as they are meanwhile."""
    with ExitStack() as stack:
        places = {}
        for experiment, dataset in datasets.items():
            folder = stack.enter_context(bound_roots(dataset, experiment)).preprocessed / experiment.dataset
            places[experiment] = folder / dataset.plans.cases_folder(experiment.configuration).name, folder / REFERENCES
        yield places


@contextmanager
def _sole(folder: Path, dataset: str, progress: Progress) -> Iterator[None]:
    """Has one process at a time make ensembles of a dataset: they share the probabilities of their members."""
    folder.mkdir(parents=True, exist_ok=True)
    lock = kernel_lock(folder / ".making.lock", timeout=0)
    try:
        lock.acquire()
    except Timeout:
        progress.warn(f"Another process makes ensembles of {dataset}; waiting for it.")
        lock.acquire(timeout=-1)
    try:
        yield
    finally:
        lock.release()
