"""Who hears what a fold's process says: Dagster's log where Pipes started it, else its output. No deaf ear ends it."""

from collections.abc import Callable
from contextlib import ExitStack, suppress


def reporter(stack: ExitStack) -> Callable[[str], None]:
    """Returns what tells the run a sentence.

    Pipes writes into a temporary folder, and a full disk there is no reason to end a training: what does not reach
    Dagster's log goes to the output, with the count of it at the end.

    Args:
        stack: Its end closes what was opened.
    """
    from dagster_pipes import PipesEnvVarParamsLoader, open_dagster_pipes

    def show(sentence: str) -> None:
        print(sentence, flush=True)

    if not PipesEnvVarParamsLoader().is_dagster_pipes_process():
        return show
    try:
        pipes = open_dagster_pipes()
    except OSError as error:
        show(f"Nothing of this reaches Dagster's log, since its message file cannot be used: {error}.")
        return show
    n_lost = 0

    def say(sentence: str) -> None:
        nonlocal n_lost
        try:
            pipes.log.info(sentence)
        except OSError:
            n_lost += 1
            show(sentence)

    def close(kind: type[BaseException] | None, *_: object) -> None:
        if n_lost:
            say(f"{n_lost} sentences did not reach Dagster's log; they are in the fold's output.log.")
        if kind is None:  # else the supervisor may start this process again in the same session
            with suppress(OSError):
                pipes.close()

    stack.push(close)
    return say
