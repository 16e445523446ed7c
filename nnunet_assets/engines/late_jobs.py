"""Jobs of a fold that a queue took when nobody waited for them any more: held for ever, unless somebody ends them."""

from contextlib import suppress

from nnunet_assets.engines.job_files import JobRecord
from nnunet_assets.engines.job_queue import JobQueue, QueueSilentError
from nnunet_assets.errors import ConfigError


def end_late_ones(queue: JobQueue, record: JobRecord) -> None:
    """Ends the jobs of the record's name that are not the record's.

    Asked for when the job has its id, and once more at its end, since the queue may take one late. A queue that does
    not answer is let be: what stays is held, and costs nobody anything.
    """
    if record.job_id is not None:
        with suppress(QueueSilentError, ConfigError):
            queue.cancel_others(record.name, record.job_id)
