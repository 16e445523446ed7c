"""A checkpoint with nothing in it but what nnU-Net predicts with: half the size, and no word of the training's machine.

nnU-Net's own holds the optimizer's state, the curves and, as `init_args`, the whole plans and dataset.json: of a
curated dataset that is case ids and absolute paths. A slim one cannot be trained on.
"""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.atomic_files import written_whole
from nnunet_assets.errors import PackageError
from nnunet_assets.nnunet.checkpoints.checkpoint_content import (
    Storage,
    TensorForm,
    read_checkpoint_content,
    storages_in,
)
from nnunet_assets.nnunet.checkpoints.pretrained import load_without_code

WEIGHTS, TRAINER, INIT_ARGS, MIRRORING = (
    "network_weights",
    "trainer_name",
    "init_args",
    "inference_allowed_mirroring_axes",
)
"""What nnU-Net's predictor reads of a checkpoint; of `init_args` the configuration alone."""

CONFIGURATION = "configuration"

ROOM_BESIDE_WEIGHTS = 1 << 20
"""More than the names of the weights take in a slim checkpoint."""


def slim_bytes(source: Path) -> int:
    """Returns how large the slim checkpoint of a checkpoint may become, without loading it.

    Raises:
        PackageError: It cannot be packed.
    """
    weights = _content(source).get(WEIGHTS)
    storages: dict[str, Storage] = storages_in(weights)
    return sum(storage.n_bytes for storage in storages.values()) + ROOM_BESIDE_WEIGHTS


def write_slim_checkpoint(source: Path, target: Path) -> None:
    """Writes of a checkpoint what nnU-Net predicts with, whole or not at all; the same bytes each time.

    Args:
        source: nnU-Net's checkpoint, or a slim one; read without running anything that it carries.
        target: Made with its folder.

    Raises:
        PackageError: The source is no checkpoint of nnU-Net, or holds more than weights.
    """
    import torch

    try:
        checkpoint = load_without_code(source)
        checked = _checked(checkpoint, source)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise _unreadable(source, error) from error
    axes = checked.get(MIRRORING)
    slim = {
        WEIGHTS: _apart(checked[WEIGHTS]),
        TRAINER: str(checked[TRAINER]),
        INIT_ARGS: {CONFIGURATION: str(checked[INIT_ARGS][CONFIGURATION])},
        MIRRORING: None if axes is None else tuple(int(axis) for axis in axes),
    }
    # Into an open file: torch would call the archive's folder as the file is called until it is whole.
    with written_whole(target) as temporary, temporary.open("wb") as opened:
        torch.save(slim, opened)


def check_slim_checkpoint(file: Path, trainer: str, configuration: str) -> None:
    """Passes where a file holds what nnU-Net predicts with, of this trainer and configuration, and nothing else.

    Whatever passes, torch loads with `weights_only=True`. Neither torch is needed nor anything run.

    Raises:
        PackageError: It does not.
    """
    content = _content(file)
    if odd := sorted(set(content) ^ {WEIGHTS, TRAINER, INIT_ARGS, MIRRORING}):
        raise PackageError(
            f"{file} is no checkpoint of a package, which holds {WEIGHTS}, {TRAINER}, {INIT_ARGS} and {MIRRORING}: "
            f"{', '.join(map(repr, odd[:5]))} is missing or too much. Have the package made anew, from the folds."
        )
    found, wanted = (content[TRAINER], content[INIT_ARGS]), (trainer, {CONFIGURATION: configuration})
    if found != wanted:
        raise PackageError(
            f"{file} was made by trainer {found[0]!r} with {found[1]!r}, and model.json says {trainer!r} with "
            f"{wanted[1]!r}. Have the package made anew, from the folds."
        )
    axes = content[MIRRORING]
    if axes is not None and not (isinstance(axes, tuple) and all(axis in (0, 1, 2) for axis in axes)):
        raise PackageError(f"{file} is mirrored along axes {axes!r}, where nnU-Net knows 0, 1 and 2.")
    if not all(isinstance(tensor, TensorForm) for tensor in content[WEIGHTS].values()):
        raise PackageError(f"{file} holds more than tensors among its weights. Have the package made anew.")


def _content(file: Path) -> Mapping[str, Any]:
    """Returns the checked content of a checkpoint, without its tensors' values."""
    try:
        return _checked(read_checkpoint_content(file), file)
    except (pickle.UnpicklingError, RuntimeError) as error:
        raise _unreadable(file, error) from error


def _checked(content: Any, file: Path) -> Mapping[str, Any]:
    is_checkpoint = (
        isinstance(content, Mapping)
        and isinstance(content.get(WEIGHTS), Mapping)
        and content[WEIGHTS]
        and isinstance(content.get(TRAINER), str)
        and isinstance(content.get(INIT_ARGS), Mapping)
        and isinstance(content[INIT_ARGS].get(CONFIGURATION), str)
    )
    if not is_checkpoint:
        raise PackageError(
            f"{file} is no checkpoint of nnU-Net v2, which has {WEIGHTS}, {TRAINER} and {INIT_ARGS}.{CONFIGURATION}. "
            "Restore the file, or train the fold again."
        )
    return content  # type: ignore[no-any-return]


def _apart(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the tensors, each with no more bytes than its own; those that are one tensor stay one.

    A tensor may be a small part of a large one, whose other bytes would be written too. nnU-Net's networks have the
    encoder's weights by two names.
    """
    copies: dict[tuple[Any, ...], Any] = {}
    found = {}
    for name, tensor in weights.items():
        same = (tensor.data_ptr(), tensor.dtype, tuple(tensor.shape), tensor.stride())
        found[str(name)] = copies.setdefault(same, tensor.detach().contiguous().clone())
    return found


def _unreadable(file: Path, error: Exception) -> PackageError:
    return PackageError(
        f"{file} cannot be read as the weights of a network: {str(error).splitlines()[0]}. Nothing in it was run. "
        "Restore the file, or train the fold again."
    )
