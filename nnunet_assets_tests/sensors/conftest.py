"""A sensor's project and instance are those of the assets that it starts."""

from nnunet_assets_tests.assets.conftest import _clean_environment, instance, project

__all__ = ["_clean_environment", "instance", "project"]
