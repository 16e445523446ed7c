"""A trainer that several processes can train on a CPU, for a phantom on which they do."""

import json
import os
from dataclasses import replace
from pathlib import Path

import psutil

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets_tests.training_builders import DATASET, PhantomProject
from nnunet_assets_tests.warm_python import BESIDE

# Only what nnU-Net hard-wires to CUDA where there are several processes; the rest is its own.
CPU_RANKS = """
from types import SimpleNamespace

import torch
from nnunetv2.run import load_pretrained_weights
from nnunetv2.training.nnUNetTrainer import nnUNetTrainer as module
from torch.nn.parallel import DistributedDataParallel


class nnUNetTrainerCpuRanks(module.nnUNetTrainer):
    ddp_on_cpu = True

    def __init__(self, plans: dict, configuration: str, fold: int, dataset_json: dict,
                 device: torch.device = torch.device("cuda")):
        super().__init__(plans, configuration, fold, dataset_json, device)
        if self.is_ddp:
            self.device, self.grad_scaler = torch.device("cpu"), None

    def initialize(self):
        module.DDP = lambda network, device_ids: DistributedDataParallel(network)
        load_pretrained_weights.dist = SimpleNamespace(is_initialized=lambda: False)
        super().initialize()
"""

TRAINER = "nnUNetTrainerCpuRanks"
RANKS_EXPERIMENT = Experiment(DATASET, "3d_fullres", trainer=TRAINER, variant="ranks")


def with_cpu_ranks(project: PhantomProject, folder: Path, code: str = CPU_RANKS) -> PhantomProject:
    """Returns the project with the trainer, alone in a folder of its own, and one thread for each process."""
    return replace(project, environment={**os.environ, **cpu_ranks_in(folder, code)})


def cpu_ranks_in(folder: Path, code: str = CPU_RANKS) -> dict[str, str]:
    """Writes the trainer into a folder of its own, and returns the environment in which nnU-Net finds it."""
    folder.mkdir()
    (folder / f"{TRAINER}.py").write_text(code)
    one = {"nnUNet_n_proc_DA": "1", "nnUNet_def_n_proc": "1", "OMP_NUM_THREADS": "1"}
    return {"nnUNet_extTrainer": str(folder), BESIDE: "1", **one}


def ranks_below(fold_process: psutil.Process) -> list[psutil.Process]:
    """Returns the processes that train for a fold's process, the first one first."""
    ranks = [
        child for child in fold_process.children() if "nnunet_assets.nnunet.training.rank_process" in child.cmdline()
    ]
    return sorted(ranks, key=lambda rank: int(json.loads(rank.cmdline()[-1])["rank"]["number"]))
