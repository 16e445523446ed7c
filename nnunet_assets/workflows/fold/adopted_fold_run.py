"""The MLflow run of a fold that was adopted, made of what its files prove; and that of one validated again since."""

import os
from dataclasses import replace
from functools import partial
from pathlib import Path

from nnunet_assets.core.files.atomic_files import write_atomically
from nnunet_assets.core.files.json_file import dump_json
from nnunet_assets.core.files.layout import Experiment, FoldPlace, Roots
from nnunet_assets.core.fold.commit import UNKNOWN, FinishedFold
from nnunet_assets.core.fold.journal import Record, journal_path, read_records
from nnunet_assets.core.progress import LOGGED
from nnunet_assets.core.splits.splits_files import read_splits
from nnunet_assets.core.summary.cv_groups import group_name
from nnunet_assets.core.summary.scored_summary import summarize
from nnunet_assets.core.text.redaction import redacted
from nnunet_assets.errors import FoldError
from nnunet_assets.nnunet.adoption.adoption import Adopted
from nnunet_assets.nnunet.results.results import result_of, scores_of
from nnunet_assets.nnunet.results.results_folder import experiment_of
from nnunet_assets.reports.figures.curves import learning_curve_png
from nnunet_assets.reports.tables.case_scores import cases_to_csv
from nnunet_assets.tracking.fold.fold_run import Ending, FoldRun, attempt_of, contents_path, ending_metrics
from nnunet_assets.tracking.fold.fold_tracker import TrackingReport, send_waiting
from nnunet_assets.tracking.runs.run_names import fold_run_name
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.names import (
    ADOPTED,
    EXPERIMENT,
    HOST,
    SEVERAL_GPUS,
    VARIANT,
    experiment_tags,
    fold_tags,
)
from nnunet_assets.workflows.fold.fold_uploads import contents_of, files_of, history


def back_fill(destination: Destination, adopted: Adopted) -> TrackingReport:
    """Sends the curves, scores and files of an adopted fold to MLflow, at the times that its training had.

    What is there already is not sent again. The run of a fold that was adopted before, or that a tracked trainer made,
    goes on, and gets the scores and files that the fold has now.
    """
    prepare(destination, adopted)
    return send_waiting(destination, adopted.folder)


def prepare_again(destination: Destination, roots: Roots, fold_folder: Path) -> None:
    """Makes the files for MLflow anew of a fold that was validated again since they were made, tracked or not."""
    known, finished = FoldRun.load(fold_folder), FinishedFold.read(fold_folder)
    if known is None or finished is None:
        return
    manifest = finished.manifest
    experiment = experiment_of(fold_folder.parent) or Experiment(**manifest.details["experiment"])
    if manifest.is_adopted:
        prepare(destination, Adopted(experiment, finished, is_new=False))
    elif known.tags.get(EXPERIMENT) != group_name(experiment):
        _of_copy(destination, known, experiment, manifest.fold).save(fold_folder)
    elif known.has_scores_to_tell(finished.scores, list(read_records(journal_path(fold_folder)))):
        place = FoldPlace(experiment, manifest.fold, fold_folder)
        splits = partial(read_splits, roots.preprocessed / experiment.dataset)
        made = contents_of(place, partial(scores_of, experiment, finished), splits, LOGGED)
        for name, content in made.items():
            write_atomically(contents_path(fold_folder, name), content)


def prepare(destination: Destination, adopted: Adopted) -> None:
    """Notes on the disk what is to be sent of an adopted fold, unless that was done for the scores that it has now."""
    folder = adopted.folder
    records = list(read_records(journal_path(folder)))
    if not records:
        raise FoldError(f"{journal_path(folder)} is damaged, or not there. Delete it, and adopt the fold again.")
    known = FoldRun.load(folder)
    is_of_another = known is not None and known.tags.get(EXPERIMENT) != group_name(adopted.experiment)
    if known is None or known.attempt != attempt_of(records[0]) or is_of_another:
        _run(destination, adopted, records).save(folder)
    elif _is_of_other_scores(known, adopted, records):
        _run(destination, adopted, records).as_continued(known).save(folder)


def _of_copy(destination: Destination, known: FoldRun, experiment: Experiment, fold: str) -> FoldRun:
    """Returns the run of a fold that was copied from another experiment along with what was known of its run."""
    tags = {key: value for key, value in known.tags.items() if key != VARIANT}
    run = replace(
        known,
        experiment_name=destination.experiment_of(experiment.dataset),
        run_name=fold_run_name(experiment, fold),
        tags={**tags, **experiment_tags(experiment, "fold")},
    )
    run.forget()
    if run.ending is not None:
        run.files = list(run.ending.files) if destination.takes_files else []
    return run


def _is_of_other_scores(known: FoldRun, adopted: Adopted, records: list[Record]) -> bool:
    """Says whether what is noted to be sent is of an earlier adoption, or of the training before it."""
    if ADOPTED not in known.tags:
        return True
    if known.made_of is None:  # version 0.1 noted it
        return not known.is_closed or known.has_scores_to_tell(adopted.finished.scores, records)
    return known.made_of != adopted.finished.scores


def _run(destination: Destination, adopted: Adopted, records: list[Record]) -> FoldRun:
    """Returns the run of a training that is over, with all that is to be sent."""
    folder, manifest, experiment = adopted.folder, adopted.manifest, adopted.experiment
    host = manifest.details["host"]
    files = [*files_of(folder), *_made(adopted, records)]
    ending = Ending(
        "FINISHED",
        _ended_ms(records),
        [os.path.relpath(path, folder) for path in files],
        ending_metrics(records, manifest),
    )
    return FoldRun(
        redacted(destination.tracking_uri),
        destination.experiment_of(experiment.dataset),
        fold_run_name(experiment, folder.name),
        {
            **fold_tags(experiment, folder.name, manifest.inputs, validated=manifest.validated),
            ADOPTED: "yes",
            **({HOST: host} if host != UNKNOWN else {}),
            **({SEVERAL_GPUS: "yes"} if manifest.details.get("several_gpus") else {}),
        },
        attempt=attempt_of(records[0]),
        ending=ending,
        files=ending.files if destination.takes_files else [],
        made_of=adopted.finished.scores,
    )


def _ended_ms(records: list[Record]) -> int:
    """Returns when the training ended: with its last epoch, where one is known."""
    return max((record.time_ms for record in records if record.kind == "epoch"), default=records[-1].time_ms)


def _made(adopted: Adopted, records: list[Record]) -> list[Path]:
    """Writes what is made for the run; not splits and packages, which would be today's."""
    folder = adopted.folder
    summary = summarize(adopted.experiment, [folder.name], [result_of(adopted.finished)])
    contents = {
        "history.json": dump_json(history(records)),
        "validation_cases.csv": cases_to_csv(summary).encode(),
        "learning_curve.png": learning_curve_png(records),
    }
    paths = []
    for name, content in contents.items():
        write_atomically(contents_path(folder, name), content)
        paths.append(contents_path(folder, name))
    return paths
