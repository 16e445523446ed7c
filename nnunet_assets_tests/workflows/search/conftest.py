from nnunet_assets_tests.assets.conftest import _clean_environment

__all__ = ["_clean_environment"]
