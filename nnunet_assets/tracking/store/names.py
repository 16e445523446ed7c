"""Every tag, metric and parameter name that this package writes to MLflow, and how foreign words become such names.

Only an epoch's metrics have their names from the journal, whose series they are: see `nnunet.watching.epoch_logger`.

MLflow takes letters, digits and `_ - . / : space` in names (no colon on Windows), and no name that means another path.
A label or a plans key may hold anything, so whatever comes after a slash is escaped: `(` becomes `_x28_`, as in Office
Open XML. The escaping is reversible; what it cannot make unique is refused.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from nnunet_assets.core.files.layout import Experiment
from nnunet_assets.core.fold import iterations
from nnunet_assets.core.fold.commit import FINAL_CHECKPOINT, FoldInputs
from nnunet_assets.processes.machine import fold_samples

Status = Literal["FINISHED", "FAILED", "KILLED"]
"""How a run ended."""
RunType = Literal[
    "raw_dataset", "fold", "final", "cv_summary", "test_set", "comparison", "best_configuration", "tuning"
]

# Tags.
RUN_TYPE = "nnunet_assets.run_type"
EXPERIMENT = "nnunet_assets.experiment"
DATASET = "nnunet_assets.dataset"
CONFIGURATION = "nnunet_assets.configuration"
PLANS = "nnunet_assets.plans"
TRAINER = "nnunet_assets.trainer"
VARIANT = "nnunet_assets.variant"
FOLD = "nnunet_assets.fold"
FOLDS = "nnunet_assets.folds"
"""The finished folds of a summary: `fold_0,fold_1`."""
VALIDATION = "nnunet_assets.validation"
"""What a summary is of: `cross-validation`, or `hold-out` where one fold is all there is."""
TRAINING_ONLY_CASES = "nnunet_assets.training_only_cases"
"""How many cases the split of a summary trains on and validates in no fold; absent: not known."""
RAW_HASH = "nnunet_assets.raw_hash"
PLANS_HASH = "nnunet_assets.plans_hash"
SPLITS_HASH = "nnunet_assets.splits_hash"
TRAINING_HASH = "nnunet_assets.training_hash"
ATTEMPT = "nnunet_assets.attempt"
"""One training of one fold, over all its resumptions: a run is found again by it."""
RESUMED_AT = "nnunet_assets.resumed_at"
"""Epochs from which on values were sent twice, since the fold was set back to them: the later time stamp counts."""
MIXED_VERSIONS = "nnunet_assets.mixed_versions"
"""Of a fold that was interrupted and went on under others: `numpy 2.3.1, then 2.4.6`."""
CHANGED_PARAMS = "nnunet_assets.changed_params"
"""What a resumption changed; MLflow keeps the first value of a parameter for good."""
FAILURE = "nnunet_assets.failure"
"""The class of what ended the training, such as `out_of_memory`; `none` where it was finished."""
SEARCH = "nnunet_assets.search"
"""Of a trial of a search, and of the run above it: the search's name in its dataset."""
DAGSTER_RUN_ID = "dagster_run_id"
"""The word of dagster-mlflow."""
HOST = "nnunet_assets.host"
"""The machine that trains; of a cluster's job its node."""
ENGINE = "nnunet_assets.engine"
"""`slurm` or `ray` of a fold that a cluster's job trains; no such tag otherwise."""
JOB = "nnunet_assets.job"
"""The cluster's id of the job that finished the fold."""
REQUESTED = "nnunet_assets.requested"
"""What that job asked for, as JSON."""
CONTINUES = "nnunet_assets.continues"
"""The fold whose training this one goes on with, by experiment and fold; no such tag otherwise."""
ADOPTED = "nnunet_assets.adopted"
"""`yes` of a fold that was trained elsewhere; no such tag otherwise."""
SEVERAL_GPUS = "nnunet_assets.several_gpus"
"""`yes` of an adopted fold that several GPUs trained; no such tag otherwise. Its parameters may be of version 0.1,
which took one GPU's share for the whole."""
VALIDATED = "nnunet_assets.validated"
"""The checkpoint that predicted the validation cases of a fold, such as `checkpoint_best.pth`."""
SCORES = "nnunet_assets.scores"
"""Which scores the run holds, of a finished fold: their digest (see `core.validation.score_digest`), which tells what a
training scored from what it scores when it is validated again. Runs of version 0.1 have no such tag."""
SCORED_AT = "nnunet_assets.scored_at"
"""When the run got them, in milliseconds since 1970-01-01 UTC."""

