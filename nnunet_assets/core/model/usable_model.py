"""What predicts: one model of nnU-Net's, or several whose probabilities are averaged, and how masks are cleaned up."""

from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.model.postprocessing_steps import Step


@dataclass(frozen=True)
class Member:
    """One model of nnU-Net's: a folder with plans.json, dataset.json and the checkpoints of its folds.

    Attributes:
        experiment: What it was trained as.
        folder: nnU-Net's folder of the model, of a project's results or of a package.
        folds: `fold_0` ..., or `fold_all` alone, in the order in which their logits are added.
        checkpoint: File name of each fold's checkpoint.
        previous: The stage before, whose masks it reads; None: no cascade.
    """

    experiment: Experiment
    folder: Path
    folds: tuple[str, ...]
    checkpoint: str
    previous: "Member | None" = None

    @property
    def checkpoints(self) -> tuple[Path, ...]:
        """The files, in the order of the folds."""
        return tuple(self.folder / fold / self.checkpoint for fold in self.folds)


@dataclass(frozen=True)
class UsableModel:
    """What masks are predicted with, wherever it lies: the folds of a project, or a package.

    Attributes:
        title: For people.
        members: One, or those of an ensemble in the order of their names, by which their float32 probabilities are
            added before they are divided once.
        postprocessing: Steps that a mask goes through.
        digest: Names everything that a mask depends on beside the images: weights, plans, dataset.json, steps, folds
            and their order, the version of nnU-Net.
    """

    title: str
    members: tuple[Member, ...]
    postprocessing: tuple[Step, ...]
    digest: str

    @property
    def first(self) -> Member:
        """The member whose labels, images and folds stand for those of all."""
        return self.members[0]
