"""Predictions that are started as a user starts them, killed at random moments, and looked at."""

import csv
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from nnunet_assets.core.files.digests import file_sha256

ALONE = {"nnUNet_def_n_proc": "1", "OMP_NUM_THREADS": "1"}


@dataclass(frozen=True)
class PredictTrial:
    """A prediction on the CPU.

    Attributes:
        project: Where the command runs.
        model: As a user names it.
        images: Folder of them.
        flags: Of the command.
    """

    project: Path
    model: object
    images: Path
    flags: tuple[str, ...] = ()

    @property
    def n_cases(self) -> int:
        """How many there are."""
        return len(list(self.images.iterdir()))

    @property
    def log(self) -> Path:
        """All that the commands say."""
        return self.project / "predict.log"

    def command(self, output: Path) -> list[str]:
        """Returns what a user types."""
        program = Path(sys.executable).with_name("nnunet-assets")
        words = [program, "predict", self.model, self.images, "-o", output, "-device", "cpu", *self.flags]
        return [str(word) for word in [*words, "--project", self.project]]

    def start(self, output: Path) -> "subprocess.Popen[bytes]":
        with self.log.open("ab") as log:
            return subprocess.Popen(
                self.command(output),
                env={**os.environ, **ALONE},
                cwd=self.project,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def run(self, output: Path) -> None:
        process = self.start(output)
        assert process.wait(600) == 0, self.log.read_text()


def kill(process: "subprocess.Popen[bytes]", victim: str) -> None:
    """Kills the command, its child, or both, and waits until nothing of them is left."""
    command = psutil.Process(process.pid)
    children = command.children(recursive=True)
    for one in [*(children if victim != "command" else []), *([command] if victim != "child" else [])]:
        with suppress(psutil.NoSuchProcess):  # it ended by itself meanwhile
            one.send_signal(signal.SIGKILL)
    process.wait(600)
    psutil.wait_procs(children, timeout=60)


def results(output: Path) -> dict[str, tuple[str, int]]:
    """Returns masks and probabilities: digest, and when they were written."""
    files = [*output.glob("*.nii.gz"), *output.glob("*.npz"), *output.glob("*.pkl")]
    return {path.name: (file_sha256(path), path.stat().st_mtime_ns) for path in files}


def digests(output: Path) -> dict[str, str]:
    """Returns the same without the times."""
    return {name: sha256 for name, (sha256, _) in results(output).items()}


def finished_cases(output: Path) -> set[str]:
    """Returns the cases that have a mask."""
    return {path.name.removesuffix(".nii.gz") for path in output.glob("*.nii.gz")}


def die_at_random_moments(trial: PredictTrial, folder: Path, n_kills: int, n_stages: int = 1) -> Counter[int]:
    """Predicts without a kill, then with so many, and checks what is there after each and in the end.

    Every fourth kill comes after the last mask, when pictures and tables are written.

    Returns:
        How many kills left so many masks.
    """
    began = time.monotonic()
    trial.run(folder / "whole")
    seconds, wanted = time.monotonic() - began, digests(folder / "whole")
    n_cases, moments, output, n_left = trial.n_cases, random.Random(7), folder / "out", Counter[int]()
    assert len(finished_cases(folder / "whole")) == n_cases
    finished: dict[str, tuple[str, int]] = {}
    for number in range(n_kills):
        process = trial.start(output)
        is_late = number % 4 == 3
        n_waited = n_cases if is_late else len(finished_cases(output)) + moments.randint(0, 3)
        _wait_for_masks(process, output, min(n_waited, n_cases if is_late else n_cases - 1))
        try:
            process.wait(moments.uniform(0, 0.5 if is_late else 2 * seconds / n_cases))
        except subprocess.TimeoutExpired:
            kill(process, ("command", "child", "all")[number % 3])
        found, cases = results(output), finished_cases(output)
        of_cases = {name: found.get(name) for name in wanted if name.split(".")[0] in cases}
        # Of a case that has its mask all is there, and it is what an undisturbed run makes of it.
        assert {name: at and at[0] for name, at in of_cases.items()} == {name: wanted[name] for name in of_cases}
        # Neither gone nor made again.
        assert {name: found.get(name) for name in finished} == finished
        finished = {name: at for name, at in of_cases.items() if at}
        n_left[len(cases)] += 1
        if (output / "predictions.csv").is_file():  # for the kills that are left: begin again
            shutil.rmtree(output)
            finished = {}
    trial.run(output)
    assert digests(output) == wanted
    said = Counter(re.findall(r"^(\S+) is predicted", (output / ".nnunet_assets/output.log").read_text(), re.M))
    assert max(said.values()) <= n_stages
    assert list((output / ".nnunet_assets" / "parts").iterdir()) == []
    with (output / "predictions.csv").open() as table:
        assert {row["case"] for row in csv.DictReader(table)} == finished_cases(output)
    assert {path.stem for path in (output / "previews").iterdir()} == finished_cases(output)
    return n_left


def _wait_for_masks(process: "subprocess.Popen[bytes]", output: Path, n: int) -> None:
    """Waits until there are so many masks, or the command has ended."""
    deadline = time.monotonic() + 600
    while process.poll() is None and len(finished_cases(output)) < n:
        assert time.monotonic() < deadline
        time.sleep(0.02)
