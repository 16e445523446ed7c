"""`model.json`: how a package describes itself, to people and to whoever is to predict with it.

No case id, path, host or user of the machine that trained it is in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from nnunet_assets.core.statistics.estimate import Interval

MODEL_FILE = "model.json"
MEMBERS_FOLDER = "members"
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class DescribedMember:
    """A model of nnU-Net's within a package.

    Attributes:
        name: `DATASET/VARIANT/TRAINER__PLANS__CONFIGURATION`, without the variant where there is none.
        path: Its folder within the package, `.` or `members/NAME`.
        dataset: nnU-Net's name of the dataset that it was trained on.
        trainer: As nnU-Net names it, and plans and configuration.
        plans: See above.
        configuration: See above.
        variant: None: the trainer's own settings.
        folds: In the order in which their logits are added.
        checkpoint: File name in each fold.
        weight: Share in the mean of probabilities, in (0, 1]; the stage of a cascade has 0, since it is not averaged.
        previous: Path of the stage before within the package; None: no cascade.
    """

    name: str
    path: str
    dataset: str
    trainer: str
    plans: str
    configuration: str
    variant: str | None
    folds: tuple[str, ...]
    checkpoint: str
    weight: float
    previous: str | None


@dataclass(frozen=True)
class ExpectedChannel:
    """A channel of the images that the model was trained on.

    Attributes:
        name: As dataset.json has it.
        normalization: nnU-Net's scheme.
        low: The 0.5 % percentile of intensities in the foreground of the training images; None: not known.
        high: The 99.5 % percentile.
        mean: Of the same voxels.
        std: Of the same voxels.
    """

    name: str
    normalization: str
    low: float | None
    high: float | None
    mean: float | None
    std: float | None


@dataclass(frozen=True)
class ExpectedImages:
    """The images that the model was trained on, to tell others from them.

    Attributes:
        file_ending: Such as `.nii.gz`.
        channels: In the order of `_0000`, `_0001`, ...
        spacing_low: Smallest spacing of the training images by axis, in mm, z, y, x as nnU-Net has it; None: not known.
        spacing_median: Median.
        spacing_high: Largest.
        n_cases: How many it was trained on; None: not known.
        orientations: Where the axes of the training images lead, such as `LPS`, the commonest first; empty: not known,
            as in packages of older versions.
    """

    file_ending: str
    channels: tuple[ExpectedChannel, ...]
    spacing_low: tuple[float, ...] | None
    spacing_median: tuple[float, ...] | None
    spacing_high: tuple[float, ...] | None
    n_cases: int | None
    orientations: tuple[str, ...] = ()


@dataclass(frozen=True)
class ModelNumber:
    """A number that speaks of the model.

    Attributes:
        mean: In [0, 1].
        interval: 95 % confidence interval; None: not known.
        n_cases: That it is a mean of.
        estimand: What it is, in a sentence.
    """

    mean: float
    interval: Interval | None
    n_cases: int
    estimand: str


@dataclass(frozen=True)
class ModelDescription:
    """What `model.json` says.

    Attributes:
        schema_version: Of this layout.
        title: For people.
        kind: `single`, `cascade` or `ensemble`.
        members: Those that are averaged in the order of their names, then the stages of cascades.
        labels: Label name to its value, or to the values of a region, background included, as dataset.json has them.
        regions_class_order: As dataset.json has it; None: no regions.
        images: What it was trained on.
        numbers: Such as `dice` (the cross-validation's) and `expected_dice` (corrected for the choice).
        selection: How it was chosen: rule, candidates and their means, the votes of the folds; None: it was not.
        inputs: `raw_hash`, `plans_hash`, `splits_hash` by name of the member.
        intended_use: In the words of who made it; None: research use only, nothing was said.
        licence: Of the weights; None: not said.
        versions: By package: nnunetv2, torch, nnunet_assets.
        files: SHA-256 by path within the package, of every file but model.json.
        notes: Such as that its checkpoints hold what predicts and cannot be trained on.
    """

    schema_version: int
    title: str
    kind: str
    members: tuple[DescribedMember, ...]
    labels: Mapping[str, int | list[int]]
    regions_class_order: tuple[int, ...] | None
    images: ExpectedImages
    numbers: Mapping[str, ModelNumber]
    selection: Mapping[str, Any] | None
    inputs: Mapping[str, Mapping[str, str]]
    intended_use: str | None
    licence: str | None
    versions: Mapping[str, str]
    files: Mapping[str, str]
    notes: tuple[str, ...] = field(default=())

    @property
    def first(self) -> DescribedMember:
        """The member whose dataset, images and folds stand for those of all that are averaged."""
        return self.members[0]
