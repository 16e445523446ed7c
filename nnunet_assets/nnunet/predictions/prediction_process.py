"""The process that predicts: a test set, or any other images.

`python -m nnunet_assets.nnunet.predictions.prediction_process FOLDER PARENT_PID`

Cases are preprocessed and written in threads of this process, not in processes that each import torch anew (see
`costs.export_in_threads`), and take their names one by one, when they are whole. Every member predicts a case before
the next one is begun: an ensemble keeps no probabilities on the disk, and a kill loses the cases in flight alone.
"""

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.nnunet.predictions.cases_run import DEVICE_FILE
from nnunet_assets.nnunet.predictions.in_order import in_order
from nnunet_assets.nnunet.predictions.member_predictor import MemberPredictor, Properties
from nnunet_assets.nnunet.predictions.prediction_request import CaseToPredict, PredictionRequest
from nnunet_assets.nnunet.predictions.predictor_copies import predict_at_once
from nnunet_assets.nnunet.predictions.written_mask import postprocessed, write_mask
from nnunet_assets.nnunet.trainer.devices import compute_repeatably, device_name, resolve_device
from nnunet_assets.processes.child import child_main
from nnunet_assets.processes.machine.memory import free_memory_bytes

if TYPE_CHECKING:
    import numpy as np
    import torch

MOST_THREADS = 3
"""Before and after the predictor each, what nnUNetv2_predict takes by default; and at most so many predict at once."""

DATA_COPIES, LOGIT_COPIES, LOGIT_BYTES = 3, 6, 2
"""What a case takes of the memory at most, in sizes of its preprocessed image (raw, resampled, as tensor) and of its
logits, which are of 16 bits and are resampled with 32."""


@dataclass(frozen=True)
class _Task:
    """One member's part in one case."""

    case: CaseToPredict
    index: int
    predictor: MemberPredictor

    def preprocess(self) -> "_Preprocessed":
        previous = self.case.previous[self.index] if self.case.previous else None
        made = self.predictor.preprocess(self.case, previous)
        return _Preprocessed(self, made["data"], made["data_properties"])


@dataclass(frozen=True)
class _Preprocessed:
    """What nnU-Net makes of an image for its network."""

    task: _Task
    data: "torch.Tensor"
    properties: Properties

    @property
    def needed_bytes(self) -> int:
        logits_bytes = LOGIT_BYTES * self.task.predictor.n_heads * prod(self.data.shape[1:])
        needed: int = DATA_COPIES * self.data.nbytes + LOGIT_COPIES * logits_bytes
        return needed

    def predict(self) -> "_Predicted":
        return _Predicted(self.task, self.task.predictor.logits(self.data), self.properties)


@dataclass(frozen=True)
class _Predicted:
    """What a member's network makes of it."""

    task: _Task
    logits: "np.ndarray"
    properties: Properties


def predict_cases(request: PredictionRequest) -> None:
    """Predicts the cases of a request."""
    from nnunetv2.configuration import default_num_processes

    device = resolve_device(request.device)
    predictors = [MemberPredictor(member, request.flags, device) for member in request.members]
    write_json_atomically(request.work_folder / DEVICE_FILE, {"device": device_name(device)})
    if request.is_repeatable:
        compute_repeatably()
    n_threads = max(1, min(MOST_THREADS, default_num_processes))
    n_at_once = predict_at_once([one.copies for one in predictors], n_threads)
    members = ", ".join(f"{member.experiment.title} {list(member.folds)}" for member in request.members)
    print(f"{len(request.cases)} cases on {device_name(device)}, {n_at_once} at once: {members}.", flush=True)
    tasks = [_Task(case, index, one) for case in request.cases for index, one in enumerate(predictors)]
    export, room = _Export(request, predictors, device_name(device)), _Room()
    with (
        ThreadPoolExecutor(n_threads, "preprocess") as before,
        ThreadPoolExecutor(n_at_once, "predict") as within,
        ThreadPoolExecutor(n_threads, "export") as after,
    ):
        preprocessed = in_order((before.submit(task.preprocess) for task in tasks), n_threads, room.is_short)
        predicted = in_order(_predictions(preprocessed, within, room), n_at_once - 1, room.is_short)
        # A GPU is faster than what follows it: the logits of no more than a few cases wait in memory.
        for _ in in_order(_exports(predicted, after, export), n_threads, room.is_short):
            pass


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


def _predictions(
    preprocessed: Iterable[_Preprocessed], pool: ThreadPoolExecutor, room: _Room
) -> "Iterator[Future[_Predicted]]":
    """Yields the prediction of each, once it is asked for."""
    for one in preprocessed:
        room.needed_bytes = max(room.needed_bytes, one.needed_bytes)
        yield pool.submit(one.predict)


def _exports(
    predicted: Iterable[_Predicted], pool: ThreadPoolExecutor, export: _Export
) -> "Iterator[Future[_Sum | None]]":
    """Yields the export of each, once it is asked for."""
    so_far: Future[_Sum | None] | None = None
    for one in predicted:
        so_far = pool.submit(export.add, one.task, one.logits, one.properties, so_far if one.task.index else None)
        yield so_far


if __name__ == "__main__":
    child_main(PredictionRequest, predict_cases)
