"""Randomness of a training: seeding it, making it repeatable, and taking it along into a checkpoint.

What resuming reproduces: with `deterministic`, where training and augmentation share one process, the very weights of a
training that was never interrupted (on a CPU; on a GPU as far as its algorithms are deterministic). Otherwise the
augmentation workers run ahead of the training and finish in any order, and only the statistics are the same.
"""

import base64
import os
import random
from collections.abc import Mapping
from typing import Any

from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer


def random_state() -> dict[str, Any]:
    """Returns the state of Python's, numpy's and torch's generators in this process, as JSON."""
    import numpy as np
    import torch

    state: Any = np.random.get_state()
    name, keys, position, has_gauss, cached = state
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
    return {
        "python": random.getstate(),
        "numpy": [name, keys.tolist(), position, has_gauss, cached],
        "torch": _encoded(torch.get_rng_state()),
        "cuda": [_encoded(state) for state in cuda],
    }


def restore_random_state(state: Mapping[str, Any]) -> None:
    """Sets the generators to what `random_state` returned; GPUs only where there are as many as then."""
    import numpy as np
    import torch

    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), position, has_gauss, cached))
    torch.set_rng_state(_decoded(state["torch"]))
    if torch.cuda.is_available() and torch.cuda.device_count() == len(state["cuda"]):
        torch.cuda.set_rng_state_all([_decoded(encoded) for encoded in state["cuda"]])


def restore_before_first_epoch(trainer: NnunetTrainer, state: Mapping[str, Any]) -> None:
    """Restores the state when the training starts, after nnU-Net has drawn its first batches for a trial."""
    start = trainer.on_train_start

    def on_train_start() -> None:
        start()
        restore_random_state(state)

    trainer.on_train_start = on_train_start


def seed_training(seed: int) -> None:
    """Seeds this process, before the trainer is built; see `seed_workers` for the others."""
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def seed_workers(trainer: NnunetTrainer, seed: int) -> None:
    """Seeds the augmentation workers, each by the seed, the epoch that the training goes on from, and its number.

    nnU-Net leaves them unseeded. How their batches interleave is still up to the machine.
    """
    import numpy as np
    from nnunetv2.training.nnUNetTrainer import nnUNetTrainer

    class SeededAugmenter(nnUNetTrainer.NonDetMultiThreadedAugmenter):  # type: ignore[misc] # batchgenerators is untyped
        def __init__(self, *args: Any, num_processes: int, **others: Any) -> None:
            sequence = np.random.SeedSequence([seed, trainer.current_epoch])
            seeds = [int(word) for word in sequence.generate_state(num_processes)]
            super().__init__(*args, **{**others, "num_processes": num_processes, "seeds": seeds})

    nnUNetTrainer.NonDetMultiThreadedAugmenter = SeededAugmenter


def make_deterministic() -> None:
    """Makes one process do everything, in the same order each time, before CUDA is used."""
    import torch

    os.environ.update({"nnUNet_n_proc_DA": "0", "CUBLAS_WORKSPACE_CONFIG": ":4096:8"})
    # Sums are taken in the order of the threads, and how many there are depends on who else trains.
    torch.set_num_threads(1)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    # Some of nnU-Net's operations (interpolation backward on a GPU) have no deterministic form: a warning, no error.
    torch.use_deterministic_algorithms(True, warn_only=True)


def _encoded(state: Any) -> str:
    return base64.b64encode(state.numpy().tobytes()).decode()


def _decoded(text: str) -> Any:
    import torch

    return torch.frombuffer(bytearray(base64.b64decode(text)), dtype=torch.uint8)
