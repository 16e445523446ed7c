"""What a training is made of, as nested JSON values: everything that a person may later want to compare runs by.

Read from the initialized trainer itself and not from nnU-Net's defaults, so that a trainer of the user's own shows what
it really does. The keys are the contract: `tracking.store.names.search_tags` reads some of them.
"""

import ast
import inspect
import math
import os
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.training.training_options import TrainingOptions
from nnunet_assets.nnunet.nnunet_trainer import NnunetTrainer
from nnunet_assets.nnunet.trainer.devices import device_name
from nnunet_assets.processes.machine.processor import processor_name

PACKAGES = ("nnunet_assets", "nnunetv2", "torch", "numpy", "dynamic_network_architectures", "batchgeneratorsv2")

MAX_DEPTH = 4
"""How deep an object's parts are followed: a loss of the user's own may hold the trainer, and with it everything."""

MAX_VALUES = 1000
"""Larger arrays are named by their shape."""


def training_parameters(
    trainer: NnunetTrainer, experiment: Experiment, fold: str, *, overrides: Mapping[str, Any], options: TrainingOptions
) -> dict[str, Any]:
    """Returns the parameters of a training; a group that cannot be read says why, under `unknown`.

    Args:
        trainer: nnU-Net's, after `initialize`; its dataloaders need not exist yet.
        experiment: What the training is of.
        fold: `fold_0` ...
        overrides: Trainer attribute to value.
        options: How to train.
    """
    configuration = trainer.configuration_manager.configuration
    groups: Mapping[str, Callable[[], dict[str, Any]]] = {
        "trainer": lambda: _own_settings(trainer),
        "data": lambda: _data(trainer),
        "architecture": lambda: {**configuration["architecture"], **_network(trainer)},
        "optimizer": lambda: {**_optimizer(trainer.optimizer), **_gradient_clipping(trainer)},
        "lr_scheduler": lambda: _described(trainer.lr_scheduler, leave_out=("optimizer",)),
        "loss": lambda: _loss(trainer.loss),
        "augmentation": lambda: _augmentation(trainer),
        "device": lambda: _device(trainer),
    }
    return {
        "experiment": asdict(experiment),
        "fold": fold,
        "overrides": dict(overrides),
        "options": asdict(options),
        "plans": {key: value for key, value in configuration.items() if key != "architecture"},
        **{name: _group(read) for name, read in groups.items()},
        "versions": package_versions(),
    }


def package_versions() -> dict[str, str]:
    """Returns package name to version of what a training's result may depend on."""
    return {name: version(name) for name in PACKAGES}


def _group(read: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    try:
        return read()
    except Exception as error:  # noqa: BLE001 (a trainer of the user's own may be anything, and must train all the same)
        return {"unknown": f"{type(error).__name__}: {error}"}


def _own_settings(trainer: NnunetTrainer) -> dict[str, Any]:
    return {
        name: value
        for name, value in vars(trainer).items()
        # Not the paths: parameters go to a tracking server that may stand elsewhere.
        if isinstance(value, bool | int | float | str) and not name.startswith("_") and os.sep not in str(value)
    }


def _data(trainer: NnunetTrainer) -> dict[str, Any]:
    training, validation = trainer.do_split()
    labels, description = trainer.label_manager, trainer.dataset_json
    return {
        "n_training_cases": len(training),
        "n_validation_cases": len(validation),
        "n_input_channels": trainer.num_input_channels,
        "n_labels": len(labels.foreground_regions if labels.has_regions else labels.foreground_labels),
        "has_regions": labels.has_regions,
        "has_ignore_label": labels.has_ignore_label,
        "batch_size": trainer.batch_size,
        # nnU-Net takes the word of version 1 too.
        "channels": list((description.get("channel_names") or description["modality"]).values()),
        "labels": list(description["labels"]),
        "file_ending": description["file_ending"],
    }


def _network(trainer: NnunetTrainer) -> dict[str, Any]:
    network = _unwrapped(trainer.network)
    weights = list(network.parameters())
    return {
        "class": type(network).__name__,
        "n_parameters": sum(weight.numel() for weight in weights),
        "n_trainable_parameters": sum(weight.numel() for weight in weights if weight.requires_grad),
    }


def _optimizer(optimizer: Any) -> dict[str, Any]:
    groups = [
        {key: _plain(value) for key, value in group.items() if key != "params"} for group in optimizer.param_groups
    ]
    # A trainer with one group, as nnU-Net's own are, needs no number in its names.
    settings = groups[0] if len(groups) == 1 else {f"group_{index}": group for index, group in enumerate(groups)}
    return {"class": type(optimizer).__name__, **settings}


def _gradient_clipping(trainer: NnunetTrainer) -> dict[str, float]:
    """Returns the norm at which gradients are clipped; nothing where the trainer's `train_step` does not say it.

    nnU-Net has it as a number in its code, and nowhere else.
    """
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(type(trainer).train_step)))
    except (OSError, TypeError, SyntaxError, AttributeError):
        return {}
    clips = [
        call.args[1]
        for call in ast.walk(tree)
        if isinstance(call, ast.Call) and ast.unparse(call.func).endswith("clip_grad_norm_") and len(call.args) > 1
    ]
    norms = {clip.value if isinstance(clip, ast.Constant) else None for clip in clips}
    norm = norms.pop() if len(norms) == 1 else None
    return {"gradient_clipping": float(norm)} if isinstance(norm, int | float) else {}


