"""Where the package's errors become what Dagster shows: a failure with a full sentence and no traceback to decode."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import NnunetAssetsError, StorageError, storage_errors_in_words
from nnunet_assets.processes.supervisor import FoldFailed


@contextmanager
def shown_as_failure() -> Iterator[None]:
    """Turns an error of this package into a `dagster.Failure`, whose sentence the web UI shows once.

    The class of a fold's failure, its exit code and the end of its output come along; Dagster does not retry what must
    fail again, or was tried again by the fold's own supervisor.
    """
    try:
        with storage_errors_in_words():
            yield
    except FoldFailed as error:
        metadata: dict[str, dg.MetadataValue] = {
            # Dagster cannot write an event that holds an enumeration's member, and the run would end with that instead.
            "failure": dg.MetadataValue.text(error.failure.value),
            "exit_code": dg.MetadataValue.int(int(error.code)),
        }
        if before := _before_the_sentence(error):
            metadata["end_of_output"] = dg.MetadataValue.text(before)
        # Of where it comes from Dagster would show the same sentence again, before traces of this package's insides.
        raise dg.Failure(redacted(str(error)), metadata=metadata, allow_retries=not error.is_permanent) from None
    except NnunetAssetsError as error:
        # A disk may have room again, or a network drive be back.
        raise dg.Failure(redacted(str(error)), allow_retries=isinstance(error, StorageError)) from None


def _before_the_sentence(error: FoldFailed) -> str:
    """Returns what the fold's process printed last, but for the reason that it printed with its last breath."""
    lines = error.log_tail.rstrip().splitlines()
    while lines and lines[-1] in str(error):
        lines.pop()
    return "\n".join(lines)
