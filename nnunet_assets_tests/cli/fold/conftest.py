from nnunet_assets_tests.assets.conftest import instance

__all__ = ["instance"]
