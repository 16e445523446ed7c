"""New images, looked at: what is to be predicted of them, what stands in the way, and what is there already."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.dataset.findings import Finding, refuse_errors
from nnunet_assets.core.progress import Progress
from nnunet_assets.errors import PredictionError, first_offenders
from nnunet_assets.settings import Settings
from nnunet_assets.workflows.model.named_model import NamedModel
from nnunet_assets.workflows.model.output_checks import refuse_output

if TYPE_CHECKING:
    from nnunet_assets.nnunet.new_images.found_images import FoundImages
    from nnunet_assets.nnunet.predictions.checked_images import CheckedImages
    from nnunet_assets.nnunet.predictions.output_folder import MadeBy, OutputFolder
    from nnunet_assets.nnunet.predictions.prediction_request import PredictionFlags

SUBJECT = "What is to be predicted"
"""The first words of a refusal of images."""

MASK_SHARE = 0.05
"""Bytes of a compressed mask for each voxel, at most; of real organs it is less."""


@dataclass(frozen=True)
class Asked:
    """What is to be predicted, and how.

    Attributes:
        images: One folder, or files.
        output: The folder for the masks; need not be there.
        pattern: How files below the folder are named; None: as nnU-Net names them.
        channels: What `{channel}` in the pattern stands for, in the model's order.
        step_size: By which share of a patch the window moves.
        mirroring: Whether the mean over mirrored images is taken.
        save_probabilities: Whether they are kept beside the masks.
        postprocessing: Whether the model's own is applied.
        overwrite: Whether masks that are in the way go.
        previews: Whether a picture of each case is drawn.
        device: `auto`, `cuda`, `cpu` or `mps`.
        n_gpus: On how many GPUs at once; None: on all that there are.
    """

    images: Sequence[Path]
    output: Path
    pattern: str | None = None
    channels: Sequence[str] = ()
    step_size: float = 0.5
    mirroring: bool = True
    save_probabilities: bool = False
    postprocessing: bool = True
    overwrite: bool = False
    previews: bool = True
    device: str = "auto"
    n_gpus: int | None = None

    @property
    def flags(self) -> "PredictionFlags":
        """What the process that predicts is told."""
        from nnunet_assets.nnunet.predictions.prediction_request import PredictionFlags

        return PredictionFlags(self.step_size, self.mirroring, self.save_probabilities)


@dataclass(frozen=True)
class PlannedPrediction:
    """Images that were looked at; nothing of it is on the disk.

    Attributes:
        settings: Of the project.
        asked: What is to be done.
        model: What predicts.
        checked: The images.
        wanted: The cases, and the hash of the images of each.
        made_by: What decides the masks beside the images.
        warnings: What somebody should look at.
        conflicts: Why the output folder cannot take the masks, a sentence each.
        missing: The cases that are to be predicted; the others are finished.
        folder: That takes the masks.
    """

    settings: Settings
    asked: Asked
    model: NamedModel
    checked: "CheckedImages"
    wanted: Mapping[str, str]
    made_by: "MadeBy"
    warnings: tuple[Finding, ...]
    conflicts: tuple[str, ...]
    missing: tuple[str, ...]
    folder: "OutputFolder" = field(repr=False)

    @property
    def steps(self) -> tuple[tuple[int, ...], ...]:
        """Those of the postprocessing that the masks go through."""
        return _steps(self.model, self.asked)

    @property
    def needed_bytes(self) -> int:
        """About what the missing masks take on the disk, and their probabilities, not compressed."""
        n_heads = len(self.model.description.labels)
        per_voxel = MASK_SHARE + (4 * n_heads if self.asked.save_probabilities else 0)
        missing = set(self.missing)
        voxels = (prod(fact.geometry.shape) for fact in self.checked.facts if fact.geometry and fact.case in missing)
        return round(per_voxel * sum(voxels))


def plan_prediction(settings: Settings, model: NamedModel, asked: Asked, progress: Progress) -> PlannedPrediction:
    """Reads all images, and returns what is to be done; nothing is written but what is known of images seen before.

    Raises:
        ConfigError: The pattern, or a flag, is wrong.
        DatasetError: Something in the images keeps them from being predicted. All of it is named.
        PredictionError: There are no images, or the output folder is of no use.
    """
    # numpy, which wrong usage need not wait for.
    from nnunet_assets.nnunet.cases.fact_cache import FactCache
    from nnunet_assets.nnunet.new_images.compared_images import comparison_findings
    from nnunet_assets.nnunet.new_images.found_images import find_images
    from nnunet_assets.nnunet.new_images.resampled_images import resampled_findings
    from nnunet_assets.nnunet.predictions.checked_images import check_images
    from nnunet_assets.nnunet.predictions.output_folder import OutputFolder
    from nnunet_assets.nnunet.raw.name_check import clashing_names

    description = model.description
    folder = OutputFolder(asked.output, description.file_ending)
    if not 0 < asked.step_size <= 1:
        raise PredictionError(f"-step_size is {asked.step_size:g}: the share of a patch must lie in (0, 1].")
    refuse_output(asked.output, asked.images, asked.pattern)
    found = find_images(asked.images, description, pattern=asked.pattern, channels=asked.channels)
    if asked.pattern is not None:
        progress.say(_said_of_pattern(found))
    checked = check_images(
        SUBJECT,
        found.cases,
        found.findings,
        found.folder,
        description,
        model_folder=model.usable.first.folder,
        cache=FactCache(folder.facts) if folder.work.is_dir() else None,
        what="cases read",
        progress=progress,
        trusted=settings.trusted_code,
        further=lambda reader: clashing_names([case.case for case in found.cases], description.file_ending, reader),
    )
    n_channels, n_labels = len(description.channel_names), len(description.labels)
    resampled = tuple(resampled_findings(checked.facts, model.usable.members, n_channels, n_labels))
    refuse_errors(SUBJECT, resampled)
    warnings = (*checked.warnings, *resampled, *comparison_findings(checked.facts, model.expected))
    wanted = {case.name: case.images_hash for case in checked.cases}
    made_by = _made_by(model, asked)
    conflicts = folder.conflicts(made_by, wanted)
    missing = list(wanted) if asked.overwrite or conflicts else folder.missing(wanted)
    return PlannedPrediction(
        settings,
        asked,
        model,
        checked,
        wanted,
        made_by,
        warnings,
        conflicts=tuple(conflicts),
        missing=tuple(missing),
        folder=folder,
    )


def _said_of_pattern(found: "FoundImages") -> str:
    """Returns which file became which case: a pattern that is a little wrong still finds something."""
    shown = [f"{case.case} is {case.images[0].relative_to(found.folder)}" for case in found.cases]
    n = len(shown)
    renamed = f" {len(found.renamed)} names have signs that no case may have, and got others." if found.renamed else ""
    return f"The pattern finds {n} case{'s' if n > 1 else ''}: {first_offenders(shown, 3)}.{renamed}"


def _made_by(model: NamedModel, asked: Asked) -> "MadeBy":
    from nnunet_assets.nnunet.predictions.output_folder import MadeBy

    settings = {
        "digest": model.usable.digest,
        "step_size": asked.step_size,
        "mirroring": asked.mirroring,
        "save_probabilities": asked.save_probabilities,
        "postprocessing": [list(step) for step in _steps(model, asked)],
    }
    return MadeBy(model.usable.title, settings)


def _steps(model: NamedModel, asked: Asked) -> tuple[tuple[int, ...], ...]:
    return model.usable.postprocessing if asked.postprocessing else ()
