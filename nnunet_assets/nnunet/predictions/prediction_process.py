"""The process that predicts: a test set, or any other images.

`python -m nnunet_assets.nnunet.predictions.prediction_process FOLDER PARENT_PID`

Cases are preprocessed and written in threads of this process, not in processes that each import torch anew (see
`costs.export_in_threads`), and take their names one by one, when they are whole. Every member predicts a case before
the next one is begun: an ensemble keeps no probabilities on the disk, and a kill loses the cases in flight alone.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.nnunet.predictions.cases_run import DEVICE_FILE
from nnunet_assets.nnunet.predictions.member_predictor import MemberPredictor, Properties
from nnunet_assets.nnunet.predictions.prediction_request import CaseToPredict, PredictionRequest
from nnunet_assets.nnunet.predictions.written_mask import postprocessed, write_mask
from nnunet_assets.nnunet.trainer.devices import compute_repeatably, device_name, resolve_device
from nnunet_assets.processes.child import child_main
from nnunet_assets.processes.machine.memory import free_memory_bytes

if TYPE_CHECKING:
    import numpy as np

MOST_THREADS = 3
"""Before and after the predictor each: what nnUNetv2_predict takes, by default."""

DATA_COPIES, LOGIT_COPIES = 3, 6
"""What a case takes of the memory at most, in sizes of its preprocessed image (raw, resampled, as tensor) and of its
logits, which are of 16 bits and are resampled with 32."""


@dataclass(frozen=True)
class _Task:
    """One member's part in one case."""

    case: CaseToPredict
    index: int
    predictor: MemberPredictor

    def preprocess(self) -> dict[str, Any]:
        previous = self.case.previous[self.index] if self.case.previous else None
        return self.predictor.preprocess(self.case, previous)


def predict_cases(request: PredictionRequest) -> None:
    """Predicts the cases of a request."""
    from nnunetv2.configuration import default_num_processes

    device = resolve_device(request.device)
    predictors = [MemberPredictor(member, request.flags, device) for member in request.members]
    write_json_atomically(request.work_folder / DEVICE_FILE, {"device": device_name(device)})
    if request.is_repeatable:
        compute_repeatably()
    n_threads = max(1, min(MOST_THREADS, default_num_processes))
    members = ", ".join(f"{member.experiment.title} {list(member.folds)}" for member in request.members)
    print(f"{len(request.cases)} cases on {device_name(device)}: {members}.", flush=True)
    tasks = [_Task(case, index, one) for case in request.cases for index, one in enumerate(predictors)]
    export, room = _Export(request, predictors, device_name(device)), _Room()
    with ThreadPoolExecutor(n_threads, "preprocess") as before, ThreadPoolExecutor(n_threads, "export") as after:
        exported: deque[Future[_Sum | None]] = deque()
        so_far: Future[_Sum | None] | None = None
        for task, item in _preprocessed(tasks, before, n_threads, room):
            logits = task.predictor.logits(item["data"])
            room.needed_bytes = max(room.needed_bytes, DATA_COPIES * item["data"].nbytes + LOGIT_COPIES * logits.nbytes)
            so_far = after.submit(export.add, task, logits, item["data_properties"], so_far if task.index else None)
            exported.append(so_far)
            # A GPU is faster than what follows it: the logits of no more than a few cases wait in memory.
            while len(exported) > n_threads or (exported and room.is_short()):
                exported.popleft().result()
        for future in exported:
            future.result()


@dataclass
class _Room:
    """Whether the memory holds one more case like the largest so far; where it may not, one goes after the other."""

    needed_bytes: int = 0

    def is_short(self) -> bool:
        return free_memory_bytes() < self.needed_bytes


@dataclass(frozen=True)
class _Sum:
    """The probabilities of some members, added up, and the first one's properties of the image."""

    probabilities: "np.ndarray"
    properties: Properties


@dataclass(frozen=True)
class _Export:
    """What follows the predictor."""

    request: PredictionRequest
    predictors: Sequence[MemberPredictor]
    device: str

    def add(
        self, task: _Task, logits: "np.ndarray", properties: Properties, before: "Future[_Sum | None] | None"
    ) -> _Sum | None:
        """Adds a member's probabilities to those of the members before it; after the last one the mask is written.

        Args:
            task: What was predicted.
            logits: By it.
            properties: Of its image.
            before: The sum of the members before it, which began earlier and waits for no later one.
        """
        n, keep = len(self.predictors), self.request.flags.save_probabilities
        if n == 1 and not keep:
            self._write(task, task.predictor.mask(logits, properties), properties, None)
            return None
        mask, probabilities = task.predictor.probabilities(logits, properties)
        del logits
        if (so_far := before.result() if before else None) is not None:
            # One by one and in place, as nnU-Net adds them: for three members or more the order decides the last bit.
            own, probabilities, properties = probabilities, so_far.probabilities, so_far.properties
            probabilities += own
        if task.index < n - 1:
            return _Sum(probabilities, properties)
        if n > 1:
            probabilities /= n
            mask = self.predictors[0].labels.convert_probabilities_to_segmentation(probabilities)
        self._write(task, mask, properties, probabilities if keep else None)
        return None

    def _write(
        self, task: _Task, mask: "np.ndarray", properties: Properties, probabilities: "np.ndarray | None"
    ) -> None:
        mask = postprocessed(mask, self.request.postprocessing)
        write_mask(self.predictors[0], task.case, mask, properties, probabilities=probabilities, device=self.device)
        print(f"{task.case.name} is predicted.", flush=True)


def _preprocessed(
    tasks: Sequence[_Task], pool: ThreadPoolExecutor, n_ahead: int, room: _Room
) -> Iterator[tuple[_Task, dict[str, Any]]]:
    """Yields the tasks in their order, each with what nnU-Net makes of its case, while the next few are made."""
    made: deque[tuple[_Task, Future[dict[str, Any]]]] = deque()
    for task in tasks:
        made.append((task, pool.submit(task.preprocess)))
        while len(made) > n_ahead or (made and room.is_short()):
            first, future = made.popleft()
            yield first, future.result()
    for task, future in made:
        yield task, future.result()


if __name__ == "__main__":
    child_main(PredictionRequest, predict_cases)
