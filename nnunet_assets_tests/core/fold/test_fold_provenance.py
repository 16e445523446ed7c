from typing import Any

import pytest

from nnunet_assets.core.fold.commit import UNKNOWN, FoldInputs
from nnunet_assets.core.fold.fold_provenance import FoldProvenance
from nnunet_assets.core.summary.summary_rules import check_inputs
from nnunet_assets.errors import SummaryError

WHOLE = {"initial_lr": "0.01", "batch_size": "4", "oversample_foreground_percent": "0.33"}


def adopted(*, plans: str = "plans", is_adopted: bool = True, **settings: str) -> FoldProvenance:
    known = {**WHOLE, **settings}
    inputs = FoldInputs(UNKNOWN, plans, UNKNOWN, str(sorted(known.items())))
    return FoldProvenance(inputs, UNKNOWN, known, is_adopted=is_adopted)


def refusal(*odd: FoldProvenance, of: tuple[FoldProvenance, ...] = (adopted(), adopted())) -> str:
    with pytest.raises(SummaryError) as caught:
        check_inputs("the model", {f"fold_{index}": provenance for index, provenance in enumerate([*odd, *of])})
    return str(caught.value)


@pytest.mark.parametrize("share", [{"batch_size": "2"}, {"batch_size": "2", "oversample_foreground_percent": "0.0"}])
def test_folds_whose_gpus_share_was_taken_for_the_whole_are_to_be_adopted_again(share: dict[str, Any]) -> None:
    message = refusal(adopted(**share))
    assert "fold_0 and fold_1, fold_2 differ in training settings" in message
    assert "adopt them again (`nnunet-assets adopt`). Where they differ still: train fold_0 again" in message
    assert "adopt them again" in refusal(adopted(**share), of=(adopted(),))


@pytest.mark.parametrize(
    ("odd", "of"),
    [
        (adopted(batch_size="2", initial_lr="0.1"), adopted()),
        (adopted(batch_size="2", plans="other plans"), adopted()),
        (adopted(batch_size="2"), adopted(is_adopted=False)),
    ],
)
def test_folds_that_differ_in_more_or_were_trained_here_are_not(odd: FoldProvenance, of: FoldProvenance) -> None:
    assert "adopt" not in refusal(odd, of=(of, of))
