"""The cocotb benches of hwgen_sim, as verification uses them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from ..errors import OptionError, ToolError
from .engine import DesignFault


@contextmanager
def benches() -> Iterator[None]:
    """Within the block modules of hwgen_sim can be imported, and their benches run.

    They import cocotb, which no other command needs. Raises OptionError when they are missing,
    DesignFault where a bench found the design at fault, ToolError where its simulation failed
    otherwise.
    """
    try:
        # A type checker does not see that sim/ installs under this name.
        from hwgen_sim.runner import BenchError  # pyright: ignore[reportMissingImports]
    except ModuleNotFoundError as missing:
        raise OptionError(
            f"the cocotb benches can not be imported ({missing})", hint="pip install hwgen"
        ) from None
    try:
        yield
    except BenchError as error:
        if error.checked:
            raise DesignFault(error.checked[0]) from None
        raise ToolError(str(error)) from None
