"""Where a fold's training ended beside its scores: the last values of its curves, and the run that has them."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VAL_LOSS = "val_loss"
PSEUDO_DICE_EMA = "pseudo_dice_ema"
"""Series of an epoch, as the journal names them."""


@dataclass(frozen=True)
class TrainingEnd:
    """What the last epoch of a fold came to.

    Attributes:
        run_id: MLflow's; None: nobody tracked it, or that is not known here.
        status: MLflow's word for how the run ended; a fold that is finished on the disk is FINISHED.
        val_loss: nnU-Net's validation loss of the last epoch; None: not known, or undefined.
        pseudo_dice_ema: nnU-Net's moving average of the pseudo Dice (`ema_fg_dice`) at the last epoch; likewise.
    """

    run_id: str | None = None
    status: str = "FINISHED"
    val_loss: float | None = None
    pseudo_dice_ema: float | None = None


def training_end(values: Mapping[str, Any], run_id: str | None, status: str = "FINISHED") -> TrainingEnd:
    """Returns what an epoch's values say; what is undefined in them is None.

    Args:
        values: By series, of the last epoch.
        run_id: As in `TrainingEnd`.
        status: Likewise.
    """
    return TrainingEnd(run_id, status, _defined(values.get(VAL_LOSS)), _defined(values.get(PSEUDO_DICE_EMA)))


def _defined(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None
