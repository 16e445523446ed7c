"""Learning rates by iteration, against torch's own schedulers that are stepped from the beginning."""

import math
import warnings
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnunet_assets_tests.late_imports import Late

torch = Late("torch")
learning_rates = Late("nnunet_assets.trainers.parts.learning_rates")


def optimizer() -> Any:
    return torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.5)


@settings(max_examples=25, deadline=None)
@given(epochs=st.integers(1, 6), iterations=st.integers(1, 5), start=st.integers(0, 5))
def test_one_cycle_is_torchs_from_wherever_it_is_resumed(epochs: int, iterations: int, start: int) -> None:
    from torch.optim.lr_scheduler import OneCycleLR

    start = min(start, epochs - 1)
    training = SimpleNamespace(
        num_epochs=epochs, num_iterations_per_epoch=iterations, initial_lr=1e-3, max_lr=1e-2, warmup_epochs=0
    )
    n = epochs * iterations
    stepped = optimizer()
    torchs = OneCycleLR(stepped, 1e-2, total_steps=max(n, 2), div_factor=10)
    rates = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(n):
            rates.append((stepped.param_groups[0]["lr"], stepped.param_groups[0]["betas"]))
            torchs.step() if len(rates) < n else None

    ours = optimizer()
    schedule = learning_rates.one_cycle(ours, training)
    found = []
    for epoch in range(start, epochs):
        schedule.step(epoch)
        for _ in range(iterations):
            schedule.begin_iteration()
            found.append((ours.param_groups[0]["lr"], ours.param_groups[0]["betas"]))
            ours.step()

    assert found == rates[start * iterations :]


def test_cosine_rises_and_falls() -> None:
    training = SimpleNamespace(num_epochs=5, num_iterations_per_epoch=2, initial_lr=1e-2, max_lr=None, warmup_epochs=1)
    used = optimizer()
    schedule = learning_rates.cosine(used, training)
    rates = []
    for epoch in range(5):
        schedule.step(epoch)
        for _ in range(2):
            schedule.begin_iteration()
            used.step()
            rates += schedule.get_last_lr()

    assert rates[:3] == pytest.approx([0.5e-2, 1e-2, 1e-2])
    assert rates[6] == pytest.approx(1e-2 * (1 + math.cos(math.pi / 2)) / 2)
    assert 0 < rates[-1] < rates[-2]


def test_more_iterations_than_were_said_stay_at_the_end() -> None:
    training = SimpleNamespace(num_epochs=1, num_iterations_per_epoch=2, initial_lr=1e-3, max_lr=None, warmup_epochs=0)
    used = optimizer()
    schedule = learning_rates.one_cycle(used, training)
    schedule.step(0)
    for _ in range(9):
        schedule.begin_iteration()
        used.step()
    assert schedule.get_last_lr() == pytest.approx([1e-3 / 1e4], rel=1e-3)
