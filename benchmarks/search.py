"""What a search finds for its epochs, and what its driver costs.

`replay PROJECT NAME`: a grid search that ran to its end (every trial trained whole, so that all curves are known) is
searched again from its journals, 20 seeds for each searcher: Optuna's TPE and random, each with and without ASHA, until
half of the grid's epochs are spent. What is printed, and drawn with `--figure`, is the best final pseudo Dice found
over the epochs spent: the mean over the seeds with its 95 % interval, and the same of the difference to random search.

`cost PROJECT NAME`: a search is run while the processor seconds of its driver and of Ray are counted, those of the
trials' own supervisors and folds apart, and what was spent before the first epoch; and how long after a trial's end
the next one's fold begins.
"""

import argparse
import json
import math
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil

from nnunet_assets.core.fold.journal import journal_path, read_records
from nnunet_assets.core.search.curve_files import Curve
from nnunet_assets.core.search.space import Space
from nnunet_assets.core.search.trial_files import Trial, TrialState, read_record, search_folder
from nnunet_assets.declarations.project import read_project
from nnunet_assets.settings import project_settings
from nnunet_assets.workflows.search.book import Book, trial_folder
from nnunet_assets.workflows.search.direction import EPOCHS
from nnunet_assets.workflows.search.run import search_named
from nnunet_assets.workflows.search.sampling import next_point

N_SEEDS = 20
T_QUANTILE = 2.093
"""Of Student's distribution, for a 95 % interval of the mean of as many."""


def replay(
    space: Space, curves: dict[str, Curve], max_epochs: int, sampler: str, *, seed: int, asha: Any, most: int
) -> Iterator[tuple[int, float | None]]:
    """Yields epochs spent so far and the best final score, trial by trial, until so many epochs are spent."""
    trials: list[Trial] = []
    seen: dict[int, Curve] = {}
    spent, best = 0, None
    while spent < most and (point := next_point(space, sampler, seed, trials, seen)) is not None:
        whole, number = curves[_key(point)], len(trials)
        stand_in = SimpleNamespace(trial_id=str(number))
        n_epochs, state = max_epochs, "finished"
        if asha:
            asha.on_trial_add(None, stand_in)
            for epoch, score in whole.scores.items():
                result = {EPOCHS: epoch, "score": score}
                if epoch < max_epochs and asha.on_trial_result(None, stand_in, result) == "STOP":
                    n_epochs, state = epoch, "stopped"
                    break
        seen[number] = Curve({n: score for n, score in whole.scores.items() if n <= n_epochs}, n_epochs)
        ended: TrialState = "finished" if state == "finished" else "stopped"
        trials.append(Trial(number, point, 0, ended, n_epochs))
        spent += n_epochs
        if state == "finished" and whole.last:
            best = max(best or 0.0, whole.last[1])
        yield spent, best


def _asha(max_epochs: int, min_epochs: int, reduction: float) -> Any:
    from ray.tune.schedulers import ASHAScheduler

    return ASHAScheduler(EPOCHS, "score", "max", max_t=max_epochs, grace_period=min_epochs, reduction_factor=reduction)


def _best_at(steps: list[tuple[int, float | None]], at: int) -> float:
    found = next((best for spent, best in reversed(steps) if spent <= at), None)
    return math.nan if found is None else found


def _key(point: dict[str, Any]) -> str:
    return json.dumps(point, sort_keys=True)


def replay_all(args: argparse.Namespace) -> None:
    settings = project_settings(args.project)
    config = search_named(read_project(args.project), args.name)
    book = Book(config, settings.roots)
    curves = {_key(dict(one.point)): book.curve(one.number) for one in book.record.trials}
    n_max = config.budget.max_epochs
    lengths = {curve.n_epochs for curve in curves.values()}
    if len(curves) != config.declared_space.n_points or lengths != {n_max}:
        sys.exit(
            f"{config.title} is no whole grid: {len(curves)} of {config.declared_space.n_points}, epochs {lengths}."
        )
    grid = [n_max * step // 2 for step in range(2, len(curves) + 1)]
    rows: dict[str, list[list[float]]] = {}
    for sampler in ("random", "tpe"):
        for least in (None, args.min_epochs):
            name = sampler + (" + ASHA" if least else "")
            rows[name] = []
            for seed in range(N_SEEDS):
                asha = _asha(n_max, least, args.reduction) if least else None
                steps = list(replay(config.declared_space, curves, n_max, sampler, seed=seed, asha=asha, most=grid[-1]))
                rows[name].append([_best_at(steps, at) for at in grid])
    top = max(curve.last[1] for curve in curves.values() if curve.last)
    print(f"best of the grid: {top:.4f}; means over {N_SEEDS} seeds [95 % interval], and difference to random search")
    for share in (0.05, 0.1, 0.2, 0.3, 0.5):
        place = min(len(grid) - 1, max(0, round(share * len(curves) * 2) - 2))
        for name, found in rows.items():
            values = [row[place] for row in found]
            others = [row[place] - other[place] for row, other in zip(found, rows["random"], strict=True)]
            n_best = sum(value == top for value in values)
            print(
                f"{grid[place]:>6} epochs  {name:<14} {_interval(values)}  {_interval(others)}, best in {n_best} seeds"
            )
    if args.figure:
        _draw(grid, rows, top, args.figure)


def _interval(values: list[float]) -> str:
    mean, half = _mean(values)
    return f"{mean:.4f} [{mean - half:.4f}, {mean + half:.4f}]"


def _mean(values: list[float]) -> tuple[float, float]:
    """Returns the mean, and the half width of its interval."""
    return statistics.fmean(values), T_QUANTILE * statistics.stdev(values) / math.sqrt(len(values))


def _draw(grid: list[int], rows: dict[str, list[list[float]]], top: float, file: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 4), layout="constrained")
    axes = figure.subplots()
    for name, found in rows.items():
        means = [_mean(list(values)) for values in zip(*found, strict=True)]
        (line,) = axes.plot(grid, [mean for mean, _ in means], label=name)
        low, high = ([mean + sign * half for mean, half in means] for sign in (-1, 1))
        axes.fill_between(grid, low, high, alpha=0.15, color=line.get_color())
    axes.axhline(top, color="0.7")
    axes.set(xlabel="epochs spent", ylabel=f"best final pseudo Dice, mean over {N_SEEDS} seeds")
    axes.legend()
    figure.savefig(file, dpi=120)


