"""hwgen: a quantized neural network in, a verified hardware accelerator out.

    graph = hwgen.load("model.h5")
    package = hwgen.build("model.h5", "rtl_out/model", multipliers=64)
    hwgen.verify(package).equal

See ``hwgen.api`` for all steps; they are imported when first used.
"""

from __future__ import annotations

import sys
from types import ModuleType

TYPE_CHECKING = False
"""Typing's own would be imported before an interruption can be met; see ``entry``."""
if TYPE_CHECKING:
    from typing import Any

    from .api import Memory, build, load, plan, run, synthesize, verify
    from .errors import ToolError, UserError

    __version__: str

__all__ = [
    "Memory", "ToolError", "UserError", "__version__", "build", "load", "plan", "run", "synthesize",
    "verify",
]  # fmt: skip


class _Package(ModuleType):
    """Steps are imported from ``hwgen.api`` when they are first used."""

    @property
    def plan(self) -> Any:
        """The step, not the room of the same name, which the import system would put here."""
        from . import api

        return api.plan

    @plan.setter
    def plan(self, room: ModuleType) -> None:
        pass


sys.modules[__name__].__class__ = _Package


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return _version()
    if name in ("ToolError", "UserError"):
        from . import errors

        return getattr(errors, name)
    if name in __all__:
        from . import api

        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("hwgen")
    except PackageNotFoundError:  # a tree that is on the path, but not installed
        return "unknown"


def __dir__() -> list[str]:
    return sorted(__all__)
