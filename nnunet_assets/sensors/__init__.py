"""What happens by itself: summaries follow folds, ensembles their members, dead runs are closed, a report at night."""

from nnunet_assets.sensors.adoption import build_adoption_sensor
from nnunet_assets.sensors.dead_runs import close_dead_runs
from nnunet_assets.sensors.ensembles import build_ensemble_sensor, followers
from nnunet_assets.sensors.lost_retries import build_retry_sensor
from nnunet_assets.sensors.refresh import build_nightly_report, build_refresh_sensor
from nnunet_assets.sensors.registration import build_registration_sensor

__all__ = [
    "build_adoption_sensor",
    "build_ensemble_sensor",
    "build_nightly_report",
    "build_refresh_sensor",
    "build_registration_sensor",
    "build_retry_sensor",
    "close_dead_runs",
    "followers",
]
