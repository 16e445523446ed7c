"""Where the package's errors become what Dagster shows: a failure with a full sentence and no traceback to decode."""

from collections.abc import Iterator
from contextlib import contextmanager

import dagster as dg

from nnunet_assets.errors import NnunetAssetsError


@contextmanager
def shown_as_failure() -> Iterator[None]:
    """Turns an error of this package into a `dagster.Failure`.

    A fold's exit code and the end of its output come along; Dagster does not retry what must fail again.
    """
    try:
        yield
    except NnunetAssetsError as error:
        code, tail = getattr(error, "code", None), getattr(error, "log_tail", "")
        metadata: dict[str, dg.MetadataValue] = {}
        if code is not None:
            metadata["exit_code"] = dg.MetadataValue.int(int(code))
        if tail:
            metadata["end_of_output"] = dg.MetadataValue.text(tail)
        is_permanent = getattr(error, "is_permanent", True)
        raise dg.Failure(str(error), metadata=metadata, allow_retries=not is_permanent) from error
