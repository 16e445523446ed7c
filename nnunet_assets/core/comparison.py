"""A comparison of the experiments of one dataset, case by case, on shared splits.

* Difference: mean over the cases that are defined in both of the left score minus the right one, with its 95 %
  confidence interval (`resampling`). The foreground of a case is the mean over the labels that are defined in both.
  Whether a score is defined depends on the prediction too: cases that only one of the two has are counted beside it.
* Test: Wilcoxon's signed-rank test (`statistics`) of the differences, of each patient's mean difference where the
  patients are known; Holm's correction over all pairs of one metric and label.
* Effect size: the rank-biserial correlation of the same differences, from -1 to 1.
* Ranks: of the pooled means, 1 the best, with the interval of the rank over resampled patients.
* Noise floor: what two trainings that differ in the seed alone may differ by, from the declared repeats; pooled over
  all sets of repeats on the dataset. Repeats of one another are not tested against each other.

Up to 20 experiments are compared each with each, more of them each with the first of them: half a million pairs
would drown every finding in Holm's correction, and every reader.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nnunet_assets.core.contenders import Contender, Field, compatible, side_by_side
from nnunet_assets.core.estimate import Bootstrap, Interval
from nnunet_assets.core.evaluation import metric_title
from nnunet_assets.core.resampling import N_RESAMPLES, SEED, Replicates, Resamples
from nnunet_assets.core.statistics import MIN_DIFFERENCES, SeedNoise, holm, seed_noise, signed_rank_test

SCHEMA_VERSION = 1

MAX_EACH_WITH_EACH = 20
N_RANK_RESAMPLES = 1999
_PAIRS_AT_ONCE = 50

Repeats = Collection[frozenset[str]]
"""Names of experiments that differ in the seed alone, set by set."""


@dataclass(frozen=True)
class Difference:
    """How far two experiments are apart, left minus right.

    Attributes:
        label: None: the foreground.
        n_cases: Cases that are defined in both.
        n_defined_in_one: Cases that are defined in one of the two only, and not compared.
        mean: None where no case is defined in both.
        interval: 95 % confidence interval of the mean; None with fewer than 6 patients.
        n_tested: Patients, or cases, that differ at all.
        p: Not corrected; None with fewer than 6 that differ.
        p_holm: Corrected over all pairs of the metric and label.
        rank_biserial: Effect size; None where nothing differs.
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
    n_tested: int
    p: float | None
    p_holm: float | None
    rank_biserial: float | None
    no_p_because: str | None
    is_within_noise: bool | None


@dataclass(frozen=True)
class Standing:
    """Where an experiment stands among all.

    Attributes:
        label: None: the foreground.
        mean: Pooled, over the shared cases and labels; None: undefined.
        sd: Over the cases, of the foreground over the means of the cases; None with fewer than two defined ones.
        rank: From 1; equal means share the better rank. None: undefined.
        rank_low: In 95 % of the resamples the rank lies from here ...
        rank_high: ... to here.
        first_share: In which part of the resamples it is first, or shares the first rank.
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

    def headline(self) -> str:
        """Returns the result in one line."""
        n_left_out = f"; {len(self.left_out)} left out" if self.left_out else ""
        if len(self.experiments) < 2:
            complete = "1 complete summary" if self.experiments else "no complete summary"
            return f"{complete} of {self.dataset}: nothing to compare yet{n_left_out}"
        firsts = [one for one in self.standings if one.label is None and one.rank == 1]
        winner = (
            f": {firsts[0].experiment} is first in {metric_title(firsts[0].metric)} ({firsts[0].mean:.3f})"
            if firsts
            else ""
        )
        return f"{len(self.experiments)} experiments on {self.n_cases} shared cases{winner}{n_left_out}"

    def to_json(self) -> dict[str, Any]:
        """Returns the comparison as JSON values; what is undefined is null."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}


