"""Modules that take seconds to import: a process of tests that runs none of those that need them never does."""

import importlib
from typing import Any


class Late:
    """A module, imported when a test first asks it for something, not when the tests are collected.

    Who changes it names it to `monkeypatch`: `setattr("torch.load", ...)`.
    """

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith(("_", "pytest", "call")):  # pytest looks whether it is a fixture
            raise AttributeError(attribute)
        return getattr(importlib.import_module(self._name), attribute)