# Tags that a fold's parameters give, to search and group runs by.
DEVICE = "nnunet_assets.device"
"""`cuda`, `cpu` or `mps`."""
DEVICE_NAME = "nnunet_assets.device_name"
ARCHITECTURE = "nnunet_assets.architecture"
"""The network's class, such as `PlainConvUNet`."""
LOSS = "nnunet_assets.loss"
OPTIMIZER = "nnunet_assets.optimizer"
SEED = "nnunet_assets.seed"
PRETRAINED = "nnunet_assets.pretrained"
"""`yes` or `no`."""
AUGMENTATION = "nnunet_assets.augmentation"
"""`yes` or `no`: whether training cases are changed at random before they are shown to the network."""

# Series of an epoch that a fold's figures are computed from.
PSEUDO_DICE_EMA = "pseudo_dice_ema"
EPOCH_SECONDS = "epoch_seconds"

# Metrics of a finished fold.
VAL_DICE = "val_dice"
VAL_DICE_MEAN = "val_dice_mean"
VAL_IOU = "val_iou"
VAL_IOU_MEAN = "val_iou_mean"
TRAINING_SECONDS = "training_seconds"
VALIDATION_SECONDS = "validation_seconds"
TRAINING_HOURS = "training_hours"
GPU_HOURS = "gpu_hours"
"""GPUs times hours of training and validation, during which they are held; absent on another device."""
EPOCHS_TRAINED = "epochs_trained"
PEAK_MEMORY = "peak_memory_KIND_bytes"
BEST_EPOCH = "best_epoch"
BEST_PSEUDO_DICE_EMA = "best_pseudo_dice_ema"
VAL_LOSS = "val_loss"
"""Series of an epoch."""
BEST_VAL_LOSS = "best_val_loss"

# Metrics of the machine while a fold trains.
SYSTEM_CPU, SYSTEM_MEMORY = fold_samples.SYSTEM_CPU, fold_samples.SYSTEM_MEMORY
SYSTEM_GPU_MEMORY = fold_samples.SYSTEM_GPU_MEMORY
SYSTEM_GPU_UTILIZATION, SYSTEM_GPU_POWER = fold_samples.SYSTEM_GPU_UTILIZATION, fold_samples.SYSTEM_GPU_POWER

# Metrics of a training that is watched; by batch the step is the iteration, by epoch the epoch.
GRADIENT_NORM_MEAN, GRADIENT_NORM_MAX = iterations.GRADIENT_MEAN, iterations.GRADIENT_MAX
GRADIENT_SPIKES, GRADIENT_OVERFLOWS = iterations.GRADIENT_SPIKES, iterations.GRADIENT_OVERFLOWS
ITERATION_SECONDS, WAIT_SECONDS = iterations.SECONDS, iterations.WAIT
BATCH_LOSS, BATCH_LEARNING_RATE = iterations.BATCH + iterations.LOSS, iterations.BATCH + iterations.LEARNING_RATE
BATCH_GRADIENT_NORM = iterations.BATCH + iterations.GRADIENT_NORM
BATCH_GRADIENT_SPIKE = iterations.BATCH + iterations.SPIKE
BATCH_ITERATION_SECONDS, BATCH_WAIT_SECONDS = iterations.BATCH + iterations.SECONDS, iterations.BATCH + iterations.WAIT

# Metrics of a raw dataset.
CASES = "cases"
ERRORS = "errors"
WARNINGS = "warnings"
FINDINGS = "findings"
"""By code: `findings/D072`."""
LABEL_CASES = "label_cases"
LABEL_VOLUME_ML = "label_volume_ml_median"
"""Over the cases that hold the label."""

# Metrics of a comparison, beside `cases`.
EXPERIMENTS_COMPARED = "experiments_compared"

# Metrics of a best configuration, beside `cases`.
CANDIDATES = "candidates"
CHOSEN_DICE = "chosen_dice_mean"
"""Its own mean, which it was chosen by."""
EXPECTED_DICE = "expected_dice_mean"
EXPECTED_DICE_LOW = "expected_dice_ci95_low"
EXPECTED_DICE_HIGH = "expected_dice_ci95_high"
OPTIMISM = "optimism"
"""How much better its own mean is than the expected one."""
CHOSEN = "nnunet_assets.chosen"
"""Tag: the name of the candidate that is taken."""

