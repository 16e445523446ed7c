from nnunet_assets_tests.assets.conftest import _clean_environment, new_store, project

__all__ = ["_clean_environment", "new_store", "project"]
