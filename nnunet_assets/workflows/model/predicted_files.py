"""What lies beside masks: a table of volumes, which file became which case, a manifest, and a picture of each case."""

import csv
import io
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnunet_assets.core.dataset.dataset_json import DatasetDescription
from nnunet_assets.core.dataset.findings import Finding
from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.model.usable_model import Member
from nnunet_assets.core.progress import Progress
from nnunet_assets.workflows.model.named_model import NamedModel

if TYPE_CHECKING:
    from nnunet_assets.nnunet.predictions.checked_images import CheckedCase
    from nnunet_assets.nnunet.predictions.output_folder import MadeBy, OutputFolder
    from nnunet_assets.nnunet.predictions.written_mask import MaskRecord

CSV_FILE, JSON_FILE, PREVIEWS, IMAGES_FILE = "predictions.csv", "predictions.json", "previews", "images.csv"

_WITHOUT_MM = ("NaturalImage2DIO",)
"""nnU-Net's readers of formats without a voxel size."""


def preview_file(folder: Path, case: str) -> Path:
    """Returns where the picture of a case lies in a folder of masks."""
    return folder / PREVIEWS / f"{case}.png"


def write_table(
    file: Path,
    finished: "Mapping[str, MaskRecord]",
    description: DatasetDescription,
    warned: Mapping[str, Sequence[str]],
    model: str,
    *,
    is_mm: bool,
) -> None:
    """Writes a row a case: by label the voxels and the volume in ml, the codes of its warnings, the model's digest.

    Args:
        file: The CSV file.
        finished: What is known of each mask.
        description: dataset.json of the model: which labels.
        warned: Codes of the warnings by case.
        model: Digest of the model and its flags.
        is_mm: Whether the format says the size of a voxel; without it there are no volumes.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    labels = description.foreground
    numbers = [f"{label}_{unit}" for label in labels for unit in ("voxels", "ml")]
    writer.writerow(["case", *numbers, "warnings", "model"])
    for case, record in finished.items():
        row: list[str | int] = [case]
        for label in labels:
            n_voxels = sum(record.voxels.get(str(value), 0) for value in description.values_of(label))
            row += [n_voxels, f"{n_voxels * prod(record.spacing) / 1000:.6g}" if is_mm else ""]
        writer.writerow([*row, " ".join(dict.fromkeys(warned.get(case, ()))), model])
    write_atomically(file, text.getvalue().encode())


def write_image_table(file: Path, images: Mapping[str, Sequence[str]]) -> None:
    """Writes a row a file: of which case and channel it is, as `--pattern` or its name said.

    Args:
        file: The CSV file.
        images: By case the paths, in the order of the channels.
    """
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["case", "channel", "file"])
    for case, paths in images.items():
        writer.writerows([case, channel, path] for channel, path in enumerate(paths))
    # A name that is no text, which a disk may hold, is written as Python shows it.
    write_atomically(file, text.getvalue().encode(errors="backslashreplace"))


def write_files(
    folder: "OutputFolder",
    model: NamedModel,
    made_by: "MadeBy",
    digest: str,
    *,
    cases: "Sequence[CheckedCase]",
    warnings: Sequence[Finding],
    reader: str | None,
) -> None:
    """Writes the tables and the manifest of every mask that was made in a folder.

    Args:
        folder: With the masks.
        model: That made them.
        made_by: The same, and its flags.
        digest: Of both.
        cases: Of this call.
        warnings: Of these cases.
        reader: nnU-Net's, that reads the images.
    """
    finished = folder.finished()
    codes = {case.name: [one.code for one in warnings if one.case == case.name] for case in cases}
    warned = folder.keep_warnings(codes)
    files = folder.keep_images({case.name: [str(path) for path in case.images] for case in cases})
    write_image_table(folder.folder / IMAGES_FILE, {case: files.get(case, ()) for case in finished})
    is_mm = reader not in _WITHOUT_MM
    write_table(folder.folder / CSV_FILE, finished, model.description, warned, digest, is_mm=is_mm)
    made = {
        case: {
            "images": folder.images_hash(case),
            "sha256": record.sha256,
            "device": record.device,
            "voxels": dict(record.voxels),
        }
        for case, record in finished.items()
    }
    content = {
        "model": made_by.title,
        "made_by": digest,
        **made_by.settings,
        "members": [_member_json(member) for member in model.usable.members],
        "versions": {name: version(name) for name in ("nnunet_assets", "nnunetv2", "torch")},
        "cases": made,
    }
    write_json_atomically(folder.folder / JSON_FILE, content)


def _member_json(member: Member) -> dict[str, Any]:
    stage = {"previous": _member_json(member.previous)} if member.previous else {}
    return {
        "experiment": "/".join(member.experiment.key_prefix),
        "folds": list(member.folds),
        "checkpoint": member.checkpoint,
        **stage,
    }


class Previews:
    """The pictures of a call's cases: drawn while others are predicted, the rest at the end.

    Args:
        folder: With the masks.
        cases: To draw.
        description: dataset.json of the model.
    """

    def __init__(self, folder: "OutputFolder", cases: "Sequence[CheckedCase]", description: DatasetDescription) -> None:
        self._folder, self._description = folder, description
        self._left = {case.name: case for case in cases}

    def draw_next(self) -> None:
        """Draws one that can be drawn by now."""
        if (case := next((one for one in self._left.values() if self._folder.file(one.name).exists()), None)) is None:
            return
        del self._left[case.name]
        mask, preview = self._folder.file(case.name), preview_file(self._folder.folder, case.name)
        with suppress(FileNotFoundError):
            if preview.stat().st_mtime_ns >= mask.stat().st_mtime_ns:
                return
        draw_preview(self._folder.folder, case.name, case.images[0], mask, self._description)

    def draw_all(self, progress: Progress) -> None:
        """Draws what is not drawn yet."""
        n = len(self._left)
        for n_done in range(1, n + 1):
            self.draw_next()
            progress.step("previews drawn", n_done, n)


def draw_preview(folder: Path, case: str, image: Path, mask: Path, description: DatasetDescription) -> Path | None:
    """Draws the slice with most of the mask; None: the format cannot be shown.

    Args:
        folder: With the masks.
        case: Whose picture it is.
        image: First channel.
        mask: What was predicted.
        description: dataset.json of the model.
    """
    # numpy, and Pillow.
    from nnunet_assets.nnunet.cases.case_pictures import case_slice
    from nnunet_assets.reports.figures.mask_picture import mask_picture

    found = case_slice(image, mask, mask, description, case)
    if found is None:
        return None
    file = preview_file(folder, case)
    write_atomically(file, mask_picture(found, _value_names(description)))
    return file


def _value_names(description: DatasetDescription) -> dict[int, str]:
    """Returns each value with the label that it is of; of regions the narrowest that holds it."""
    widest_first = sorted(description.foreground, key=lambda label: -len(description.values_of(label)))
    return {value: label for label in widest_first for value in description.values_of(label)}
