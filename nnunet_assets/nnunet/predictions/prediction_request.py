"""What is asked of the process that predicts."""

from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.model.postprocessing_steps import Step
from nnunet_assets.core.model.usable_model import Member


@dataclass(frozen=True)
class PredictionFlags:
    """What nnU-Net's own flags ask for; as they are by default.

    Attributes:
        step_size: By which share of a patch the window moves, in (0, 1].
        use_mirroring: Whether the mean over mirrored images is taken, where the model was trained for it.
        save_probabilities: Whether `CASE.npz` and `CASE.pkl` are written beside the mask.
    """

    step_size: float = 0.5
    use_mirroring: bool = True
    save_probabilities: bool = False


@dataclass(frozen=True)
class CaseToPredict:
    """A case, and where its prediction goes.

    Attributes:
        name: The case id.
        images: Its images, by channel.
        previous: By member, its prediction by the stage before; None: no cascade.
        part: Where the prediction is written, without the ending.
        file: The name that it takes when it is whole.
        record: What becomes known of the prediction (`written_mask.MaskRecord`), before it takes its name; None:
            nobody asks.
    """

    name: str
    images: tuple[Path, ...]
    previous: tuple[Path | None, ...]
    part: Path
    file: Path
    record: Path | None = None


@dataclass(frozen=True)
class PredictionRequest:
    """Cases to predict with a model.

    Attributes:
        members: Whose probabilities are averaged in this order; of one alone, its mask is taken as nnU-Net makes it.
        postprocessing: Steps that each mask goes through.
        flags: How the members predict.
        device: `auto`, `cuda`, `cpu` or `mps`.
        work_folder: Takes what the process notes about itself.
        cases: Those that are missing.
        is_repeatable: Whether a GPU computes by the same algorithms in every process, which is slower.
    """

    members: tuple[Member, ...]
    postprocessing: tuple[Step, ...]
    flags: PredictionFlags
    device: str
    work_folder: Path
    cases: tuple[CaseToPredict, ...]
    is_repeatable: bool = False
