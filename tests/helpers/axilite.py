"""AXI4-Lite master for a component's flat signals."""

from __future__ import annotations

from typing import Any


class Lite:
    """Reads and writes 32-bit registers; ``prefix`` stands before every signal's name.

    ``cycles`` counts those it has taken.
    """

    def __init__(self, component: Any, prefix: str = "") -> None:
        self.component, self.prefix = component, prefix
        self.cycles = 0

    def _signal(self, name: str) -> Any:
        return getattr(self.component, self.prefix + name)

    async def _handshake(self, ctx: Any, valid: str, ready: str) -> None:
        ctx.set(self._signal(valid), 1)
        for _ in range(20):
            _, _, accepted = await ctx.tick().sample(self._signal(ready))
            self.cycles += 1
            if accepted:
                ctx.set(self._signal(valid), 0)
                return
        raise AssertionError(f"{ready} did not come")

    async def read(self, ctx: Any, address: int) -> int:
        """The register at ``address``."""
        ctx.set(self._signal("araddr"), address)
        await self._handshake(ctx, "arvalid", "arready")
        assert ctx.get(self._signal("rvalid")), "no answer after one cycle"
        value = ctx.get(self._signal("rdata"))
        assert ctx.get(self._signal("rresp")) == 0
        ctx.set(self._signal("rready"), 1)
        await ctx.tick()
        self.cycles += 1
        ctx.set(self._signal("rready"), 0)
        return value

    async def write(self, ctx: Any, address: int, value: int, strobe: int = 15) -> None:
        """Write the register at ``address``."""
        ctx.set(self._signal("awaddr"), address)
        ctx.set(self._signal("wdata"), value)
        ctx.set(self._signal("wstrb"), strobe)
        ctx.set(self._signal("awvalid"), 1)
        await self._handshake(ctx, "wvalid", "wready")
        ctx.set(self._signal("awvalid"), 0)
        assert not ctx.get(self._signal("bvalid")), "an answer after one cycle"
        await ctx.tick()
        self.cycles += 1
        assert ctx.get(self._signal("bvalid")), "no answer after two cycles"
        assert ctx.get(self._signal("bresp")) == 0
        ctx.set(self._signal("bready"), 1)
        await ctx.tick()
        self.cycles += 1
        ctx.set(self._signal("bready"), 0)
