"""What of a training is written down beside its curves by epoch, for whoever watches it: nothing, unless asked for.

None of it changes a result: a fold that is watched has the very weights of one that is not.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Watch:
    """What is watched of one training.

    Attributes:
        gradients: The gradient's norm and the time of an iteration, by epoch, with the spikes of the norm.
        batches: Loss, learning rate, gradient norm and time of every training batch.
        histograms_every: Histograms of weights and gradients after every so many epochs, for TensorBoard; None: none.
        panels: Slices of so many validation cases (image, reference, prediction, difference); 0: none.
        panels_every: After how many epochs they are drawn again.
        tb_prefix: The folder of the event files below the fold's `tensorboard`; None: that one itself.
        comment: A word about the training, in TensorBoard, MLflow and Dagster; None: none.
    """

    gradients: bool = False
    batches: bool = False
    histograms_every: int | None = None
    panels: int = 0
    panels_every: int = 10
    tb_prefix: str | None = None
    comment: str | None = None

    @property
    def steps(self) -> bool:
        """Whether something is measured in each training iteration."""
        return self.gradients or self.batches
