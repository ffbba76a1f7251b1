"""hwgen: a quantized neural network in, a verified hardware accelerator out.

    graph = hwgen.load("model.h5")
    package = hwgen.build("model.h5", "rtl_out/model", multipliers=64)
    hwgen.verify(package).equal

See ``hwgen.api`` for all steps; they are imported when first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .errors import ToolError, UserError

if TYPE_CHECKING:
    from .api import build, load, run, synthesize, verify
    from .api import plan as plan

__all__ = ["ToolError", "UserError", "build", "load", "plan", "run", "synthesize", "verify"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from . import api

        # The room hwgen.plan is callable itself (see there).
        return getattr(api, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
