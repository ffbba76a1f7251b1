"""The cocotb benches of hwgen_sim, as verification uses them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

from ..errors import OptionError, ToolError
from .engine import DesignFault


def run_bench(module: str, function: str, *arguments: Any, **options: Any) -> Any:
    """What a function of a module of hwgen_sim gives.

    Raises OptionError when the benches are missing, DesignFault where a bench found the design at
    fault, ToolError where the simulation failed otherwise; and what the function raises besides.
    """
    try:
        # The benches import cocotb, which no other command needs.
        benches = import_module(f"hwgen_sim.{module}")
    except ModuleNotFoundError as missing:
        raise OptionError(
            f"the cocotb benches can not be imported ({missing})", hint="pip install hwgen"
        ) from None
    called: Callable[..., Any] = getattr(benches, function)
    try:
        return called(*arguments, **options)
    except benches.BenchError as error:
        if error.checked:
            raise DesignFault(error.checked[0]) from None
        raise ToolError(str(error)) from None
