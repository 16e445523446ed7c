"""Whether two checkpoints are the same network: nnU-Net's own and the slim one of a package."""

import pickle
from pathlib import Path
from typing import Any

from nnunet_assets.errors import PackageError
from nnunet_assets.nnunet.checkpoints.pretrained import load_without_code
from nnunet_assets.nnunet.packages.slim_checkpoint import WEIGHTS


def have_same_weights(one: Path, other: Path) -> bool:
    """Says whether every weight of two checkpoints is equal, bit for bit; neither runs anything that it carries.

    Raises:
        PackageError: One of them cannot be read as weights.
    """
    import torch

    mine, theirs = _weights(one), _weights(other)
    if mine.keys() != theirs.keys():
        return False
    # By their bytes: NaN is itself, for it is the same file that is asked for, not the same function.
    return all(
        (tensor.shape, tensor.dtype) == (theirs[name].shape, theirs[name].dtype)
        and torch.equal(_bytes(tensor), _bytes(theirs[name]))
        for name, tensor in mine.items()
    )


def _bytes(tensor: Any) -> Any:
    import torch

    return tensor.contiguous().view(-1).view(torch.uint8)


def _weights(file: Path) -> dict[str, Any]:
    try:
        content = load_without_code(file)
        return dict(content[WEIGHTS])
    except (pickle.UnpicklingError, RuntimeError, LookupError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise PackageError(f"{file} cannot be read as the weights of a network: {reason}") from error
