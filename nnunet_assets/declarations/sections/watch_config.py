"""What an experiment declares to be watched while its folds train, as far as it is no result."""

from typing import Annotated

from pydantic import AfterValidator, Field

from nnunet_assets.core.files.layout import NAME_PATTERN
from nnunet_assets.core.training.watch import Watch
from nnunet_assets.declarations.fields import Declaration


def _is_free(name: str) -> str:
    if name == "batches":
        raise ValueError("'batches' is the run of the iterations below a fold's; take another name")
    return name


MOST_PANELS = 16
"""More rows of slices nobody looks at in one picture."""


class WatchConfig(Declaration):
    """What is written down of a training beside its curves by epoch; it changes no result, and each costs its time."""

    gradients: bool = Watch.gradients
    """Norm of the gradient and time of an iteration, by epoch, with the spikes of the norm."""
    batches: bool = Watch.batches
    """Loss, learning rate, gradient norm and time of every training batch."""
    histograms_every: Annotated[int, Field(ge=1)] | None = Watch.histograms_every
    """Histograms of weights and gradients after every so many epochs, for TensorBoard. Absent: none."""
    panels: Annotated[int, Field(ge=0, le=MOST_PANELS)] = Watch.panels
    """Pictures of slices of so many validation cases: image, reference, prediction, difference."""
    panels_every: Annotated[int, Field(ge=1)] = Watch.panels_every
    """After how many epochs these are drawn."""
    tb_prefix: Annotated[str, Field(pattern=NAME_PATTERN), AfterValidator(_is_free)] | None = Watch.tb_prefix
    """A name of the event files' folder, by which TensorBoard shows and filters the runs. Absent: none."""
    comment: Annotated[str, Field(min_length=1, max_length=1000)] | None = Watch.comment
    """A word about the training, shown in TensorBoard, MLflow and Dagster. Absent: none."""

    def watch(self) -> Watch:
        """Returns it as a fold's process takes it."""
        return Watch(**self.model_dump())