# Metrics of a search, beside `epochs_trained` and `training_hours`.
TRIALS = "trials"
TRIALS_IN_STATE = "trials_STATE"
SEARCH_PSEUDO_DICE = "best_trial_pseudo_dice_ema"

# Metrics of a summary; the others are made by `summary_series`.
FOLDS_FINISHED = "folds_finished"
SummaryStatistic = Literal[
    "mean_pooled",
    "sd_pooled",
    "median_pooled",
    "ci95_low_pooled",
    "ci95_high_pooled",
    "mean_over_folds",
    "sd_over_folds",
]

# Metrics of a test set; the others are made by `gap_series`.
TEST_CASES = "test_cases"
GapStatistic = Literal["mean", "ci95_low", "ci95_high", "gap"]

PARAMS_FILE = "params.json"
"""Artifact with the whole parameters, nested and uncut."""

MAX_NAME_LENGTH = 250
MAX_PARAM_LENGTH = 6000
"""Characters; MLflow cuts a longer value without a word."""
MAX_TAG_LENGTH = 5000
"""Characters; current MLflow takes 8000, older servers no more than this."""


def escaped(text: str) -> str:
    """Returns the text as one component of an MLflow name: no slash, nothing MLflow refuses, never empty."""
    return re.sub(r"_(?=x)|^\.|[^\w\- .]", lambda match: f"_x{ord(match[0]):x}_", text) or "_x_"


def unescaped(component: str) -> str:
    """Returns the text that `escaped` was given."""
    return re.sub(r"_x([0-9a-f]*)_", lambda match: chr(int(match[1], 16)) if match[1] else "", component)


def metric_name(series: str) -> str:
    """Returns the MLflow name of a series such as `train_loss` or `pseudo_dice/tumor (core)`.

    Everything after the first slash is the label, slashes included.
    """
    family, slash, label = series.partition("/")
    return escaped(family) + (f"/{escaped(label)}" if slash else "")


def own_name(name: str) -> str:
    """Returns a name that a script gave, as MLflow takes it: `train/loss/dice` stays, a bracket is escaped."""
    return "/".join(map(escaped, name.split("/")))


def unusable_series(series: Iterable[str], name_of: Callable[[str], str] = metric_name) -> dict[str, str]:
    """Returns the series that cannot have an MLflow metric of their own, each with the reason.

    Args:
        series: All that a record has.
        name_of: Makes a metric's name of a series.
    """
    reasons: dict[str, str] = {}
    taken: dict[str, str] = {}
    for name in series:
        # MySQL and SQL Server compare names without regard to case and to how an accent is encoded.
        key = unicodedata.normalize("NFKC", name_of(name)).casefold()
        if len(name_of(name)) > MAX_NAME_LENGTH:
            reasons[name] = too_long(name)
        elif taken.setdefault(key, name) != name:
            reasons[name] = f"{name!r} differs from {taken[key]!r} only in case or accents, which some databases ignore"
    return reasons


def too_long(name: str) -> str:
    """Returns why MLflow does not take a name; a metric, a parameter and a tag may have one of the same length."""
    return f"{cut(name, 80)!r} is longer than MLflow's {MAX_NAME_LENGTH} characters"


def flattened(params: Mapping[str, Any]) -> dict[str, str]:
    """Returns nested parameters as MLflow's flat texts: `{"plans": {"patch": [8, 8]}}` is `plans/patch` = `[8, 8]`.

    Numbers and truth values are written as Python writes them, lists as JSON. An empty mapping stays visible as `{}`.
    """
    return dict(_leaves(params, ()))


