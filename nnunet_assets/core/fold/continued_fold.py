"""The finished fold whose training another one goes on with, as a variant's `continues` asks for.

The same fold of the same dataset, configuration, plans and trainer, of another variant or of none. What names it is its
checkpoint: validated again it is the same, trained anew it is another one, and so is what continues it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT

CONTINUES = "continues"
"""In a manifest's details, and among the parameters of a training: what `described` returns."""

DEFAULT_VARIANT = "default"
"""What a variant calls the experiment without a variant that it continues."""


@dataclass(frozen=True)
class ContinuedFold:
    """What a fold's process goes on from.

    Attributes:
        experiment: Title of the experiment, for people.
        variant: As a declaration names it.
        folder: nnU-Net's `fold_k`.
        checkpoint_sha256: Of its final checkpoint.
        n_epochs: That it was trained.
        training_hash: Digest of how it was trained, which is part of how what continues it is.
    """

    experiment: str
    variant: str
    folder: Path
    checkpoint_sha256: str
    n_epochs: int
    training_hash: str

    @property
    def checkpoint(self) -> Path:
        """What it ended with."""
        return self.folder / FINAL_CHECKPOINT

    @property
    def described(self) -> dict[str, Any]:
        """What is recorded of it; not its path, which may leave this machine."""
        names = ("experiment", "variant", "checkpoint_sha256", "n_epochs")
        return {name: getattr(self, name) for name in names}


def continues_other(recorded: Mapping[str, Any] | None, now: ContinuedFold | None) -> list[str]:
    """Returns what to call it where a fold continues another one than is there now; nothing where it is the same.

    Args:
        recorded: What `described` returned of it; None: the fold continues none.
        now: What is to be continued.
    """
    then = recorded.get("checkpoint_sha256") if recorded else None
    return [] if then == (now.checkpoint_sha256 if now else None) else ["the fold that it continues"]
