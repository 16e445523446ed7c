"""Which settings of a search matter: how much of the differences between its trials each accounts for."""

from nnunet_assets.core.search.report import SearchReport
from nnunet_assets.core.search.space import Space
from nnunet_assets.workflows.search.sampling import told_values

FEWEST = 8
"""Of fewer trials nobody can tell."""


def importance(space: Space, report: SearchReport) -> dict[str, float]:
    """Returns each setting's part, from 0 to 1, by Optuna's PED-ANOVA; empty: of so few trials nobody can tell.

    Scores are those after the number of epochs at which all trials are compared first, so that none is held against one
    of another length. A setting that is not part of every point is left out.
    """
    import optuna

    at = report.compared_at
    always = [one for one in space.dimensions if not one.when]
    scored = [one for one in report.trials if at in one.curve.scores and space.holds(one.trial.point)]
    if len(scored) < FEWEST or not always:
        return {}
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize")
    study.add_trials(
        [
            optuna.trial.create_trial(value=one.curve.scores[at], **told_values(always, one.trial.point))
            for one in scored
        ]
    )
    evaluator = optuna.importance.PedAnovaImportanceEvaluator()
    found = optuna.importance.get_param_importances(study, evaluator=evaluator)
    return {name: float(part) for name, part in found.items()}
