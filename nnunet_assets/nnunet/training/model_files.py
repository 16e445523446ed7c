"""The files beside the folds that nnU-Net writes anew at each fold's start: plans, dataset.json, fingerprint.

A fold that ends, a prediction or a summary may read them at that moment, and each of the processes of a fold on several
GPUs writes them: here they are always whole, and stay as they are where they say the same. A fold needs no copy of its
own: each checkpoint holds the plans and the dataset.json that it was trained with.
"""

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from nnunet_assets.core.files.atomic_files import write_atomically


def write_model_files_whole() -> None:
    """Makes nnU-Net's trainer write its small files beside their place and rename them there.

    Bound in the fold's own process, where nobody else uses nnU-Net. A trainer class that brings its own way keeps it.
    """
    from nnunetv2.training.nnUNetTrainer import nnUNetTrainer

    nnUNetTrainer.save_json = _whole(nnUNetTrainer.save_json)
    nnUNetTrainer.shutil = SimpleNamespace(copyfile=_whole(shutil.copyfile))


def _whole(write: Callable[..., Any]) -> Callable[..., None]:
    def write_whole(content: Any, place: str, *args: Any, **options: Any) -> None:
        path = Path(place)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
        try:
            write(content, str(temporary), *args, **options)
            new = temporary.read_bytes()
        finally:
            temporary.unlink(missing_ok=True)
        if not path.is_file() or path.read_bytes() != new:
            write_atomically(path, new)

    return write_whole
