"""The run of a cross-validation: it shows the summary, and MLflow shows the runs of the folds below it.

The first fold that has something to send makes it, and the summary fills it. Two folds may make it at once: whoever
sees both keeps the older one, and a fold that had only seen the other is moved when it is opened or summarized next.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.tracking.runs.run_names import cross_validation_run_name, search_run_name
from nnunet_assets.tracking.runs.run_times import later_than
from nnunet_assets.tracking.store import names
from nnunet_assets.tracking.store.client import pages

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

PARENT = "mlflow.parentRunId"
"""MLflow's own tag, by which it nests runs."""

EXPERIMENT_TAGS = {
    "dataset": names.DATASET,
    "configuration": names.CONFIGURATION,
    "trainer": names.TRAINER,
    "plans": names.PLANS,
}
"""What a run must say of its experiment, by the field of it."""


def experiment_of(tags: Mapping[str, str]) -> Experiment | None:
    """Returns what the tags of a run say that it is of; None: one is missing."""
    if not tags.keys() >= set(EXPERIMENT_TAGS.values()):
        return None
    known = {field: tags[tag] for field, tag in EXPERIMENT_TAGS.items()}
    return Experiment(**known, variant=tags.get(names.VARIANT))


def parent_of_fold(client: "MlflowClient", experiment_id: str, tags: Mapping[str, str], start_ms: int) -> str | None:
    """Returns the id of the run below which a fold's run belongs; it is made if it is not there.

    Args:
        tags: Of the fold's run.
        start_ms: When the fold began.

    Returns:
        None for what is no fold of a cross-validation, such as a model trained on every case.
    """
    experiment = experiment_of(tags)
    if tags.get(names.RUN_TYPE) != "fold" or experiment is None:
        return None
    search = tags.get(names.SEARCH)
    if search:
        name, wanted = search_run_name(search), search_run_tags(experiment, search)
        identity = {key: wanted[key] for key in (names.RUN_TYPE, names.SEARCH)}
    else:
        name, wanted = cross_validation_run_name(experiment), names.experiment_tags(experiment, "cv_summary")
        identity = {key: wanted[key] for key in (names.RUN_TYPE, names.EXPERIMENT)}
    found = run_by_tags(client, experiment_id, identity)
    if found is None:
        found = make_run(client, experiment_id, identity, wanted, run_name=name, start_ms=start_ms)
        # Nothing of its own runs, and nobody would end it where no fold is ever finished.
        client.set_terminated(found, "FINISHED", later_than(client.get_run(found).info))
    return found


def search_run_tags(experiment: Experiment, search: str) -> dict[str, str]:
    """Returns the tags of the run of a search, below which the folds of its trials lie.

    Args:
        experiment: Of one of its trials.
        search: Its name in the dataset.
    """
    of_trial = names.experiment_tags(experiment, "tuning")
    kept = {key: text for key, text in of_trial.items() if key not in (names.EXPERIMENT, names.VARIANT)}
    return {**kept, names.SEARCH: search}


def run_by_tags(client: "MlflowClient", experiment_id: str, identity: Mapping[str, str]) -> str | None:
    """Returns the id of the run with these tags, the one with scores and then the oldest first; None: there is none."""
    query = " AND ".join(f"tags.`{key}` = '{value}'" for key, value in identity.items())
    found = client.search_runs([experiment_id], query, order_by=["attributes.start_time ASC"], max_results=10)
    return str(min(found, key=_age).info.run_id) if found else None


def make_run(
    client: "MlflowClient",
    experiment_id: str,
    identity: Mapping[str, str],
    tags: Mapping[str, str],
    *,
    run_name: str,
    start_ms: int | None = None,
) -> str:
    """Makes the run with these tags, and returns the id of what is there then: another process may have made it too."""
    made = client.create_run(experiment_id, start_ms, dict(tags), run_name=run_name).info.run_id
    kept = run_by_tags(client, experiment_id, identity) or made
    if kept != made:
        client.delete_run(made)
    return str(kept)


def nest_folds(client: "MlflowClient", experiment_id: str, run_id: str, experiment_key: str) -> None:
    """Puts the runs of an experiment's folds below that of its cross-validation, those of earlier versions too."""
    query = f"tags.`{names.RUN_TYPE}` = 'fold' AND tags.`{names.EXPERIMENT}` = '{experiment_key}'"
    for run in pages(client.search_runs, experiment_ids=[experiment_id], filter_string=query):
        if run.data.tags.get(PARENT) != run_id:
            client.set_tag(run.info.run_id, PARENT, run_id)


def _age(run: "Run") -> tuple[bool, int, str]:
    return not run.data.metrics, run.info.start_time, run.info.run_id
