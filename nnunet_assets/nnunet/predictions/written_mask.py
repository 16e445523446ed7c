"""A mask on its way to the disk, in the process that predicts: whole or absent under its name.

nnU-Net writes a prediction straight to its name, so that a kill leaves half of one. Here everything is written beside
its place and takes it by a rename: probabilities first, then the record of what was predicted, the mask last. Where
there is a mask, all that belongs to it is there.
"""

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.files.atomic_files import fsync_path
from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.typed_json import dataclass_to_json
from nnunet_assets.core.model.postprocessing_steps import Step
from nnunet_assets.nnunet.predictions.prediction_request import CaseToPredict

if TYPE_CHECKING:
    import numpy as np

    from nnunet_assets.nnunet.predictions.member_predictor import MemberPredictor, Properties


@dataclass(frozen=True)
class MaskRecord:
    """What is known of a mask that was predicted.

    Attributes:
        sha256: Of its file.
        voxels: Value to its number of voxels, without background and values that it does not hold.
        spacing: As nnU-Net's reader has it, in the order of the mask's axes; mm where the format says so.
        device: What predicted it: the GPU's model, `cpu` or `mps`.
    """

    sha256: str
    voxels: Mapping[str, int]
    spacing: tuple[float, ...]
    device: str


def postprocessed(mask: "np.ndarray", steps: Sequence[Step]) -> "np.ndarray":
    """Returns a mask after nnU-Net's own step for each of these, in their order."""
    from nnunetv2.postprocessing.remove_connected_components import remove_all_but_largest_component_from_segmentation

    for step in steps:
        mask = remove_all_but_largest_component_from_segmentation(mask, list(step))
    return mask


def write_mask(
    predictor: "MemberPredictor",
    case: CaseToPredict,
    mask: "np.ndarray",
    properties: "Properties",
    *,
    probabilities: "np.ndarray | None",
    device: str,
) -> None:
    """Writes a mask, and what belongs to it.

    Args:
        predictor: Of the format.
        case: Whose mask it is.
        mask: After all steps, axes (z, y, x).
        properties: Of its image.
        probabilities: To be kept beside it; None: they are not.
        device: For the record.
    """
    if probabilities is not None:
        _write_probabilities(case, probabilities, properties)
    part = Path(f"{case.part}{predictor.file_ending}")
    predictor.write(mask, properties, part)
    fsync_path(part)
    # Of a 3D TIFF nnU-Net writes the spacing beside it; first, so that no prediction is whole without it.
    if (sidecar := part.with_name(f"{case.part.name}.json")).exists():
        sidecar.replace(case.file.with_name(f"{case.name}.json"))
    if case.record:
        spacing = tuple(float(mm) for mm in properties["spacing"])
        record = MaskRecord(file_sha256(part), _voxels(mask), spacing, device)
        write_json_atomically(case.record, dataclass_to_json(record))
    part.replace(case.file)


def _write_probabilities(case: CaseToPredict, probabilities: "np.ndarray", properties: "Properties") -> None:
    """Writes what nnUNetv2_ensemble reads, as nnU-Net does."""
    import numpy as np

    np.savez_compressed(f"{case.part}.npz", probabilities=probabilities)
    Path(f"{case.part}.pkl").write_bytes(pickle.dumps(dict(properties)))
    for ending in (".npz", ".pkl"):
        part = Path(f"{case.part}{ending}")
        fsync_path(part)
        part.replace(case.file.with_name(f"{case.name}{ending}"))


def _voxels(mask: "np.ndarray") -> dict[str, int]:
    import numpy as np

    values, counts = np.unique(mask, return_counts=True)
    return {str(int(value)): int(n) for value, n in zip(values, counts, strict=True) if value}
