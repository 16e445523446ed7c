"""A comparison of the experiments of one dataset on shared splits: of the means that stand beside each experiment.

* Mean: pooled over the shared cases, a label's as nnU-Net's own, the foreground's the mean of the label means. What a
  missed or hallucinated object counts, and which way is better, `scoring` says.
* Difference: of these means, left minus right, of a label as of the foreground; `paired` has its interval, its test
  and its effect size. Every case counts in which one of the two at least has something defined.
* Correction: Bonferroni's, over all pairs of one metric and label. Holm's would say less of a model the fewer others
  it beats: by failing where it was the better one, it could become "not significantly worse" than a third.
* Ranks: of the means, 1 the best, with those of 95 % of random halves of the patients (`halves`).
* Noise floor: what two trainings that differ in the seed alone may differ by, from the declared repeats. Repeats of one
  another are not tested against each other.

No failure of a model improves its mean, rank, difference, interval, p value, effect or mark against any other: each is
monotone in every half's means, and these in each score. The noise floor alone belongs to a set of repeats: it widens
where one of them fails.

Up to 20 experiments are compared each with each, more of them each with the first of them: half a million pairs
would drown every finding in the correction, and every reader.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.comparison.compared_experiments import (
    ComparedExperiment,
    SharedScores,
    compatible,
    shared_scores,
)
from nnunet_assets.core.evaluation.evaluation import counted_title
from nnunet_assets.core.files.data_frames import data_frame
from nnunet_assets.core.statistics.estimate import MIN_PATIENTS, Bootstrap, Interval
from nnunet_assets.core.statistics.halves import SEED, HalfMeans, Halves, LabelMeans
from nnunet_assets.core.statistics.multiplicity import SeedNoise, bonferroni, seed_noise
from nnunet_assets.core.statistics.paired import paired_differences
from nnunet_assets.core.statistics.ranks import ranked
from nnunet_assets.core.statistics.scoring import Scale, scale_of
from nnunet_assets.core.text.numbers import fixed
from nnunet_assets.errors import SummaryError, first_offenders

if TYPE_CHECKING:
    from nnunet_assets.core.files.data_frames import DataFrame

SCHEMA_VERSION = 2
OLDER_SCHEMAS = (1,)
"""Also read: 1 has other differences, see `comparison_files`."""

SIGNIFICANT_BELOW = 0.05
MAX_EACH_WITH_EACH = 20

_COLUMNS_AT_ONCE = 200
"""Of 32,768 halves each takes 250 kB."""

Repeats = Collection[frozenset[str]]
"""Names of experiments that differ in the seed alone, set by set."""


@dataclass(frozen=True)
class Difference:
    """How far two experiments are apart, left minus right.

    Attributes:
        label: None: the foreground.
        n_cases: Cases that are counted: at least one of the two has a defined score, of the foreground in any label.
        n_defined_in_one: Of these, cases in which a label is defined in one of the two only: the other is right in
            drawing nothing.
        mean: Of the two shown means; None where one of them is undefined, as are the next four.
        interval: 95 % confidence interval of the mean; None with fewer than 6 patients.
        p: Not corrected; None with fewer than 6 patients.
        p_corrected: Corrected over all pairs of the metric and label.
        effect: See `paired`.
        n_left_better: Patients, or cases, in which the left one's own mean is better; None: an older version made it.
        n_right_better: Likewise.
        no_p_because: Why there is no p value; None: there is one.
        is_within_noise: Whether the mean is smaller than the noise between seeds; None: no repeats are declared.
    """

    left: str
    right: str
    metric: str
    label: str | None
    n_cases: int
    n_defined_in_one: int
    mean: float | None
    interval: Interval | None
    p: float | None
    p_corrected: float | None
    effect: float | None
    n_left_better: int | None
    n_right_better: int | None
    no_p_because: str | None
    is_within_noise: bool | None

    @property
    def is_significant(self) -> bool:
        """Whether the test finds a difference at 5 %, after the correction."""
        return self.p_corrected is not None and self.p_corrected < SIGNIFICANT_BELOW

    def to_row(self) -> dict[str, Any]:
        """Returns it as one row; the ends of the interval stand in columns of their own."""
        row = asdict(self)
        ends = row.pop("interval") or {}
        return {**row, "ci95_low": ends.get("low"), "ci95_high": ends.get("high")}


@dataclass(frozen=True)
class Standing:
    """Where an experiment stands among all.

    Attributes:
        label: None: the foreground.
        mean: Pooled, over the shared cases and labels; None: undefined.
        sd: Over the cases, of the foreground over the means of the cases; None with fewer than two defined ones.
        rank: From 1; equal means share the better rank. An experiment whose mean is undefined, since it drew nothing
            where there was nothing, has no rank and stands before all others. None: undefined.
        rank_low: In 95 % of the halves the rank lies from here ...
        rank_high: ... to here.
        first_share: In which part of the halves it is first, or shares the first rank.
        n_worst: Cases that count the worst value, of the foreground in any label: missed, hallucinated, or wide off
            the mark; None: not known, or an older version made it.
    """

    experiment: str
    metric: str
    label: str | None
    mean: float | None
    sd: float | None
    rank: int | None
    rank_low: int | None
    rank_high: int | None
    first_share: float | None
    n_worst: int | None = None


@dataclass(frozen=True)
class NoiseFloor:
    """The noise between seeds in one metric and label (None: the foreground); see `statistics.SeedNoise`."""

    metric: str
    label: str | None
    noise: SeedNoise


@dataclass(frozen=True)
class Comparison:
    """All differences, ranks and noise floors of a dataset's experiments.

    Attributes:
        experiments: That are compared, in the order of their declaration; with fewer than two nothing else is there.
        left_out: Experiments that are not, each with the reason.
        repeats: Sets of compared experiments that differ in the seed alone.
        reference: What all others are compared with; None: each with each.
        n_cases: Shared cases.
        bootstrap: How the intervals were made.
        notes: What was left out of all experiments.
        diagonal_mm: What a missed or hallucinated object counts as a distance; None: no distances are compared, or
            nobody knows the size of an image, and then none was missed or hallucinated.
        schema: As which version of the file it was made.
    """

    dataset: str
    experiments: tuple[str, ...]
    left_out: Mapping[str, str]
    repeats: tuple[tuple[str, ...], ...] = ()
    reference: str | None = None
    n_cases: int = 0
    bootstrap: Bootstrap | None = None
    differences: tuple[Difference, ...] = ()
    standings: tuple[Standing, ...] = ()
    noise: tuple[NoiseFloor, ...] = ()
    notes: tuple[str, ...] = ()
    diagonal_mm: float | None = None
    schema: int = SCHEMA_VERSION

    def headline(self) -> str:
        """Returns the result in one line; only who is told apart from all others is called the first."""
        n_left_out = f"; {len(self.left_out)} left out" if self.left_out else ""
        if len(self.experiments) < 2:
            there = "1 experiment" if self.experiments else "no experiment"
            return f"{there} of {self.dataset} that can be compared: nothing to compare yet{n_left_out}"
        firsts = [one for one in self.standings if one.label is None and one.rank == 1]
        winner = f": {self._winner(firsts[0])}" if firsts else ""
        return f"{len(self.experiments)} experiments on {self.n_cases} shared cases{winner}{n_left_out}"

    def _winner(self, first: Standing) -> str:
        distinguished = {
            one.right if one.left == first.experiment else one.left
            for one in self.differences
            # The tests of an older version are of other differences.
            if self.schema == SCHEMA_VERSION
            and (one.metric, one.label) == (first.metric, None)
            and first.experiment in (one.left, one.right)
            and one.is_significant
            and not one.is_within_noise
        }
        others = [name for name in self.experiments if name != first.experiment and name not in distinguished]
        title, mean = counted_title(first.metric), fixed(first.mean or 0.0)
        if not others:
            return f"{first.experiment} is first in {title} ({mean})"
        most = "lowest" if scale_of(first.metric).is_lower_better else "highest"
        return f"{first.experiment} has the {most} {title} ({mean}), not told apart from {first_offenders(others, 3)}"

    def to_dataframe(self, of: Literal["standings", "differences"] = "standings") -> "DataFrame":
        """Returns it as a pandas DataFrame, NaN where undefined, a label of None being the foreground.

        Args:
            of: A row an experiment, metric and label: where it stands among all. Or a row a pair, metric and label: how
                far they are apart, with the ends of the interval as `ci95_low` and `ci95_high`.

        Raises:
            SummaryError: Something else was asked for.
        """
        if of == "standings":
            return data_frame([asdict(one) for one in self.standings])
        if of == "differences":
            return data_frame([one.to_row() for one in self.differences])
        raise SummaryError(f"There is no table of {of!r}; there are those of 'standings' and 'differences'.")

    def to_json(self) -> dict[str, Any]:
        """Returns the comparison as JSON values; what is undefined is null."""
        content = asdict(self)
        return {"schema_version": content.pop("schema"), **content}


def compare(
    dataset: str,
    experiments: Sequence[ComparedExperiment],
    left_out: Mapping[str, str],
    repeats: Repeats = (),
    *,
    diagonal_mm: float | None = None,
) -> Comparison:
    """Returns the comparison; of fewer than two experiments one that says so.

    Args:
        experiments: In the order to show them; beyond 20 all are compared with the first that can be compared. Their
            distances count missed and hallucinated objects as `diagonal_mm`.
        left_out: Experiments that have nothing to be compared, with the reason.
        repeats: Experiments that differ in the seed alone; names that are not compared do not count.
        diagonal_mm: Of the largest image; see `scoring.scale_of`.

    Raises:
        SummaryError: As `compatible` and `shared_scores`.
    """
    chosen, odd = compatible(experiments)
    names = tuple(experiment.name for experiment in chosen)
    if len(names) < 2:
        return Comparison(dataset, names, dict(left_out))
    shared = shared_scores(chosen)
    sets = tuple(found for one in repeats if len(found := tuple(name for name in names if name in one)) > 1)
    halves = Halves(shared.patients or shared.cases)
    pairs = _pairs(names, sets)
    columns = [
        _compared(shared, column, pairs, sets, scale_of(column.metric, diagonal_mm))
        for metric in shared.scores
        for column in _columns(shared, metric, halves)
    ]
    return Comparison(
        dataset=dataset,
        experiments=names,
        left_out={**left_out, **odd},
        repeats=sets,
        reference=names[0] if len(names) > MAX_EACH_WITH_EACH else None,
        n_cases=len(shared.cases),
        bootstrap=Bootstrap(
            clustered_by="patient" if shared.patients else "case",
            n_clusters=halves.n_patients,
            n_resamples=len(halves),
            seed=SEED,
            method="halves",
        ),
        differences=tuple(one for _, differences, _ in columns for one in differences),
        standings=tuple(one for standings, _, _ in columns for one in standings),
        noise=tuple(floor for *_, floor in columns if floor),
        notes=shared.notes,
        diagonal_mm=diagonal_mm,
    )


@dataclass(frozen=True)
class _Column:
    """One metric of one label (None: the foreground), with the scores `(n_experiments, n_cases, n_labels)`."""

    metric: str
    label: str | None
    scores: NDArray[np.float64]
    means: HalfMeans


def _columns(shared: SharedScores, metric: str, halves: Halves) -> Iterator[_Column]:
    """Yields the labels, and the foreground as the last."""
    scores = shared.scores[metric]
    labels, n_names = shared.labels[metric], len(shared.names)
    foreground = LabelMeans()
    n_at_once = max(1, _COLUMNS_AT_ONCE // n_names)
    for start in range(0, len(labels), n_at_once):
        # Label by label the experiments: whoever draws the halves once for many columns saves most of the time.
        some = scores[:, :, start : start + n_at_once]
        means = halves.means(some.transpose(1, 2, 0).reshape(len(shared.cases), -1))
        for k, label in enumerate(labels[start : start + n_at_once]):
            one = means.columns(slice(k * n_names, (k + 1) * n_names))
            foreground.add(one)
            yield _Column(metric, label, some[:, :, k : k + 1], one)
    yield _Column(metric, None, scores, foreground.mean())


def _compared(
    shared: SharedScores, column: _Column, pairs: Sequence[tuple[int, int]], sets: Sequence[Sequence[str]], scale: Scale
) -> tuple[list[Standing], list[Difference], NoiseFloor | None]:
    standings = list(_standings(shared, column, scale))
    means = {one.experiment: one.mean for one in standings}
    noise = seed_noise([[mean for name in names if (mean := means[name]) is not None] for names in sets])
    floor = NoiseFloor(column.metric, column.label, noise) if noise else None
    return standings, list(_differences(shared, column, pairs, scale, noise)), floor


def _pairs(names: Sequence[str], sets: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    n = len(names)
    pairs = combinations(range(n), 2) if n <= MAX_EACH_WITH_EACH else ((0, other) for other in range(1, n))
    return [(i, j) for i, j in pairs if not any(names[i] in one and names[j] in one for one in sets)]


def _standings(shared: SharedScores, column: _Column, scale: Scale) -> Iterator[Standing]:
    ranks = ranked(column.means, scale)
    sds = np.ma.masked_invalid(_case_means(column.scores)).std(axis=1, ddof=1).filled(np.nan)
    for one, name in enumerate(shared.names):
        mean = float(column.means.shown[one])
        if np.isnan(mean):
            yield Standing(name, column.metric, column.label, None, None, None, None, None, None, n_worst=0)
            continue
        is_worst = column.scores[one] == scale.worst
        yield Standing(
            experiment=name,
            metric=column.metric,
            label=column.label,
            mean=mean,
            sd=None if np.isnan(sds[one]) else float(sds[one]),
            rank=int(ranks.shown[one]),
            rank_low=int(ranks.low[one]),
            rank_high=int(ranks.high[one]),
            first_share=float(ranks.first_share[one]),
            n_worst=int(np.count_nonzero(is_worst.any(axis=1))),
        )


def _differences(
    shared: SharedScores, column: _Column, pairs: Sequence[tuple[int, int]], scale: Scale, noise: SeedNoise | None
) -> Iterator[Difference]:
    is_defined = ~np.isnan(column.scores)
    unit = "patient" if shared.patients else "case"
    for (i, j), found in zip(pairs, paired_differences(column.means, pairs, scale), strict=True):
        undefined = [shared.names[one] for one in (i, j) if np.isnan(column.means.shown[one])]
        n_patients = column.means.by_patient.shape[1]
        few = f"{n_patients} {unit}{'' if n_patients == 1 else 's'}, and a test needs {MIN_PATIENTS}"
        yield Difference(
            left=shared.names[i],
            right=shared.names[j],
            metric=column.metric,
            label=column.label,
            n_cases=int((is_defined[i] | is_defined[j]).any(axis=1).sum()),
            n_defined_in_one=int((is_defined[i] != is_defined[j]).any(axis=1).sum()),
            mean=found.mean,
            interval=found.interval,
            p=found.p,
            p_corrected=bonferroni(found.p, len(pairs)),
            effect=found.effect,
            n_left_better=found.n_left_better,
            n_right_better=found.n_right_better,
            no_p_because=f"undefined in {' and '.join(undefined)}" if undefined else few if found.p is None else None,
            is_within_noise=None if noise is None or found.mean is None else abs(found.mean) < noise.floor,
        )


def _case_means(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns each case's mean over the labels that are defined in it, `(n_experiments, n_cases)`."""
    is_defined = ~np.isnan(scores)
    n, sums = is_defined.sum(axis=2), np.where(is_defined, scores, 0.0).sum(axis=2)
    means: NDArray[np.float64] = np.divide(sums, n, out=np.full(sums.shape, np.nan), where=n > 0)
    return means
