"""Where a fold's run goes, and what of it may leave this machine."""

from dataclasses import dataclass
from pathlib import Path

from nnunet_assets.tracking.store.client import is_local
from nnunet_assets.tracking.store.pseudonyms import Pseudonyms


@dataclass(frozen=True)
class Destination:
    """Where a fold's run goes.

    Attributes:
        tracking_uri: As for `client.connect`.
        artifacts: As for `client.connect`.
        share_files: Whether files (logs, splits, figures) may go to a server that is not on this machine. Metrics,
            parameters and tags always go, there without case ids, paths and the host's name.
        preprocessed: nnU-Net's preprocessed folder, whose splits say what a case id is; None: none is known.
    """

    tracking_uri: str
    artifacts: Path
    share_files: bool = False
    preprocessed: Path | None = None

    @property
    def takes_files(self) -> bool:
        """Whether files go there."""
        return self.share_files or is_local(self.tracking_uri)

    def pseudonyms(self, dataset: str | None) -> Pseudonyms | None:
        """Returns what hides the cases of a dataset, paths and hosts; None where nothing leaves this machine."""
        if is_local(self.tracking_uri):
            return None
        return Pseudonyms(self.artifacts, self.preprocessed / dataset if self.preprocessed and dataset else None)
