"""Probabilities of validation cases on demand, from the parent's side: what is missing, and the child that predicts.

Nothing of a fold is touched: its masks, scores and COMMIT are what they were.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.layout import Experiment, Roots
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.core.text.amounts import bytes_text
from nnunet_assets.errors import PredictionError
from nnunet_assets.nnunet.folds.bound_inputs import bound_roots
from nnunet_assets.nnunet.images.image_reader import reader_of_model
from nnunet_assets.nnunet.images.nifti import VolumeError
from nnunet_assets.nnunet.images.other_formats import file_geometry
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code_in
from nnunet_assets.nnunet.prepared.prepared_folder import PreparedFolder
from nnunet_assets.nnunet.probabilities.finished_member import FinishedMember
from nnunet_assets.nnunet.probabilities.probabilities_request import FoldToPredict, ProbabilitiesRequest
from nnunet_assets.nnunet.probabilities.probability_store import ProbabilityStore, probability_bytes
from nnunet_assets.nnunet.seams import require_nnunet
from nnunet_assets.processes.child import LOG_FILE, ChildResult, run_child
from nnunet_assets.processes.machine.device_lease import device_lease
from nnunet_assets.processes.machine.memory import free_memory_bytes
from nnunet_assets.processes.supervisor import FoldFailed, run_with_restarts
from nnunet_assets.processes.workers import usable_cpus, waiting_variables, worker_variables
from nnunet_assets.settings import trusted_code

PREDICTING = "validation cases predicted again"

MOST_THREADS = 3
"""Cases that are exported at once: what nnU-Net takes by default, and a GPU is not faster than these together."""

EXPORT_COPIES = 4
"""How many arrays of the size of a case's probabilities an export holds at its peak: logits that are resampled, their
softmax, and both before and after the case is put back into its image."""


def predict_probabilities(
    members: Sequence[FinishedMember],
    roots: Roots,
    *,
    device: str,
    environment: Mapping[str, str],
    work_folder: Path,
    progress: Progress = LOGGED,
) -> int:
    """Predicts the validation cases that have no probabilities yet, and returns how many these were.

    A killed prediction goes on with the next case. Whoever calls holds what keeps others from the same stores.

    Args:
        members: Folds of whatever experiments, one after the other on one device.
        roots: nnU-Net's folders of the project.
        device: `auto`, `cuda`, `cpu` or `mps`.
        environment: Of the child, without nnU-Net's folders.
        work_folder: Takes what the child is asked and says.
        progress: Told of the cases that are predicted now.

    Raises:
        PredictionError: The largest case does not fit into the memory.
        FoldError: Preprocessed cases are damaged.
        ForeignCodeError: Plans, or dataset.json, name code that is neither nnU-Net's own nor trusted.
        FoldFailed: The process ended without having predicted every case.
    """
    refuse_foreign_members(members, environment)
    stores = {member.finished.folder: member.store(roots) for member in members}
    for member in members:
        stores[member.finished.folder].begin(member.cases)
    incomplete = [member for member in members if stores[member.finished.folder].missing(member.cases)]
    if not incomplete:
        return 0
    n_threads = exports_at_once(max(largest_case_bytes(member, roots) for member in incomplete))
    work_folder.mkdir(parents=True, exist_ok=True)
    with _bound(incomplete, roots) as cases_folders:

        def request() -> ProbabilitiesRequest:
            folds = (_to_predict(member, cases_folders, stores[member.finished.folder]) for member in incomplete)
            return ProbabilitiesRequest(device, work_folder, n_threads, tuple(fold for fold in folds if fold.cases))

        return _run(request, roots, device=device, environment=environment, progress=progress)


def refuse_foreign_members(members: Sequence[FinishedMember], environment: Mapping[str, str]) -> None:
    """Passes where the models' plans and dataset.json name no foreign code.

    Raises:
        ForeignCodeError: One does.
    """
    for folder in sorted({member.model_folder for member in members}):
        refuse_foreign_code_in(folder / "plans.json", folder / DATASET_JSON, trusted_code(environment))


def case_bytes(member: FinishedMember, roots: Roots) -> dict[str, int]:
    """Returns how large the probabilities of each case are, by the header of its reference.

    A format without a header that says it, such as PNG, counts nothing: its images are small.
    """
    reader = str(reader_of_model(member.model_folder))
    references = PreparedFolder(roots, member.experiment.dataset).references
    ending = member.description.file_ending
    return {case: _bytes(references / f"{case}{ending}", reader, member.n_heads) for case in member.cases}


def largest_case_bytes(member: FinishedMember, roots: Roots) -> int:
    """Returns how large the probabilities of its largest case are."""
    return max(case_bytes(member, roots).values())


def exports_at_once(largest_bytes: int) -> int:
    """Returns how many cases may be exported at once.

    Raises:
        PredictionError: Not even one fits into the memory.
    """
    return min(MOST_THREADS, cases_at_once(largest_bytes, EXPORT_COPIES, "while they are made"))


def cases_at_once(largest_bytes: int, n_copies: int, when: str) -> int:
    """Returns of how many cases the memory holds the probabilities at once, at most one a processor.

    Args:
        largest_bytes: What those of the largest case take.
        n_copies: How many arrays of that size are in memory for a case.
        when: For the error, while what: `while they are made`.

    Raises:
        PredictionError: Not even one fits into the memory.
    """
    free, needed = free_memory_bytes(), n_copies * largest_bytes
    if needed > free:
        raise PredictionError(
            f"The probabilities of the largest case take {bytes_text(largest_bytes)}, and {bytes_text(needed)} of "
            f"memory {when}; {bytes_text(free)} are free. End what else runs, or use a larger machine."
        )
    return max(1, min(usable_cpus(), free // max(1, needed)))


def _bytes(reference: Path, reader: str, n_heads: int) -> int:
    try:
        geometry = file_geometry(reference, reader)
    except (OSError, VolumeError) as error:
        raise PredictionError(f"The size of {reference} cannot be read: {error}") from error
    return probability_bytes(n_heads, math.prod(geometry.shape)) if geometry else 0


@contextmanager
def _bound(members: Sequence[FinishedMember], roots: Roots) -> Iterator[dict[Experiment, Path]]:
    """Yields by experiment the folder of its preprocessed cases, which stay as they are meanwhile."""
    datasets = {member.experiment: member.dataset for member in members}
    with ExitStack() as stack:
        folders = {}
        for experiment, dataset in datasets.items():
            bound = stack.enter_context(bound_roots(dataset, experiment))
            name = dataset.plans.cases_folder(experiment.configuration).name
            folders[experiment] = bound.preprocessed / experiment.dataset / name
        yield folders


def _to_predict(
    member: FinishedMember, cases_folders: Mapping[Experiment, Path], store: ProbabilityStore
) -> FoldToPredict:
    return FoldToPredict(
        experiment=member.experiment,
        model_folder=member.model_folder,
        fold=member.number,
        checkpoint=member.checkpoint,
        cases_folder=cases_folders[member.experiment],
        previous_folder=member.previous_folder,
        store=store.folder,
        cases=store.missing(member.cases),
    )


def _run(
    request: Callable[[], ProbabilitiesRequest],
    roots: Roots,
    *,
    device: str,
    environment: Mapping[str, str],
    progress: Progress,
) -> int:
    """Runs the child on a leased device until every case is predicted, again where a restart may help."""
    require_nnunet()
    work_folder = request().work_folder
    n_at_start = _n_missing(request())

    def n_done() -> int:
        return n_at_start - _n_missing(request())

    def look() -> None:
        progress.step(PREDICTING, n_done(), n_at_start)
        progress.poll()

    def start(n_halvings: int) -> ChildResult:
        with device_lease(device, environment, progress=progress, what="The ensemble") as lease:
            progress.step(PREDICTING, n_done(), n_at_start)
            now = request()
            return run_child(
                "nnunet_assets.nnunet.probabilities.probabilities_process",
                replace(now, n_threads=max(1, now.n_threads >> n_halvings)),
                folder=work_folder,
                environment={
                    **environment,
                    **roots.environment(),
                    **worker_variables(environment, n_sharing=lease.n_sharing, n_halvings=n_halvings),
                    **({} if lease.gpus else waiting_variables(environment)),
                    **lease.variables,
                },
                on_poll=look,
            )

    def is_done() -> bool:
        return n_done() == n_at_start

    result = run_with_restarts(start, own_folder=work_folder, is_done=is_done, n_saved=n_done, progress=progress)
    if not is_done():
        problem = result.problem or "The process ended with exit code 0, but did not predict every case."
        raise FoldFailed(
            f"Probabilities of validation cases: {problem} {n_done()} of {n_at_start} cases were predicted and are "
            f"kept: start it again to go on. The whole output is in {work_folder / LOG_FILE}.",
            result.code,
            result.log_tail,
        )
    return n_at_start


def _n_missing(request: ProbabilitiesRequest) -> int:
    return sum(len(fold.cases) for fold in request.folds)
