"""Writes what a fold's journal holds into its MLflow run, and the files beside it.

What MLflow will never take (a refused value, a file that is not there) is counted, noted and passed over, so that it
does not hold up what follows. Whatever else fails is raised, and tried again by a later pass.

Of a fold that was validated again MLflow shows the last scores, and none of the earlier.
"""

import math
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.fold.commit import FinishedFold
from nnunet_assets.core.fold.journal import Record
from nnunet_assets.core.training.panel_files import PANELS
from nnunet_assets.errors import first_offenders
from nnunet_assets.tracking.fold.fold_run import Ending, FoldRun, params_path, uploads_folder
from nnunet_assets.tracking.fold.sent_model import send_model
from nnunet_assets.tracking.runs.batches import MAX_METRICS_PER_BATCH, batches_of, params_of, points, tags_of
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.destination import Destination
from nnunet_assets.tracking.store.leaving_files import as_it_may_leave, hides_places
from nnunet_assets.tracking.store.pseudonyms import Pseudonyms
from nnunet_assets.tracking.store.redacted_files import without_credentials
from nnunet_assets.tracking.store.server_errors import explain

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Metric

PREFIXES = (names.VAL_DICE, names.VAL_IOU)


class RunWriter:
    """Writes into the run of one fold.

    Args:
        destination: Where the run lies.
        fold_folder: nnU-Net's `fold_k`.
        pseudonyms: What leaves this machine is hidden by; None: nothing is hidden.

    Attributes:
        kept_files: By file that is to be tried again, why it was not uploaded.
    """

    def __init__(self, destination: Destination, fold_folder: Path, pseudonyms: Pseudonyms | None) -> None:
        self.kept_files: dict[str, str] = {}
        self._destination, self._folder, self._pseudonyms = destination, fold_folder, pseudonyms
        self._notes: list[str] = []

    @property
    def problems(self) -> list[str]:
        """What MLflow does not have, a sentence each."""
        return [*self._notes, *self.kept_files.values()]

    def write(self, client: "MlflowClient", run: FoldRun, group: Sequence[Record], last_epoch: int) -> None:
        """Sends records that share a batch; if MLflow refuses that, one by one, and passes over the refused ones.

        Args:
            client: MLflow's.
            run: The fold's run, which counts the refused ones and takes up the files that are to be uploaded.
            group: The records.
            last_epoch: Where the curves end, which is the step of the validation's results.
        """
        try:
            if group[0].kind == "start":
                self._write_start(client, run, group[0])
            else:
                self._write_metrics(client, run, group, last_epoch)
        except Exception as error:
            failure = explain(error, self._destination.tracking_uri)
            if failure.cause != "refused":
                raise
            if len(group) > 1:
                for record in group:
                    self.write(client, run, [record], last_epoch)
                return
            run.n_refused += 1
            self._note(f"A record of the journal was not taken. {failure.sentence}")

    def end(
        self, client: "MlflowClient", run: FoldRun, ending: Ending, finished: FinishedFold | None, last_epoch: int
    ) -> None:
        """Ends the run as the training ended, with the scores that the fold has where it is finished."""
        from mlflow.entities import RunTag

        self.write(client, run, [Record("end", ending.time_ms, None, ending.metrics)], last_epoch)
        client.set_tag(run.run_id, names.FAILURE, ending.failure)
        scores = finished.scores if finished else None
        if finished is not None and scores is not None:
            # Before the files: whoever reads these meanwhile sees that they are not of these scores.
            now = {names.SCORES: scores, names.SCORED_AT: str(max(time.time_ns() // 1_000_000, ending.time_ms))}
            tags = {**now, names.VALIDATED: finished.manifest.validated, **self._job_tags(finished)}
            client.log_batch(run.run_id, tags=[RunTag(*tag) for tag in tags.items()], synchronous=True)
        client.set_terminated(run.run_id, ending.status, ending.time_ms)
        run.is_closed = run.ending == ending
        run.scores = scores

    def upload(self, client: "MlflowClient", run: FoldRun, file: str) -> bool:
        """Tells whether the file need not be tried again: MLflow has it, or can never have it."""
        self.kept_files.pop(file, None)
        # Not by the kernel: for a fold's folder that is a link, `..` is the model's folder all the same.
        path = Path(os.path.normpath(self._folder / file))
        if not path.exists():
            self._note(f"{path} was not uploaded: it is not there.")
            return True
        try:
            hidden = hides_places(self._destination, self._folder, self._pseudonyms) if self._pseudonyms else None
            if path.is_dir():
                send_model(client, str(run.run_id), path, path.relative_to(uploads_folder(self._folder)).as_posix())
                return True
            with as_it_may_leave(path, hidden) as shown, without_credentials(shown) as file_to_send:
                client.log_artifact(run.run_id, str(file_to_send), self._artifact_folder(path))
        except Exception as error:  # noqa: BLE001 (any artifact store raises its own; the other files are tried)
            failure = explain(error, self._destination.tracking_uri)
            sentence = f"{path.name} was not uploaded. {failure.sentence}"
            if failure.cause == "refused":
                self._note(sentence)
                return True
            self.kept_files[file] = sentence
            return False
        return True

    def _artifact_folder(self, path: Path) -> str | None:
        """Returns the folder among the run's artifacts; None: at their top."""
        made = uploads_folder(self._folder)
        if not path.is_relative_to(made):
            return PANELS if path.parent.name == PANELS else None
        below = path.parent.relative_to(made)
        return below.as_posix() if below.parts else None

    def _job_tags(self, finished: FinishedFold) -> dict[str, str]:
        tags = names.job_tags(finished.manifest.details.get("job") or {})
        if self._pseudonyms and names.HOST in tags:
            tags[names.HOST] = self._pseudonyms.of("host", tags[names.HOST])
        return self._pseudonyms.hidden(tags) if self._pseudonyms else tags

    def _write_metrics(self, client: "MlflowClient", run: FoldRun, group: Sequence[Record], last_epoch: int) -> None:
        from mlflow.entities import Metric

        metrics = []
        for record in group:
            step = last_epoch if record.epoch is None else record.epoch
            found, reasons = points(record, step, names.own_name if run.keeps_names else names.metric_name)
            metrics += [Metric(*point) for point in found]
            if reasons:
                self._note(f"Not sent: {first_offenders(reasons)}.")
        _log(client, run, metrics)
        if any(map(_holds_scores, group)) and run.run_id is not None:
            _log(client, run, _replacements(client, run.run_id, metrics))

    def _write_start(self, client: "MlflowClient", run: FoldRun, record: Record) -> None:
        """Sends parameters and tags; a parameter that MLflow has with another value becomes a note in a tag."""
        from mlflow.entities import Param, RunTag

        params, tags = params_of(record), tags_of(record, names.own_name if run.keeps_names else names.escaped)
        if not run.keeps_names:  # what a script calls its optimizer is no part of nnU-Net's trainer
            tags = {**names.search_tags(params), **tags}
        if self._pseudonyms:
            params, tags = self._pseudonyms.hidden(params), self._pseudonyms.hidden(tags)
        write_json_atomically(params_path(self._folder), params)
        if self._destination.sends_files:
            run.add_files([str(params_path(self._folder).relative_to(self._folder))])
        rest = f"; whole in {names.PARAMS_FILE}"
        self._add_files(run, record.values.get("files") or ())
        texts = {key: names.cut(text, names.MAX_PARAM_LENGTH, rest) for key, text in names.flattened(params).items()}
        logged = client.get_run(run.run_id).data.params
        changed = [f"{key}: {logged[key]} -> {text}" for key, text in texts.items() if logged.get(key, text) != text]
        if changed:
            tags[names.CHANGED_PARAMS] = first_offenders(changed, shown=50)
        tags = {key: names.cut(text, names.MAX_TAG_LENGTH) for key, text in tags.items()}
        for batch in batches_of(self._taken(tags)):
            client.log_batch(run.run_id, tags=[RunTag(*tag) for tag in batch.items()], synchronous=True)
        for batch in batches_of({key: text for key, text in self._taken(texts).items() if key not in logged}):
            client.log_batch(run.run_id, params=[Param(*param) for param in batch.items()], synchronous=True)

    def _taken(self, texts: Mapping[str, str]) -> dict[str, str]:
        """Returns the parameters or tags whose names MLflow takes; the others are noted, and cost only themselves."""
        reasons = [names.too_long(name) for name in texts if len(name) > names.MAX_NAME_LENGTH]
        if reasons:
            self._note(f"Not sent: {first_offenders(reasons)}.")
        return {name: text for name, text in texts.items() if len(name) <= names.MAX_NAME_LENGTH}

    def _add_files(self, run: FoldRun, files: Sequence[str]) -> None:
        """Takes up the files that a record names, where the destination takes any."""
        if self._destination.takes_files:
            run.add_files(files)
        elif files:
            named = first_offenders([Path(file).name for file in files])
            self._note(
                f"{named} stays here: a server on another machine gets no files unless you agree "
                "(NNUNET_ASSETS_SHARE_FILES=1), or files are switched off."
            )

    def _note(self, sentence: str) -> None:
        if sentence not in self._notes:
            self._notes.append(sentence)


def _log(client: "MlflowClient", run: FoldRun, metrics: Sequence["Metric"]) -> None:
    for start in range(0, len(metrics), MAX_METRICS_PER_BATCH):
        batch = metrics[start : start + MAX_METRICS_PER_BATCH]
        client.log_batch(run.run_id, metrics=batch, synchronous=True)


def _holds_scores(record: Record) -> bool:
    """Says whether a record is of a validation."""
    return record.kind == "end" and any(series.startswith(PREFIXES) for series in record.values)


def _replacements(client: "MlflowClient", run_id: str, sent: Sequence["Metric"]) -> list["Metric"]:
    """Returns what has to be sent once more, so that the run shows the scores that were sent last.

    MLflow shows the value of the latest step and time, on whichever machine's clock, and the larger of two at one time;
    and what has no value now would go on showing the earlier one.

    Args:
        sent: Metrics of a validation; what is undefined is not among them.
    """
    from mlflow.entities import Metric

    wanted = {metric.key: metric.value for metric in sent if metric.key.startswith(PREFIXES)}
    shown: Mapping[str, float] = client.get_run(run_id).data.metrics
    wanted |= {key: math.nan for key in shown if key.startswith(PREFIXES) and key not in wanted}
    again = []
    for key, value in wanted.items():
        if _is_same(shown.get(key, math.nan), value):
            continue
        points = client.get_metric_history(run_id, key)
        step, time_ms = max(((point.step, point.timestamp) for point in points), default=(0, 0))
        again.append(Metric(key, value, time_ms + 1, step))
    return again


def _is_same(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))
