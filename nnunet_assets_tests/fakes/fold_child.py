"""A fold's process played in this one: what `run_child` starts, without torch, and in milliseconds.

It leaves on the disk what the real process leaves (`test_fold_child` holds it to that), goes on from what lies there as
the real one does, and ends as a script says. Epochs, checkpoints and predictions hold nothing that nnU-Net could read.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pytest

from nnunet_assets.core.files.digests import file_sha256
from nnunet_assets.core.files.json_file import write_json_atomically
from nnunet_assets.core.files.layout import FULL_FOLD, REQUEST_FILE, fold_index
from nnunet_assets.core.files.typed_json import dataclass_to_json
from nnunet_assets.core.fold.commit import BEST_CHECKPOINT, FINAL_CHECKPOINT, RESULT_FILES, Manifest, commit_fold
from nnunet_assets.core.fold.fold_request import FoldAttempt
from nnunet_assets.core.fold.journal import append_record, journal_path, read_records, saved_epochs_path
from nnunet_assets.core.fold.validation_work import ValidationWork
from nnunet_assets.core.fold.version_history import read_stages
from nnunet_assets.core.validation.case_results import read_case_results
from nnunet_assets.core.validation.score_digest import SUMMARY_FILE, scores_digest
from nnunet_assets.engines import local
from nnunet_assets.nnunet.training.validation_series import series_of
from nnunet_assets.processes.child import LOG_FILE, ChildResult
from nnunet_assets.processes.exit_codes import ExitCode, describe_exit
from nnunet_assets_tests.builders import summary_entry, write_validation_summary

LABELS = {"background": 0, "organ": 1, "lesion": 2}


@dataclass(frozen=True)
class Ends:
    """How one start of the process ends before the fold is finished.

    Attributes:
        n_epochs: How many epochs the fold has then, each in a checkpoint; None: it ends before it begins to train.
        code: Its exit code; negative: the signal that ends it.
        problem: The sentence that it leaves; None: none, as where it is killed.
    """

    n_epochs: int | None
    code: int
    problem: str | None = None


@dataclass
class FoldChild:
    """Stands in the place of `run_child`; see `played`.

    Attributes:
        script: How the first starts end, one each; a start after these brings the fold to its COMMIT.
        dice: Of every label in every validation case.
        started: What each start was asked for, and its environment.
    """

    script: Sequence[Ends] = ()
    dice: float = 0.5
    started: list[tuple[FoldAttempt, Mapping[str, str]]] = field(default_factory=list)

    def __call__(
        self,
        module: str,
        request: FoldAttempt,
        *,
        folder: Path,
        environment: Mapping[str, str],
        on_poll: Callable[[], None] = lambda: None,
    ) -> ChildResult:
        assert module == "nnunet_assets.nnunet.training.fold_process"
        ending = self.script[len(self.started)] if len(self.started) < len(self.script) else None
        self.started.append((request, dict(environment)))
        write_json_atomically(folder / REQUEST_FILE, dataclass_to_json(request))
        printed = _Fold(request, Path(environment["nnUNet_preprocessed"]), self.dice).play(ending, on_poll)
        on_poll()
        with (folder / LOG_FILE).open("a") as log:
            log.writelines(f"{line}\n" for line in printed)
        if ending is None:
            return ChildResult(ExitCode.DONE, None, "\n".join(printed))
        killed = f"The process {describe_exit(ending.code, is_oom_kill=None)}. The last it printed was: nothing"
        return ChildResult(ending.code, ending.problem or killed, "\n".join(printed))


class _Fold:
    """One start of the process."""

    def __init__(self, request: FoldAttempt, preprocessed: Path, dice: float) -> None:
        self.request, self.folder, self.dice = request, request.fold_folder, dice
        self.dataset = preprocessed / request.experiment.dataset
        self.n_epochs: int = request.overrides.get("num_epochs", 3)
        description = self.dataset / "dataset.json"
        known: dict[str, Any] = {"labels": LABELS, "file_ending": ".nii.gz"}
        self.description: dict[str, Any] = json.loads(description.read_text()) if description.exists() else known
        self.labels = [name for name, value in self.description["labels"].items() if value != 0]

    def play(self, ending: Ends | None, on_poll: Callable[[], None]) -> list[str]:
        """Returns what it prints."""
        if ending and ending.n_epochs is None:
            return [ending.problem or ""]
        n_done = self._n_saved()
        printed = [f"{self.request.fold} on cpu: " + (f"resuming after {n_done} of them" if n_done else "training")]
        self._write_model_files()
        self._begin()
        ValidationWork(dict.fromkeys(self.cases, 1), epoch_passes=750.0, device="cpu").write(self.folder)
        for epoch in range(n_done, self.n_epochs if ending is None else ending.n_epochs or 0):
            self._train_epoch(epoch)
            on_poll()
        if ending is None:
            (self.folder / FINAL_CHECKPOINT).write_text(f"{self.request.attempt}, {self.n_epochs} epochs")
            self._validate()
            self._commit()
            printed.append(f"{self.request.fold} is finished.")
        return printed

    @property
    def cases(self) -> list[str]:
        splits = json.loads((self.dataset / "splits_final.json").read_text())
        if self.request.fold == FULL_FOLD:
            return sorted({case for split in splits for case in split["val"]})
        found: list[str] = splits[fold_index(self.request.fold)]["val"]
        return found

    def _n_saved(self) -> int:
        file = saved_epochs_path(self.folder)
        return int(file.read_text()) if file.exists() else 0

    def _write_model_files(self) -> None:
        model = self.folder.parent
        (model / "dataset.json").write_text(json.dumps(self.description))
        (model / "plans.json").write_bytes((self.dataset / f"{self.request.experiment.plans}.json").read_bytes())
        (model / "dataset_fingerprint.json").write_text("{}")
        (self.folder / "training_log_2030_1_2_03_04_05.txt").write_text("Epoch 0\n")
        (self.folder / "debug.json").write_text(json.dumps({"num_epochs": str(self.n_epochs)}))

    def _begin(self) -> None:
        if next(read_records(journal_path(self.folder)), None):
            return
        trainer = {"num_iterations_per_epoch": 250, **self.request.overrides, "num_epochs": self.n_epochs}
        asked = {name: value for name, value in dataclass_to_json(self.request).items() if name not in ("attempt",)}
        params = {**asked, "trainer": trainer, "device": {"kind": "cpu", "name": "cpu"}, "versions": VERSIONS}
        append_record(journal_path(self.folder), "start", {"attempt": self.request.attempt, "params": params})

    def _train_epoch(self, epoch: int) -> None:
        loss = 1 / (epoch + 1)
        series = {"train_loss": loss, "val_loss": loss, "generalization_gap": 0.0, "learning_rate": 0.01}
        dices = {f"pseudo_dice/{label}": self.dice for label in self.labels}
        means = {"pseudo_dice_mean": self.dice, "pseudo_dice_ema": self.dice, "epoch_seconds": 0.01}
        append_record(journal_path(self.folder), "epoch", {**series, **dices, **means}, epoch)
        (self.folder / BEST_CHECKPOINT).write_text(f"{self.request.attempt}, epoch {epoch}")
        write_json_atomically(self.folder / ".nnunet_assets" / "checkpoints.json", {})
        (self.folder / "progress.png").write_bytes(b"\x89PNG")
        saved_epochs_path(self.folder).write_text(str(epoch + 1))

    def _validate(self) -> None:
        values = {name: value for name, value in self.description["labels"].items() if name in self.labels}
        keys = [str(tuple(value) if isinstance(value, list) else value) for value in values.values()]
        write_validation_summary(
            self.folder, [summary_entry(case, dict.fromkeys(keys, self.dice)) for case in self.cases]
        )
        for case in self.cases:
            (self.folder / "validation" / f"{case}{self.description['file_ending']}").write_text("prediction")
        append_record(journal_path(self.folder), "end", self._scores())

    def _scores(self) -> dict[str, float | None]:
        if self.request.fold == FULL_FOLD:
            return {}
        ending = self.description["file_ending"]
        found = read_case_results(self.folder, self.description["labels"], self.cases, file_ending=ending)
        return series_of(found, self.request.experiment, self.request.fold)

    def _commit(self) -> None:
        write_json_atomically(self.folder / ".nnunet_assets" / "peak_memory.json", MEMORY)
        request, epochs = self.request, [r for r in read_records(journal_path(self.folder)) if r.kind == "epoch"]
        manifest = Manifest(
            fold=request.fold,
            inputs=request.inputs,
            versions=VERSIONS,
            device="cpu",
            seconds={"training": math.fsum(one.values["epoch_seconds"] for one in epochs), "validation": 0.01},
            n_epochs=len(epochs),
            peak_memory_bytes=MEMORY,
            files={name: file_sha256(self.folder / name) for name in RESULT_FILES},
            details={
                "attempt": request.attempt,
                "stages": [asdict(stage) for stage in read_stages(self.folder)],
                "experiment": asdict(request.experiment),
                "overrides": dict(request.overrides),
                "options": asdict(request.options),
                "validation_cases": self.cases,
                "dagster_run_id": request.dagster_run_id,
                "host": "here",
                "python": "3.11",
                "started": "2030-01-02T03:04:05+00:00",
                "ended": "2030-01-02T03:04:06+00:00",
                "stopped_early": None,
                **({"job": dict(request.job)} if request.job else {}),
            },
            scores=scores_digest((self.folder / SUMMARY_FILE).read_bytes()),
        )
        commit_fold(self.folder, manifest)


def played_fold(request: FoldAttempt, preprocessed: Path, on_epoch: Callable[[], None]) -> list[str]:
    """Brings a fold to its COMMIT as the fake does, and returns what it prints.

    Args:
        request: What its process is asked.
        preprocessed: nnU-Net's folder.
        on_epoch: Called after each epoch that is saved.
    """
    return _Fold(request, preprocessed, 0.5).play(None, on_epoch)


VERSIONS = {"nnunet_assets": "0", "nnunetv2": "2.8.1", "torch": "2"}
MEMORY = {"host": 1 << 30, "largest_worker": 1 << 20}


def played(monkeypatch: pytest.MonkeyPatch, *script: Ends, dice: float = 0.5) -> FoldChild:
    """Has every fold of the test trained by a fake, whose starts end as the script says."""
    child = FoldChild(script, dice)
    monkeypatch.setattr(local, "run_child", child)
    return child