def compare(
    dataset: str,
    contenders: Sequence[Contender],
    left_out: Mapping[str, str],
    repeats: Repeats = (),
    *,
    lower_is_better: Collection[str] = (),
) -> Comparison:
    """Returns the comparison; of fewer than two contenders one that says so.

    Args:
        contenders: In the order to show them; beyond 20 all are compared with the first that can be compared.
        left_out: Experiments that have no complete summary, with the reason.
        repeats: Experiments that differ in the seed alone; names that are not compared do not count.
        lower_is_better: Metrics whose best mean is the lowest.

    Raises:
        SummaryError: As `contenders.compatible` and `contenders.side_by_side`.
    """
    chosen, odd = compatible(contenders)
    names = tuple(contender.name for contender in chosen)
    if len(names) < 2:
        return Comparison(dataset, names, dict(left_out))
    field = side_by_side(chosen)
    sets = tuple(found for one in repeats if len(found := tuple(name for name in names if name in one)) > 1)
    resamples = Resamples(field.patients or field.cases)
    rank_resamples = Resamples(field.patients or field.cases, n_resamples=N_RANK_RESAMPLES)
    standings: list[Standing] = []
    noise: list[NoiseFloor] = []
    differences: list[Difference] = []
    for metric in field.scores:
        ranked = list(_standings(field, metric, rank_resamples, is_lower_better=metric in lower_is_better))
        floors = _noise_floors(ranked, sets)
        standings += ranked
        noise += floors
        differences += _differences(field, metric, _pairs(names, sets), resamples, floors)
    return Comparison(
        dataset=dataset,
        experiments=names,
        left_out={**left_out, **odd},
        repeats=sets,
        reference=names[0] if len(names) > MAX_EACH_WITH_EACH else None,
        n_cases=len(field.cases),
        bootstrap=Bootstrap("patient" if field.patients else "case", resamples.n_patients, N_RESAMPLES, SEED),
        differences=tuple(differences),
        standings=tuple(standings),
        noise=tuple(noise),
        notes=field.notes,
    )


