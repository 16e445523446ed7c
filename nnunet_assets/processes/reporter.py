"""Who hears what a fold's process says: Dagster's log where Pipes started it, else its output. No deaf ear ends it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from nnunet_assets.core.progress import Progress, Silent
from nnunet_assets.core.text.numbers import fixed


class Told(Silent):
    """Hands every sentence to a function, and says no counts."""

    def __init__(self, hear: Callable[[str], object]) -> None:
        self._hear = hear

    def say(self, sentence: str) -> None:
        """Hands it on."""
        self._hear(sentence)

    def warn(self, sentence: str) -> None:
        """Hands it on."""
        self._hear(sentence)


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


def epoch_line(epoch: int, n_epochs: int | None, values: Mapping[str, float | None]) -> str:
    """Returns what a person follows of an epoch: `Epoch 2 (3 of 1000): train loss 0.1234, ..., about 13:05 left`.

    Args:
        epoch: From 0, as in nnU-Net's own log, in the journal and in MLflow.
        n_epochs: Of the whole training; None: not known.
        values: Series name to value; what is undefined, or was not logged, is left out.
    """
    named = {"train loss": "train_loss", "val loss": "val_loss", "pseudo Dice": "pseudo_dice_mean"}
    shown = [f"{name} {fixed(value, 4)}" for name, key in named.items() if (value := values.get(key)) is not None]
    if (seconds := values.get("epoch_seconds")) is not None:
        shown.append(f"{seconds:.1f} s")
        shown += [f"about {duration(seconds * (n_epochs - epoch - 1))} left"] if n_epochs else []
    return f"Epoch {epoch}{f' ({epoch + 1} of {n_epochs})' if n_epochs else ''}: {', '.join(shown)}"


def duration(seconds: float) -> str:
    """Returns hours, minutes and seconds: `13:05:09`, or `5:09` below an hour."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
