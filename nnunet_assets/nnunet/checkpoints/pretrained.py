"""Weights from elsewhere: read without running the code that a checkpoint may carry, compared, and only then used."""

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nnunet_assets.core.files.regular_file import open_regular
from nnunet_assets.errors import first_offenders
from nnunet_assets.nnunet.checkpoints.checkpoint_limits import refuse_oversized
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode

NOT_TRANSFERRED = ".seg_layers."
"""nnU-Net leaves the layers that make the segmentation as they are: their labels may differ."""


def load_pretrained_weights(trainer: NnunetTrainer, file: Path) -> None:
    """Starts the trainer's network from the weights of a checkpoint, as `nnUNetv2_train -pretrained_weights` does.

    Raises:
        ChildFailure: The file is not there, cannot be read, would run code, or belongs to another architecture.
    """
    import torch
    from nnunetv2.run.load_pretrained_weights import load_pretrained_weights as load

    weights = read_weights(file)
    if not trainer.was_initialized:
        trainer.initialize()
    module = trainer.network.module if trainer.is_ddp else trainer.network
    wanted = getattr(module, "_orig_mod", module).state_dict()
    _check_fit(wanted, weights, file)
    # nnU-Net's own function loads any pickle; it is given a file with nothing but the weights.
    clean = Path(trainer.output_folder) / f".pretrained_{trainer.local_rank}.pth.part"
    try:
        torch.save({"network_weights": _copies(wanted, weights)}, clean)
        load(trainer.network, str(clean))
    finally:
        clean.unlink(missing_ok=True)


def read_weights(file: Path) -> Mapping[str, Any]:
    """Returns parameter name to tensor, on the CPU, of a checkpoint of nnU-Net.

    Raises:
        ChildFailure: As for `load_pretrained_weights`.
    """
    try:
        checkpoint = load_without_code(file)
    except FileNotFoundError as error:
        raise _refused(f"The pretrained weights {file} are not there. Correct `pretrained_weights`.") from error
    except pickle.UnpicklingError as error:
        raise _refused(
            f"The pretrained weights {file} hold more than weights, and loading them could run code that they carry. "
            "If you trust where they come from, write the weights alone to a new file and name that one: "
            f"python -c \"import torch; c = torch.load('{file}', map_location='cpu', weights_only=False); "
            "torch.save({'network_weights': c['network_weights']}, 'weights.pth')\"."
            f" ({str(error).splitlines()[0]})"
        ) from error
    except (RuntimeError, OSError) as error:
        raise _refused(f"The pretrained weights {file} are damaged, or no checkpoint: {error}.") from error
    weights = checkpoint.get("network_weights") if isinstance(checkpoint, dict) else None
    if not isinstance(weights, dict) or not all(map(_is_tensor, weights.values())):
        raise _refused(
            f"{file} is no checkpoint of nnU-Net: it has no tensors as 'network_weights'. Name a "
            "checkpoint_final.pth or checkpoint_best.pth."
        )
    return weights


def load_without_code(file: Path) -> Any:
    """Returns what a checkpoint of nnU-Net holds, on the CPU; the tensors are read from the disk when they are used.

    Raises:
        pickle.UnpicklingError: The file holds what could run code.
        RuntimeError: It is damaged, no checkpoint, or takes more memory than its size justifies.
        OSError: It is not there, or cannot be read.
    """
    _refuse_other_files(file)
    refuse_oversized(file)
    import numpy as np
    import torch

    # What nnU-Net's own checkpoints hold beside tensors: numbers of numpy's, whose module had another name before 2.0.
    scalar = np.float64(0).__reduce__()[0]
    numbers = [type(np.dtype(name)) for name in ("float64", "float32", "int64", "int32", "bool")]
    old_name = "numpy.core.multiarray.scalar"
    try:
        with torch.serialization.safe_globals([scalar, (scalar, old_name), np.dtype, *numbers]):
            return torch.load(file, map_location="cpu", weights_only=True, mmap=_is_zip(file))
    except pickle.UnpicklingError as error:
        if _is_zip(file) or "GLOBAL" in str(error):
            raise
        raise RuntimeError("it does not hold what torch writes") from error
    except OSError:
        raise
    except Exception as error:
        # Bytes that only look like a pickle make it raise nearly anything.
        raise RuntimeError(f"{type(error).__name__}: {str(error).partition(chr(10))[0]}") from error


def _refuse_other_files(file: Path) -> None:
    """Says what a file is by its first bytes, where that is neither of the forms that torch writes."""
    with open_regular(file) as opened:
        start = opened.read(100)
    if start.startswith((b"PK\x03\x04", b"\x80")):
        return
    if start.startswith(b"version https://git-lfs"):
        raise RuntimeError("it is a Git LFS pointer, not the file itself; run `git lfs pull`")
    if start.lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise RuntimeError("it is a web page, most often the error of a download; download it again")
    raise RuntimeError(f"it begins with {start[:8]!r}" if start else "it is empty")


def _is_zip(file: Path) -> bool:
    """Says whether torch can map the file, which it cannot of the form that it wrote before 1.6."""
    import zipfile

    return zipfile.is_zipfile(file)


def _is_tensor(value: Any) -> bool:
    import torch

    return isinstance(value, torch.Tensor)


def _check_fit(wanted: Mapping[str, Any], weights: Mapping[str, Any], file: Path) -> None:
    differences = []
    for name, tensor in wanted.items():
        if NOT_TRANSFERRED in name:
            continue
        if name not in weights:
            differences.append(f"{name} is missing in the file")
        elif weights[name].shape != tensor.shape:
            differences.append(f"{name} is {tuple(weights[name].shape)} there and {tuple(tensor.shape)} here")
    if differences:
        raise _refused(
            f"The pretrained weights {file} belong to another architecture: {first_offenders(differences)}. Pretrain "
            "with the same plans and configuration (nnUNetv2_move_plans_between_datasets)."
        )


def _copies(wanted: Mapping[str, Any], weights: Mapping[str, Any]) -> dict[str, Any]:
    """Returns what is transferred, each tensor apart: in the file it may be a small part of a large one."""
    return {name: weights[name].clone() for name in wanted if name in weights and NOT_TRANSFERRED not in name}


def _refused(sentence: str) -> ChildFailure:
    return ChildFailure(ExitCode.BAD_INPUT, sentence)
