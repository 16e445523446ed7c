"""What is watched where nobody asks for anything, and what of it needs a look at each iteration."""

from nnunet_assets.core.training.watch import Watch


def test_nothing_is_measured_unasked() -> None:
    assert Watch() == Watch(False, False, None, 0, 10, None, None)
    assert not Watch().steps
    assert not Watch(histograms_every=1, panels=2).steps


def test_gradients_and_batches_are_measured_in_each_iteration() -> None:
    assert Watch(gradients=True).steps
    assert Watch(batches=True).steps
