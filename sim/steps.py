"""One loop that turns once a clock cycle, and coroutines that wait for what it sees.

For components with an external memory and several ports, which are no case of one stream in and one
stream out (see units.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from cocotb import start_soon
from cocotb.triggers import RisingEdge

from .axi import AxiMemory
from .streams import is_high, reset

PATIENCE = 3000
"""Cycles until something that is waited for must have happened."""


class Steps:
    """Steps a memory, and looks at the design in each cycle.

    Parameters
    ----------
    clk, rst : of the design. memory : behind its AXI4 ports; None: it has none. watchers : are
    called in each cycle, just before the clock edge takes effect.
    """

    def __init__(
        self, clk: Any, rst: Any, memory: AxiMemory | None, watchers: Sequence[Callable[[], None]]
    ) -> None:
        self.clk, self.rst, self.memory, self.watchers = clk, rst, memory, list(watchers)
        self.cycle = 0

    async def begin(self, idle: Sequence[Any]) -> None:
        """Reset with all inputs low, and start the loop."""
        driven = self.memory.idle if self.memory is not None else []
        await reset(self.clk, self.rst, [*idle, *driven])
        start_soon(self._loop())

    async def _loop(self) -> None:
        edge, memory = RisingEdge(self.clk), self.memory
        while True:
            if memory is not None:
                memory.drive(self.cycle, self.cycle)
            await edge
            if memory is not None:
                memory.sample(self.cycle)
            for watcher in self.watchers:
                watcher()
            self.cycle += 1

    async def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait for something. Raises AssertionError after PATIENCE cycles."""
        edge = RisingEdge(self.clk)
        for _ in range(PATIENCE):
            if happened():
                return
            await edge
        raise AssertionError(f"cycle {self.cycle}: {what} after {PATIENCE} cycles")

    async def offer(self, valid: Any, ready: Any, field: Any, beat: int) -> None:
        """A beat of a stream, until it is taken."""
        edge = RisingEdge(self.clk)
        field.value, valid.value = beat, 1
        for _ in range(PATIENCE):
            await edge
            if is_high(ready):
                valid.value = 0
                return
        raise AssertionError(f"cycle {self.cycle}: {field._name} is not taken")