def _pairs(names: Sequence[str], sets: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    n = len(names)
    pairs = combinations(range(n), 2) if n <= MAX_EACH_WITH_EACH else ((0, other) for other in range(1, n))
    return [(i, j) for i, j in pairs if not any(names[i] in one and names[j] in one for one in sets)]


def _standings(field: Field, metric: str, resamples: Resamples, *, is_lower_better: bool) -> Iterator[Standing]:
    scores = field.scores[metric]
    by_label: list[Replicates] = [resamples.means(scores[:, :, k].T) for k in range(scores.shape[2])]
    means, drawn = np.array([one.estimate for one in by_label]), np.array([one.drawn for one in by_label])
    means, drawn = np.append(means, [_defined_mean(means)], axis=0), np.append(drawn, [_defined_mean(drawn)], axis=0)
    sds = _sds(_with_foreground(scores))
    for k, label in enumerate((*field.labels[metric], None)):
        ranks = _ranks(means[k : k + 1], is_lower_better)[0]
        drawn_ranks = _ranks(drawn[k], is_lower_better)
        low, high = np.quantile(drawn_ranks, [0.025, 0.975], axis=0, method="closest_observation")
        for one, name in enumerate(field.names):
            if np.isnan(means[k, one]):
                yield Standing(name, metric, label, None, None, None, None, None, None)
                continue
            yield Standing(
                experiment=name,
                metric=metric,
                label=label,
                mean=float(means[k, one]),
                sd=None if np.isnan(sds[one, k]) else float(sds[one, k]),
                rank=int(ranks[one]),
                rank_low=int(low[one]),
                rank_high=int(high[one]),
                first_share=float(np.mean(drawn_ranks[:, one] == 1)),
            )


def _ranks(means: NDArray[np.float64], is_lower_better: bool) -> NDArray[np.float64]:
    """Returns the ranks within each row, `(n_rows, n_experiments)`: the best first, undefined ones last."""
    from scipy.stats import rankdata

    ascending = means if is_lower_better else -means
    ranks: NDArray[np.float64] = rankdata(np.nan_to_num(ascending, nan=np.inf), method="min", axis=1)
    return ranks


def _noise_floors(standings: Sequence[Standing], sets: Sequence[Sequence[str]]) -> list[NoiseFloor]:
    floors = []
    for metric, label in dict.fromkeys((one.metric, one.label) for one in standings):
        means = {one.experiment: one.mean for one in standings if (one.metric, one.label) == (metric, label)}
        found = [[mean for name in names if (mean := means[name]) is not None] for names in sets]
        if noise := seed_noise(found):
            floors.append(NoiseFloor(metric, label, noise))
    return floors


def _differences(
    field: Field,
    metric: str,
    pairs: Sequence[tuple[int, int]],
    resamples: Resamples,
    floors: Sequence[NoiseFloor],
) -> Iterator[Difference]:
    """Yields pair by pair the differences of the labels and of the foreground, corrected over the pairs."""
    scores, labels = field.scores[metric], (*field.labels[metric], None)
    noise = {floor.label: floor.noise for floor in floors}
    found: dict[str | None, list[Difference]] = {label: [] for label in labels}
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        some = pairs[start : start + _PAIRS_AT_ONCE]
        all_values = _with_foreground(np.array([scores[i] - scores[j] for i, j in some]))
        replicates = resamples.means(np.concatenate(list(all_values), axis=1))
        for index, (i, j) in enumerate(some):
            in_one = _defined_in_one(scores[i], scores[j])
            for k, label in enumerate(labels):
                found[label].append(
                    Difference(
                        left=field.names[i],
                        right=field.names[j],
                        metric=metric,
                        label=label,
                        n_defined_in_one=in_one[k],
                        **_tested(field, all_values[index, :, k], resamples),
                        **_estimated(replicates, index * len(labels) + k, noise.get(label)),
                    )
                )
    for label in labels:
        corrected = holm([one.p for one in found[label]])
        yield from (replace(one, p_holm=p) for one, p in zip(found[label], corrected, strict=True))


def _estimated(replicates: Replicates, column: int, noise: SeedNoise | None) -> dict[str, Any]:
    mean = float(replicates.estimate[column])
    if np.isnan(mean):
        return {"mean": None, "interval": None, "is_within_noise": None}
    return {
        "mean": mean,
        "interval": replicates.interval(column),
        "is_within_noise": abs(mean) < noise.floor if noise else None,
    }


def _tested(field: Field, values: NDArray[np.float64], resamples: Resamples) -> dict[str, Any]:
    test = signed_rank_test(resamples.by_patient(values))
    unit = "patients" if field.patients else "cases"
    return {
        "n_cases": int(np.count_nonzero(~np.isnan(values))),
        "n_tested": test.n,
        "p": test.p,
        "p_holm": None,
        "rank_biserial": test.rank_biserial,
        "no_p_because": f"{test.n} {unit} differ, and a test needs {MIN_DIFFERENCES}" if test.p is None else None,
    }


def _defined_in_one(left: NDArray[np.float64], right: NDArray[np.float64]) -> list[int]:
    """Returns the cases that only one of the two has, by label and last of the foreground, `(n_labels + 1,)`."""
    there = [np.column_stack([~np.isnan(one), ~np.isnan(one).all(axis=1)]) for one in (left, right)]
    return [int(n) for n in np.count_nonzero(there[0] != there[1], axis=0)]


def _with_foreground(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns `(n, n_cases, n_labels + 1)`: the values by label and, as the last, the mean of what is defined."""
    return np.concatenate([values, _defined_mean(np.moveaxis(values, 2, 0))[:, :, None]], axis=2)


def _sds(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the standard deviations with n - 1 over the cases, `(n, n_labels + 1)`; NaN of fewer than two."""
    sds: NDArray[np.float64] = np.ma.masked_invalid(values).std(axis=1, ddof=1).filled(np.nan)
    return sds


def _defined_mean(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Returns the mean over the first axis of what is not NaN."""
    is_defined = ~np.isnan(values)
    n, sums = is_defined.sum(axis=0), np.where(is_defined, values, 0.0).sum(axis=0)
    return np.divide(sums, n, out=np.full(sums.shape, np.nan), where=n > 0)
