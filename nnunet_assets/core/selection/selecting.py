"""The choice among the models of a dataset, as `best_configuration` describes it."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from nnunet_assets.core.comparison.compared_experiments import (
    ComparedExperiment,
    SharedScores,
    compatible,
    shared_scores,
)
from nnunet_assets.core.evaluation.step_scores import StepDice, StepPlan
from nnunet_assets.core.model.postprocessing_steps import Step
from nnunet_assets.core.selection.best_configuration import (
    POSTPROCESSED,
    BestConfiguration,
    Candidate,
    ExpectedScore,
)
from nnunet_assets.core.selection.candidates import Candidates
from nnunet_assets.core.selection.choice import Array, Units, units_of_cases
from nnunet_assets.core.selection.honest_number import MAX_EXACT_FOLDS, honest_number
from nnunet_assets.core.selection.postprocessing import PostprocessedScores
from nnunet_assets.core.statistics.estimate import Interval
from nnunet_assets.errors import NoCandidateError, SummaryError, first_offenders

METRIC = "dice"


@dataclass(frozen=True)
class StepScores:
    """What a model scores after postprocessing steps.

    Attributes:
        plan: The steps that may be taken.
        cases: By case.
    """

    plan: StepPlan
    cases: Mapping[str, StepDice]

    def after(self, steps: Collection[Step]) -> dict[str, dict[str, float | None]]:
        """Returns the Dice after some of the plan's steps, by label name and case.

        Raises:
            SummaryError: A step is none of the plan's.
        """
        if odd := sorted(set(steps) - set(self.plan.steps)):
            raise SummaryError(
                f"What masks score after the postprocessing step on {first_offenders(odd)} is not known: it is none of "
                "those that are looked at for this dataset. Materialize best_configuration again."
            )
        taken = ["01"[step in steps] for step in self.plan.steps]
        combination = {name: "".join(taken[place] for place in places) for name, places in self.plan.matters.items()}
        return {
            name: {case: scores[name][key] for case, scores in self.cases.items()} for name, key in combination.items()
        }


@dataclass(frozen=True)
class SelectableModel:
    """A model that may be chosen, as it is or with postprocessing.

    Attributes:
        scores: What it scored.
        members: Names of the experiments that it is an ensemble of, or its own alone.
        weights_bytes: What the weights of one fold take, of all members together; None: not known, so that it is
            simpler than nothing.
        steps: None: no postprocessing is looked at.
        made_of: Digest of what the scores are from; empty: not known.
    """

    scores: ComparedExperiment
    members: tuple[str, ...]
    weights_bytes: int | None
    steps: StepScores | None = None
    made_of: str = ""

    @property
    def name(self) -> str:
        """Of the experiment or ensemble within its dataset."""
        return self.scores.name

    @property
    def is_ensemble(self) -> bool:
        """Whether it is several trainings together."""
        return len(self.members) > 1


def best_configuration(
    dataset: str, models: Sequence[SelectableModel], left_out: Mapping[str, str], notes: Sequence[str] = ()
) -> BestConfiguration:
    """Returns the choice among some models.

    Args:
        dataset: Of all of them.
        models: The experiments, in the order of their declaration, then their ensembles.
        left_out: Experiments that are no candidates, with the reason.
        notes: What whoever made the models has to say of them.

    Raises:
        NoCandidateError: There is no model.
        SummaryError: No two of several may be compared, or no label has a Dice anywhere.
    """
    if not models:
        reasons = "".join(f" {name}: {reason}." for name, reason in left_out.items())
        raise NoCandidateError(f"No experiment of {dataset} has a complete summary to be chosen by.{reasons}")
    comparable, odd = compatible([one.scores for one in models])
    by_name = {one.name: one for one in models}
    taking_part = [by_name[one.name] for one in comparable]
    shared = shared_scores(comparable)
    scores = shared.scores[METRIC]
    if np.isnan(scores).all():
        raise SummaryError(f"No label of {dataset} has a Dice in any case: no reference and no prediction holds one.")
    fold_of = {case: fold for fold, cases in comparable[0].validation.items() for case in cases}
    folds = [fold_of[case] for case in shared.cases]
    candidates = _all_candidates(taking_part, shared, folds)
    names = [*shared.names, *(f"{shared.names[k]}{POSTPROCESSED}" for k, _ in candidates.postprocessed)]
    found = honest_number(candidates)
    fold_names = sorted(set(folds))
    expected = None
    if not isinstance(found, str):
        without = {fold_names[fold]: names[one] for fold, one in found.by_fold.items()}
        expected = ExpectedScore(found.mean, found.left_one_out, found.interval, without)
    units = _on_all(candidates)
    return BestConfiguration(
        dataset=dataset,
        candidates=_candidates(candidates, taking_part, names),
        chosen=names[int(units.chosen(_everything(candidates))[0])],
        expected=expected,
        not_expected_because=found if isinstance(found, str) else None,
        left_out={**left_out, **odd},
        n_cases=len(shared.cases),
        n_patients=candidates.n_patients,
        postprocessing={shared.names[k]: one.effects() for k, one in candidates.postprocessed},
        made_of={one.name: one.made_of for one in taking_part if one.made_of},
        notes=(
            *notes,
            *shared.notes,
            *_notes(candidates, is_known=shared.patients is not None),
            *_not_tried(taking_part),
        ),
    )


def _all_candidates(models: Sequence[SelectableModel], shared: SharedScores, folds: Sequence[str]) -> Candidates:
    patients = shared.patients or shared.cases
    units = Units.of(shared.scores[METRIC], folds, patients, [0.0] * len(models))
    _, unit = units_of_cases(folds, patients)
    postprocessed = [
        (place, PostprocessedScores.of(one.steps.plan, cases, unit, shared.labels[METRIC]))
        for place, one in enumerate(models)
        if one.steps
        and len(cases := [one.steps.cases[case] for case in shared.cases if case in one.steps.cases])
        == len(shared.cases)
    ]
    sizes = [np.inf if one.weights_bytes is None else one.weights_bytes for one in models]
    return Candidates.of(units, sizes, [one.is_ensemble for one in models], postprocessed)


def _everything(candidates: Candidates) -> Array:
    return np.ones((1, len(candidates.fold)))


def _on_all(candidates: Candidates) -> Units:
    """Returns the candidates with the steps that are taken on all patients."""
    return candidates.with_steps(_everything(candidates))


def _candidates(
    candidates: Candidates, models: Sequence[SelectableModel], names: Sequence[str]
) -> tuple[Candidate, ...]:
    units, everything = _on_all(candidates), _everything(candidates)
    steps = {k: one.steps(int(one.taken(everything)[0])) for k, one in candidates.postprocessed}
    found = units.differences(everything)
    best = int(found.best[0])
    shown = []
    for place, name in enumerate(names):
        model = models[int(candidates.model_of[place])]
        own = steps[int(candidates.model_of[place])] if place >= len(models) else ()
        if place >= len(models) and not own:
            continue  # it takes no step, and is the model as it is
        mean, behind, reach = (float(one[0, place]) for one in (found.means, found.behind, found.reach))
        interval = Interval(round(behind - reach, 9), round(behind + reach, 9)) if np.isfinite(reach) else None
        candidate = Candidate(
            name=name,
            model=model.name,
            members=model.members,
            steps=own,
            mean=None if np.isnan(mean) else mean,
            n_defined=int(units.counts[place].sum()),
            behind=behind,
            behind_interval=None if place == best else interval,
            is_distinguished=bool(found.is_distinguished[0, place]),
            weights_bytes=model.weights_bytes,
        )
        shown.append((place != best, candidate))
    return tuple(one for _, one in sorted(shown, key=lambda pair: (pair[1].behind, pair[0])))


def _not_tried(models: Sequence[SelectableModel]) -> list[str]:
    names = {name for one in models if one.steps for name in one.steps.plan.left_out}
    sentence = (
        f"Of so many regions the postprocessing of each alone is not tried for {first_offenders(sorted(names))}: "
        "steps on regions change each other, and their combinations are too many."
    )
    return [sentence] if names else []


def _notes(candidates: Candidates, *, is_known: bool) -> list[str]:
    sentences = []
    if not is_known:
        sentences.append("Whose the cases are is not known: each counts as a patient of its own.")
    if candidates.n_folds > MAX_EXACT_FOLDS:
        sentences.append(
            f"Of {candidates.n_folds} folds, more than {MAX_EXACT_FOLDS}, the expected Dice is that of leaving one "
            "fold out."
        )
    return sentences