def cost(args: argparse.Namespace) -> None:
    """Runs a search in a process of its own and samples the processes below it twice a second."""
    import subprocess

    command = [sys.executable, "-c", "from nnunet_assets.cli import run; run()", "search", "run", args.name]
    begun = time.time()
    run = subprocess.Popen([*command, "--project", str(args.project)])
    seconds: dict[str, dict[int, float]] = {}
    memory: dict[str, float] = {}
    before: dict[str, float] = {}
    while run.poll() is None:
        if not before and _epochs(args):
            before = {kind: sum(of_kind.values()) for kind, of_kind in seconds.items()}
        now: dict[str, float] = {}
        for one in _below(psutil.Process(run.pid)):
            try:
                kind = _kind(" ".join(one.cmdline()))
                seconds.setdefault(kind, {})[one.pid] = sum(one.cpu_times()[:2])
                now[kind] = now.get(kind, 0.0) + one.memory_info().rss
            except psutil.Error:
                continue
        memory = {kind: max(memory.get(kind, 0.0), now.get(kind, 0.0)) for kind in {*memory, *now}}
        time.sleep(0.5)
    settings, config = project_settings(args.project), search_named(read_project(args.project), args.name)
    record = read_record(search_folder(settings.roots, config.of.dataset, config.name))
    assert record
    folders = [trial_folder(config, settings.roots, one) for one in record.trials]
    n_epochs = _epochs(args)
    print(f"{len(folders)} trials, {n_epochs} epochs, {time.time() - begun:.0f} s in all")
    for kind, of_kind in sorted(seconds.items()):
        spent = sum(of_kind.values())
        first = before.get(kind, 0.0)
        share = (spent - first) / n_epochs
        print(
            f"{kind:<12} {spent:7.1f} processor s: {first:.1f} before the first epoch, then {share:.3f} an epoch; at "
            f"most {memory[kind] / 2**20:.0f} MiB"
        )
    ends = [max((one.time_ms for one in read_records(journal_path(folder))), default=0) / 1000 for folder in folders]
    begins = [one.begun_ms / 1000 for one in record.trials]
    starts = [next((one.time_ms / 1000 for one in read_records(journal_path(folder))), 0.0) for folder in folders]
    waits = [min((begin - end for end in ends if end <= begin), default=None) for begin in begins]
    print("s from an end to the next trial's begin:", [round(wait, 1) for wait in waits if wait is not None])
    firsts = [round(start - begin, 1) for start, begin in zip(starts, begins, strict=True)]
    print("s from a trial's begin to its fold's first line:", firsts)


def _epochs(args: argparse.Namespace) -> int:
    settings, config = project_settings(args.project), search_named(read_project(args.project), args.name)
    record = read_record(search_folder(settings.roots, config.of.dataset, config.name))
    trials = record.trials if record else ()
    return sum(Curve.read(trial_folder(config, settings.roots, one)).n_epochs for one in trials)


def _below(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.Error:
        return []


def _kind(command: str) -> str:
    for word, kind in (
        ("fold_process", "folds"),
        ("multiprocessing", "folds"),
        ("tune_driver", "driver"),
        ("ray::", "supervisors"),
        ("default_worker", "supervisors"),
        ("ray", "ray"),
    ):
        if word in command:
            return kind
    return "command"


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, work in (("replay", replay_all), ("cost", cost)):
        one = commands.add_parser(name)
        one.add_argument("project", type=Path)
        one.add_argument("name")
        one.set_defaults(work=work)
        if name == "replay":
            one.add_argument("--min-epochs", type=int, required=True)
            one.add_argument("--reduction", type=float, default=3.0)
            one.add_argument("--figure", type=Path)
    given = parser.parse_args()
    given.work(given)
