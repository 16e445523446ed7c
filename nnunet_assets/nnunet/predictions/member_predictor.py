"""nnU-Net's own predictor of one model, and its own functions before and after it, in the process that predicts.

So a mask is what `nnUNetv2_predict` makes of the same folds, and its probabilities are those that it would save.
"""

from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from threading import Event
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.dataset.dataset_json import DATASET_JSON
from nnunet_assets.core.files.layout import fold_index
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.nnunet.plans.code_names import refuse_foreign_code_in_child
from nnunet_assets.nnunet.predictions.prediction_request import CaseToPredict, PredictionFlags
from nnunet_assets.nnunet.predictions.predictor_copies import PredictorCopies
from nnunet_assets.nnunet.trainer.trainer import trainer_class
from nnunet_assets.nnunet.trainer.whole_predictions import read_back_predictions

if TYPE_CHECKING:
    import numpy as np
    import torch

Properties = Mapping[str, Any]
"""What nnU-Net keeps of an image to put a mask back into its place."""


class MemberPredictor:
    """A member, with the weights of its folds in memory.

    Args:
        member: Which.
        flags: How it predicts.
        device: Where.

    Raises:
        ForeignCodeError: Its plans, or its dataset.json, name code that is neither nnU-Net's own nor trusted.
    """

    def __init__(self, member: Member, flags: PredictionFlags, device: "torch.device") -> None:
        from nnunetv2.inference.predict_from_raw_data import nnUNetPredictor

        refuse_foreign_code_in_child(member.folder / "plans.json", member.folder / DATASET_JSON)
        trainer_class(member.experiment.trainer)
        self._predictor = nnUNetPredictor(
            tile_step_size=flags.step_size, use_mirroring=flags.use_mirroring, device=device, allow_tqdm=False
        )
        folds = tuple(fold_index(fold) for fold in member.folds)
        self._predictor.initialize_from_trained_model_folder(str(member.folder), folds, member.checkpoint)
        read_back_predictions(self._predictor.plans_manager.image_reader_writer_class)
        self.copies = PredictorCopies(self._predictor)

    @property
    def labels(self) -> Any:
        """nnU-Net's `LabelManager`."""
        return self._predictor.label_manager

    @property
    def n_heads(self) -> int:
        """How many logits a voxel has."""
        return int(self.labels.num_segmentation_heads)

    @property
    def file_ending(self) -> str:
        """Of images and masks."""
        return str(self._predictor.dataset_json["file_ending"])

    def preprocess(self, case: CaseToPredict, previous: Path | None) -> dict[str, Any]:
        """Returns what nnU-Net makes of a case: `data`, with the mask of the stage before stacked on it, and more."""
        from nnunetv2.inference.data_iterators import preprocess_fromfiles_save_to_queue

        made: SimpleQueue[dict[str, Any]] = SimpleQueue()
        preprocess_fromfiles_save_to_queue(
            [[str(image) for image in case.images]],
            [str(previous) if previous else None],
            [str(case.part)],
            self._predictor.plans_manager,
            self._predictor.dataset_json,
            self._predictor.configuration_manager,
            made,
            Event(),
            Event(),
        )
        return made.get_nowait()

    def logits(self, data: "torch.Tensor") -> "np.ndarray":
        """Returns the mean over the folds, in the geometry of what was preprocessed."""
        return self.copies.logits(data)

    def mask(self, logits: "np.ndarray", properties: Properties) -> "np.ndarray":
        """Returns the mask in the geometry of the image, axes (z, y, x)."""
        mask: np.ndarray = self._in_place(logits, properties, with_probabilities=False)
        return mask

    def probabilities(self, logits: "np.ndarray", properties: Properties) -> "tuple[np.ndarray, np.ndarray]":
        """Returns the mask that nnU-Net makes of the probabilities, and these, float32, (heads, z, y, x)."""
        mask, probabilities = self._in_place(logits, properties, with_probabilities=True)
        return mask, probabilities

    def write(self, mask: "np.ndarray", properties: Properties, file: Path) -> None:
        """Writes a mask, and reads it back."""
        self._predictor.plans_manager.image_reader_writer_class().write_seg(mask, str(file), properties)

    def _in_place(self, logits: "np.ndarray", properties: Properties, *, with_probabilities: bool) -> Any:
        from nnunetv2.inference.export_prediction import convert_predicted_logits_to_segmentation_with_correct_shape

        return convert_predicted_logits_to_segmentation_with_correct_shape(
            logits,
            self._predictor.plans_manager,
            self._predictor.configuration_manager,
            self.labels,
            properties,
            return_probabilities=with_probabilities,
        )
