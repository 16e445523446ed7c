"""What nnU-Net's own trainer must have for this package to use it: see `nnunet_trainer`."""

import inspect
from typing import Any

from nnunet_assets.nnunet import nnunet_trainer


def missing_of(trainer: Any) -> list[str]:
    """Returns what a trainer and its parts lack of what is used of them: members, and parameters of their methods."""
    parts = {
        "trainer": (trainer, nnunet_trainer.NnunetTrainer),
        "logger": (trainer.logger, nnunet_trainer.NnunetLogger),
        "plans_manager": (trainer.plans_manager, nnunet_trainer.PlansManager),
        "configuration_manager": (trainer.configuration_manager, nnunet_trainer.ConfigurationManager),
        "label_manager": (trainer.label_manager, nnunet_trainer.LabelManager),
    }
    return [f"{part}.{name}" for part, (real, used) in parts.items() for name in _missing(real, used)]


def _missing(real: Any, used: type) -> list[str]:
    missing = [name for name in used.__annotations__ if not _has(real, name)]
    for name, method in vars(used).items():
        if not inspect.isfunction(method) or name in ("__init__", "_no_init_or_replace_init", "__subclasshook__"):
            continue
        if not _has(real, name):
            missing.append(name)
            continue
        parameters = inspect.signature(getattr(real, name)).parameters
        wanted = [one for one in list(inspect.signature(method).parameters)[1:] if one != "args"]
        missing += [f"{name}({one})" for one in wanted if one not in parameters]
    return missing


def _has(real: Any, name: str) -> bool:
    try:
        inspect.getattr_static(real, name)  # evaluates no property: that of regions fails where there are none
    except AttributeError:
        return False
    return True
