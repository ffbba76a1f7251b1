"""Plans: an architecture as data, with its cycle and memory models.

The package is callable: ``hwgen.plan(graph, ...)`` is the planning step of ``hwgen.api``, which
would otherwise be hidden behind this package's name.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return import_module("hwgen.api").plan(*args, **kwargs)


sys.modules[__name__].__class__ = _CallablePackage
