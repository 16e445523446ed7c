"""The job that an earlier supervisor of a fold left: what is followed, what is refused, what is over.

Asked before anything of the fold is moved, trained or thrown away, whatever engine is declared now.
"""

import time
from collections.abc import Mapping
from dataclasses import replace

from nnunet_assets.core.files.kernel_lock import is_owned
from nnunet_assets.core.files.layout import FoldPlace
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.progress import Progress
from nnunet_assets.engines.engine import Engine
from nnunet_assets.engines.job_end import close_job
from nnunet_assets.engines.job_files import (
    ENDED_FILE,
    Ended,
    JobRecord,
    job_folder,
    open_record,
    read_from_job,
    request_digest,
)
from nnunet_assets.engines.job_queue import JobQueue
from nnunet_assets.engines.named import queue_named
from nnunet_assets.engines.patience import ask_until_answered, pause
from nnunet_assets.processes.exit_codes import ExitCode
from nnunet_assets.processes.supervisor import FoldFailed

ENDING_SECONDS = 30.0
"""How long a job that is over may take to let the fold go: its process may be saving, or hear of it a little later."""
LOST_SECONDS = 600.0
"""How long a fold that is asked for as before waits for a job that goes on unknown to its cluster."""
SILENT_SECONDS = 5.0
"""Between two questions to a queue that does not answer."""
TOLD_SECONDS = 3.0
"""A shorter wait is not worth a word."""
POLL_SECONDS = 0.5


def is_to_be_followed(
    place: FoldPlace,
    request: FoldRequest,
    engine: Engine,
    *,
    retrain: bool,
    variables: Mapping[str, str],
    progress: Progress,
) -> bool:
    """Says whether a job trains the fold as it is asked for now; the caller holds the fold's lease.

    A job that is over, and that nobody will ask how it ended, is noted as such.

    Args:
        place: Of the fold.
        request: What is asked now.
        engine: Where it is to run.
        retrain: Whether it is to be trained anew.
        variables: The environment, by which the cluster's commands are found.
        progress: Is warned where the queue does not answer, and polled meanwhile.

    Raises:
        FoldFailed: A job trains it otherwise than is asked now, or a job that is not known.
        NnunetAssetsError: As `open_record` and `queue_named`.
    """
    record = open_record(place.folder)
    if record is None:
        _refuse_unknown(place, ENDING_SECONDS, progress)
        return False
    is_same = _is_same(record, request) and record.engine == engine.name and not retrain
    queue = queue_named(record.engine, variables)
    job_id = _living(record, place, queue, progress)
    if job_id is None:
        _refuse_unknown(place, LOST_SECONDS if is_same else ENDING_SECONDS, progress)
        # How it failed, who goes on with it asks.
        told = read_from_job(Ended, job_folder(place.own, record.job) / ENDED_FILE)
        if not is_same or (told and told.problem is None):
            close_job(queue, record, place.own, "It ended while nobody supervised it.")
        return False
    if is_same:
        return True
    what = "and is asked for on another engine now" if record.engine != engine.name else "with other data or settings"
    what = "and is to be trained anew" if retrain else what
    by = f" ({queue.cancel_command} {job_id})" if queue.cancel_command else ""
    raise FoldFailed(
        f"{place.title} is being trained by {queue.title}'s job {job_id}, {what}. Nothing is moved or trained beside "
        f"it: ask for the same to follow it, wait for its end, or end it{by}.",
        ExitCode.OWNED,
        "",
    )


def _refuse_unknown(place: FoldPlace, seconds: float, progress: Progress) -> None:
    """Waits until no job holds the fold that nobody knows of, as one that ends just now; refuses one that stays."""
    began, is_told = time.monotonic(), False
    while is_owned(place.job_lock):
        waited = time.monotonic() - began
        if waited > seconds:
            raise FoldFailed(
                f"{place.title} is being trained by a job that its cluster, or the fold's folder, does not name: "
                f"{place.job_lock} is held. Find out where it runs, as on a machine that its cluster lost, and end it "
                "there.",
                ExitCode.OWNED,
                "",
            )
        if waited > TOLD_SECONDS and not is_told:
            progress.warn(f"A job of before still holds {place.title}. It is waited for, up to {seconds:.0f} s.")
            is_told = True
        pause(progress, POLL_SECONDS, POLL_SECONDS)


def _is_same(record: JobRecord, request: FoldRequest) -> bool:
    # A fold that is finished, and lacks something of its validation, is asked for that alone.
    again = replace(request, options=replace(request.options, validation_only=True))
    return record.request in (request_digest(request), request_digest(again))


def _living(record: JobRecord, place: FoldPlace, queue: JobQueue, progress: Progress) -> str | None:
    """Returns the id of a job that goes on; None: it is over, or there never was one."""
    if read_from_job(Ended, job_folder(place.own, record.job) / ENDED_FILE):
        return None

    def living() -> str | None:
        job_id = record.job_id or queue.find(record.name)
        return None if job_id is None or queue.look(job_id).is_over else job_id

    silence = f"A job may train {place.title}, and {queue.title} does not answer. It is asked until it does."
    return ask_until_answered(living, progress, silence, SILENT_SECONDS)
