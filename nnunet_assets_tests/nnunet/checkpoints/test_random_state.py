import json
import random
from typing import Any

import numpy as np

from nnunet_assets.nnunet.checkpoints.random_state import random_state, restore_before_first_epoch, restore_random_state
from nnunet_assets_tests.late_imports import Late

torch = Late("torch")


def draws() -> Any:
    np.random.standard_normal()  # leaves a second value in numpy's cache
    return random.random(), np.random.standard_normal(), np.random.rand(), torch.rand(1).item()


def test_every_generator_goes_on_where_its_state_was_taken() -> None:
    state = random_state()
    first = draws()
    assert draws() != first
    restore_random_state(state)
    assert draws() == first


def test_a_state_survives_as_json() -> None:
    state = json.loads(json.dumps(random_state()))
    first = draws()
    restore_random_state(state)
    assert draws() == first


def test_what_nnunet_draws_on_trial_before_the_first_epoch_does_not_count() -> None:
    class Trainer:
        def on_train_start(self) -> None:
            draws()

    trainer: Any = Trainer()
    state = random_state()
    first = draws()
    restore_before_first_epoch(trainer, state)
    trainer.on_train_start()
    assert draws() == first