def _leaves(params: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for key, value in params.items():
        here = (*path, escaped(str(key)))
        if isinstance(value, Mapping) and value:
            yield from _leaves(value, here)
        else:
            yield "/".join(here), _text(value)


def _text(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | tuple | Mapping) else str(value)


def cut(text: str, limit: int, rest: str = "") -> str:
    """Returns the text; a longer one than `limit` ends with a note of its length and of `rest`, where the rest is."""
    note = f" ... ({len(text)} characters{rest})"
    return text if len(text) <= limit else text[: limit - len(note)] + note


def summary_series(score: str, statistic: SummaryStatistic, label_name: str | None = None) -> str:
    """Returns the series of a summary's number, such as `dice_mean_pooled/tumor`; no label: the foreground."""
    series = f"{score}_{statistic}"
    return series if label_name is None else f"{series}/{label_name}"


def gap_series(score: str, statistic: GapStatistic, label_name: str | None = None) -> str:
    """Returns the series of a test set's number, such as `test_dice_gap/tumor`; no label: the foreground."""
    series = f"test_{score}_{statistic}"
    return series if label_name is None else f"{series}/{label_name}"


def experiment_tags(experiment: Experiment, run_type: RunType) -> dict[str, str]:
    """Returns the tags by which the runs of an experiment are found.

    The tag `nnunet_assets.experiment` is the asset key's prefix with slashes, so it alone names the experiment.
    """
    tags = {
        RUN_TYPE: run_type,
        EXPERIMENT: "/".join(experiment.key_prefix),
        DATASET: experiment.dataset,
        CONFIGURATION: experiment.configuration,
        PLANS: experiment.plans,
        TRAINER: experiment.trainer,
    }
    return {**tags, VARIANT: experiment.variant} if experiment.variant else tags


def peak_memory_metric(kind: str) -> str:
    """Returns the metric of a manifest's kind of memory, such as `peak_memory_gpu_bytes`."""
    return PEAK_MEMORY.replace("KIND", escaped(kind))


def job_tags(job: Mapping[str, Any]) -> dict[str, str]:
    """Returns the tags of the job that finished a fold, as its manifest describes it; nothing where it was none."""
    if not job:
        return {}
    requested = json.dumps(job.get("requested", {}), ensure_ascii=False)
    tags = {ENGINE: job.get("engine"), JOB: job.get("id"), HOST: job.get("node")}
    return {**{tag: str(value) for tag, value in tags.items() if value}, REQUESTED: cut(requested, MAX_TAG_LENGTH)}


def search_tags(params: Mapping[str, Any]) -> dict[str, str]:
    """Returns the tags that a fold's parameters give (`nnunet.trainer.parameters`); what they do not say has none."""
    wanted = {
        DEVICE: ("device", "kind"),
        DEVICE_NAME: ("device", "name"),
        ARCHITECTURE: ("architecture", "class"),
        LOSS: ("loss", "class"),
        OPTIMIZER: ("optimizer", "class"),
        SEED: ("options", "seed"),
    }
    found = {tag: params.get(group, {}).get(key) for tag, (group, key) in wanted.items()}
    if "options" in params:
        found[PRETRAINED] = "yes" if params["options"].get("pretrained_weights") else "no"
    steps = params.get("augmentation", {})
    if steps and "unknown" not in steps:
        found[AUGMENTATION] = "yes" if any(map(_is_random, steps.items())) else "no"
    return {tag: str(value) for tag, value in found.items() if value is not None}


def _is_random(step: tuple[str, Any]) -> bool:
    """Says whether a step of the training's transforms changes cases at random; nnU-Net's spatial one has no chance."""
    name, settings = step
    is_spatial = name.endswith(("SpatialTransform", "MirrorTransform"))
    return is_spatial or (isinstance(settings, Mapping) and "apply_probability" in settings)


def fold_tags(
    experiment: Experiment,
    fold: str,
    inputs: FoldInputs,
    *,
    validated: str = FINAL_CHECKPOINT,
    dagster_run_id: str | None = None,
    continues: str | None = None,
) -> dict[str, str]:
    """Returns the tags of a fold's run.

    Args:
        fold: `fold_3`; `fold_all` gives a run of type `final`.
        validated: The checkpoint that predicts, or predicted, the validation cases.
        dagster_run_id: None where no Dagster run trains the fold; the tag then says `none`, over an earlier run's.
        continues: The fold that it goes on with; None: it begins by itself.
    """
    return {
        **experiment_tags(experiment, "final" if fold == "fold_all" else "fold"),
        FOLD: fold,
        RAW_HASH: inputs.raw_hash,
        PLANS_HASH: inputs.plans_hash,
        SPLITS_HASH: inputs.splits_hash,
        TRAINING_HASH: inputs.training_hash,
        VALIDATED: validated,
        DAGSTER_RUN_ID: dagster_run_id or "none",
        **({CONTINUES: continues} if continues else {}),
    }
