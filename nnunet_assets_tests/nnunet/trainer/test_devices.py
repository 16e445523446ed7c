import pytest

from nnunet_assets.nnunet.trainer.devices import resolve_device
from nnunet_assets.processes.child import ChildFailure
from nnunet_assets.processes.exit_codes import ExitCode


def test_a_device_that_is_not_there_is_an_error_and_nothing_falls_back_to_another() -> None:
    message = r"Device 'mps' was asked for, but torch .* finds only: .*cpu"
    with pytest.raises(ChildFailure, match=message) as caught:
        resolve_device("mps")
    assert caught.value.code == ExitCode.BAD_INPUT
