"""Who hears what a fold's process says: Dagster's log where Pipes started it, else its output. No deaf ear ends it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from nnunet_assets.core.progress import Progress, Silent
from nnunet_assets.core.training.trained_epoch import TrainedEpoch


class Told(Silent):
    """Hands every sentence to a function, and an epoch as one; says no counts."""

    def __init__(self, hear: Callable[[str], object]) -> None:
        self._hear = hear

    def say(self, sentence: str) -> None:
        """Hands it on."""
        self._hear(sentence)

    def warn(self, sentence: str) -> None:
        """Hands it on."""
        self._hear(sentence)

    def epoch(self, trained: TrainedEpoch) -> None:
        """Hands its text on."""
        self._hear(str(trained))


@contextmanager
def reporter() -> Iterator[Progress]:
    """Yields what tells the run a sentence.

    Pipes writes into a temporary folder, and a full disk there is no reason to end a training: what does not reach
    Dagster's log goes to the output, with the count of it at the end.
    """
    from dagster_pipes import PipesEnvVarParamsLoader, open_dagster_pipes

    if not PipesEnvVarParamsLoader().is_dagster_pipes_process():
        yield Told(_show)
        return
    try:
        pipes = open_dagster_pipes()
    except OSError as error:
        _show(f"Nothing of this reaches Dagster's log, since its message file cannot be used: {error}.")
        yield Told(_show)
        return
    n_lost = 0

    def say(sentence: str) -> None:
        nonlocal n_lost
        try:
            pipes.log.info(sentence)
        except OSError:
            n_lost += 1
            _show(sentence)

    try:
        yield Told(say)
    finally:
        if n_lost:
            say(f"{n_lost} sentences did not reach Dagster's log; they are in the fold's output.log.")
    # After a failure the supervisor may start this process again in the same session.
    with suppress(OSError):
        pipes.close()


def _show(sentence: str) -> None:
    print(sentence, flush=True)


PRINTED: Progress = Told(_show)
"""For a process whose sentences nobody passes on."""
