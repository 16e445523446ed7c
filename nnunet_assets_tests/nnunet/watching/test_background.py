"""Work that a thread does in order, and what becomes of it where it fails."""

import threading

from nnunet_assets.nnunet.watching.background import Background


def test_work_is_done_in_order_while_who_gave_it_goes_on() -> None:
    background, gate = Background(), threading.Event()
    done: list[int] = []
    background.submit(gate.wait, 10)
    for number in range(50):
        background.submit(done.append, number)
    assert done == []
    gate.set()
    background.wait()
    assert done == list(range(50))
    assert background.close() == 0


def test_what_fails_is_counted_and_stops_nothing() -> None:
    background = Background()
    done: list[int] = []
    for number in range(4):
        background.submit([1, 2].__getitem__, number)
        background.submit(done.append, number)
    assert background.close() == 2
    assert done == [0, 1, 2, 3]
