"""A fold that a cluster's job trains already, as whoever is asked for the fold meets it."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from nnunet_assets.core.files.layout import FoldPlace, Roots
from nnunet_assets.core.fold.fold_request import FoldRequest
from nnunet_assets.core.fold.validation_again import settle_again
from nnunet_assets.core.progress import LOGGED, Progress
from nnunet_assets.engines.engine import Engine
from nnunet_assets.engines.job_files import open_record
from nnunet_assets.engines.left_job import is_to_be_followed
from nnunet_assets.nnunet.folds.fold_attempt import is_begun


def refuse_other_job(
    request: FoldRequest,
    roots: Roots,
    engine: Engine,
    *,
    environment: Mapping[str, str],
    retrain: bool,
    progress: Progress = LOGGED,
) -> bool:
    """Refuses a fold that a cluster's job trains otherwise than is asked now; says whether a job is to be followed.

    The caller holds the fold's lease. Who tracks the fold asks before that: a fold that is refused is none of its own.

    Args:
        request: As for `run_fold`.
        roots: As for `run_fold`.
        engine: As for `run_fold`.
        environment: As for `run_fold`.
        retrain: As for `run_fold`.
        progress: As for `run_fold`.

    Raises:
        NnunetAssetsError: As `is_to_be_followed`.
    """
    place = request.experiment.place_of(roots, request.fold)
    anew = retrain and not is_begun(place, request)
    return is_to_be_followed(place, request, engine, retrain=anew, variables=environment, progress=progress)


@contextmanager
def settled(place: FoldPlace, *, is_followed: bool) -> Iterator[None]:
    """Leaves no new validation half made, before the block and after it; what a job is making now is that job's."""
    if not is_followed:
        settle_again(place.folder)
    try:
        yield
    finally:
        if open_record(place.folder) is None:
            settle_again(place.folder)