def _loss(loss: Any) -> dict[str, Any]:
    """Returns what is computed on each output; nnU-Net's wrapper of deep supervision becomes the outputs' weights."""
    inner = getattr(loss, "loss", None)
    if inner is None or not hasattr(loss, "weight_factors"):
        return _described(loss)
    return {**_described(inner), "deep_supervision_weights": _plain(loss.weight_factors)}


def _augmentation(trainer: NnunetTrainer) -> dict[str, Any]:
    """Returns each transform with its settings, numbered in their order; a chance is an `apply_probability`."""
    steps = getattr(_training_transforms(trainer), "transforms", [])
    return {f"{index:02}_{_step_name(step)}": _step(step) for index, step in enumerate(steps)}


def _training_transforms(trainer: NnunetTrainer) -> Any:
    """Returns what nnU-Net's `get_dataloaders` applies to training cases, made with the arguments it uses there."""
    rotation, dummy_2d, _, mirror_axes = trainer.configure_rotation_dummyDA_mirroring_and_inital_patch_size()
    configuration, labels = trainer.configuration_manager, trainer.label_manager
    return trainer.get_training_transforms(
        configuration.patch_size,
        rotation,
        trainer._get_deep_supervision_scales(),
        mirror_axes,
        dummy_2d,
        use_mask_for_norm=configuration.use_mask_for_norm,
        is_cascaded=trainer.is_cascaded,
        foreground_labels=labels.foreground_labels,
        regions=labels.foreground_regions if labels.has_regions else None,
        ignore_label=labels.ignore_label,
    )


def _step_name(step: Any) -> str:
    return type(getattr(step, "transform", step)).__name__


def _step(step: Any) -> dict[str, Any]:
    inner = getattr(step, "transform", None)
    if inner is None:
        return _settings(step)
    return {"apply_probability": step.apply_probability, **_settings(inner)}


def _device(trainer: NnunetTrainer) -> dict[str, Any]:
    import torch

    device = trainer.device
    found = {
        "kind": device.type,
        "name": device_name(device),
        "precision": "float32" if trainer.grad_scaler is None else "float16 mixed",
        "compiled": trainer.network is not _unwrapped(trainer.network),
        "torch_threads": torch.get_num_threads(),
    }
    if device.type != "cuda":
        return {**found, "processor": processor_name()} if device.type == "cpu" else found
    return {
        **found,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "tf32": torch.backends.cudnn.allow_tf32,
        "memory_bytes": torch.cuda.get_device_properties(device).total_memory,
    }


def _unwrapped(module: Any) -> Any:
    """Returns the module that `torch.compile` (`_orig_mod`) and distributed training (`module`) wrap."""
    for name in ("module", "_orig_mod"):
        module = getattr(module, name, module)
    return module


def _described(value: Any, leave_out: tuple[str, ...] = (), depth: int = 0) -> dict[str, Any]:
    value = _unwrapped(value)
    return {"class": type(value).__name__, **_settings(value, leave_out, depth)}


def _settings(value: Any, leave_out: tuple[str, ...] = (), depth: int = 0) -> dict[str, Any]:
    """Returns an object's public attributes, and a torch module's parts and constants, which torch keeps apart."""
    own = vars(value)
    attributes = {**own, **own.get("_modules", {}), **own.get("_buffers", {})}
    return {
        name: _plain(item, depth + 1)
        for name, item in attributes.items()
        if not name.startswith("_") and name not in ("training", *leave_out)
    }


def _plain(value: Any, depth: int = 0) -> Any:
    """Returns a JSON value: arrays as lists, functions and classes by their name, other objects by their parts."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if hasattr(value, "tolist"):  # numpy's and torch's
        return value.tolist() if math.prod(value.shape) <= MAX_VALUES else f"array of shape {tuple(value.shape)}"
    if isinstance(value, type) or (callable(value) and hasattr(value, "__qualname__")):
        return value.__qualname__
    return _parts(value, depth) if depth < MAX_DEPTH else type(value).__name__


def _parts(value: Any, depth: int) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(item, depth + 1) for key, item in value.items()}
    if isinstance(value, list | tuple | set | range):
        return [_plain(item, depth + 1) for item in value]
    return _described(value, depth=depth) if hasattr(value, "__dict__") else type(value).__name__
