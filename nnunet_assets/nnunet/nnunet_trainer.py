"""What this package uses of nnU-Net's trainer and of what hangs on it, as nnU-Net 2.8 has them.

nnU-Net ships no types, and trainers of the user's own derive from its trainer: this is what they must leave in place. A
test holds it against nnU-Net's own. What is a `Callable` here, the fold's process replaces on the instance (see
`bindings`); what is a method, it calls.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

Label = int | list[int] | tuple[int, ...]
"""What nnU-Net evaluates: a label's value, or those of a region."""


class LabelManager(Protocol):
    """nnU-Net's `LabelManager`."""

    has_regions: bool
    has_ignore_label: bool
    ignore_label: int | None
    foreground_regions: Sequence[Label]
    foreground_labels: Sequence[Label]
    num_segmentation_heads: int

    def convert_logits_to_segmentation(self, predicted_logits: Any) -> Any:
        """Returns labels of (channels, *space)."""


class ConfigurationManager(Protocol):
    """nnU-Net's `ConfigurationManager`: one configuration of the plans."""

    configuration: dict[str, Any]
    batch_size: int
    patch_size: Sequence[int]
    use_mask_for_norm: Sequence[bool]


class PlansManager(Protocol):
    """nnU-Net's `PlansManager`: the whole plans."""

    dataset_name: str
    plans_name: str
    image_reader_writer_class: Any


class NnunetLogger(Protocol):
    """nnU-Net's `MetaLogger`, of nnU-Net 2.7 and later, to which the fold's process adds loggers."""

    loggers: list[Any]
    log: Callable[[str, Any, int], None]
    plot_progress_png: Callable[[str], None]

    def get_value(self, key: str, step: int | None) -> Any:
        """Returns what was logged at an epoch; None: the list of all."""


class NnunetTrainer(Protocol):
    """nnU-Net's `nnUNetTrainer`.

    Attributes:
        current_epoch: Epochs that are done: the one that runs, from 0.
        output_folder: nnU-Net's `fold_k`.
        output_folder_base: The model's folder.
        network: None before `initialize`, as are optimizer, lr_scheduler, loss and dataset_class.
        inference_allowed_mirroring_axes: None: none, or not known before the augmentation is configured.
        grad_scaler: None: on another device than a GPU.
        local_rank: Which of the processes that train a fold together this is.
    """

    configuration_name: str
    output_folder: str
    output_folder_base: str
    preprocessed_dataset_folder: str
    folder_with_segs_from_previous_stage: str | None
    log_file: str
    dataset_json: Mapping[str, Any]
    plans_manager: PlansManager
    configuration_manager: ConfigurationManager
    label_manager: LabelManager
    logger: NnunetLogger
    device: "torch.device"
    network: "torch.nn.Module"
    optimizer: "torch.optim.Optimizer"
    lr_scheduler: Any
    loss: Any
    grad_scaler: Any
    was_initialized: bool
    is_cascaded: bool
    is_ddp: bool
    local_rank: int
    num_input_channels: int
    batch_size: int
    oversample_foreground_percent: float
    num_iterations_per_epoch: int
    num_val_iterations_per_epoch: int
    num_epochs: int
    current_epoch: int
    save_every: int
    disable_checkpointing: bool
    dataset_class: Any
    inference_allowed_mirroring_axes: Sequence[int] | None
    my_init_kwargs: dict[str, Any]
    _best_ema: float | None

    train_step: Callable[[Mapping[str, Any]], dict[str, Any]]
    validation_step: Callable[[Mapping[str, Any]], dict[str, Any]]
    save_checkpoint: Callable[[str], None]
    load_checkpoint: Callable[[Any], None]
    on_train_start: Callable[[], None]
    on_train_epoch_end: Callable[[list[dict[str, Any]]], None]
    on_validation_epoch_end: Callable[[list[dict[str, Any]]], None]
    on_epoch_end: Callable[[], None]
    on_train_end: Callable[[], None]

    def initialize(self) -> None:
        """Builds network, optimizer and loss."""

    def do_split(self) -> tuple[Sequence[str], Sequence[str]]:
        """Returns the cases to train and to validate on."""

    def run_training(self) -> None:
        """Trains to the last epoch."""

    def perform_actual_validation(self, save_probabilities: bool = False) -> None:
        """Predicts and scores the validation cases."""

    def print_to_log_file(self, *args: object) -> None:
        """Writes a line to nnU-Net's log and to the output."""

    def configure_rotation_dummyDA_mirroring_and_inital_patch_size(  # noqa: N802 - nnU-Net's
        self,
    ) -> tuple[Any, bool, Any, tuple[int, ...]]:
        """Returns range of rotation, whether 3D is augmented in 2D, patch size before it, and the axes mirrored."""

    def _get_deep_supervision_scales(self) -> Any:
        """Returns the scales of the outputs."""

    def get_training_transforms(  # noqa: PLR0917 - nnU-Net's
        self,
        patch_size: Sequence[int],
        rotation_for_DA: Any,  # noqa: N803 - nnU-Net's
        deep_supervision_scales: Any,
        mirror_axes: tuple[int, ...],
        do_dummy_2d_data_aug: bool,
        use_mask_for_norm: Sequence[bool],
        is_cascaded: bool,
        foreground_labels: Sequence[Label],
        regions: Sequence[Label] | None,
        ignore_label: int | None,
    ) -> Any:
        """Returns the augmentation."""
