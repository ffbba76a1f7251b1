"""The tiled engine as a whole: registers, DMA, tile units."""

from __future__ import annotations

from amaranth.hdl import Module, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...contract.engine import EngineShape
from ...gateware.common.streams import connect
from ...gateware.engine.compute.tile_units import TileUnits
from ...gateware.engine.csr import TiledControl
from ...gateware.engine.memory.dma import READ_CHANNELS, WRITE_CHANNELS, Dma
from ..ports import AXI_LITE


class TiledTop(wiring.Component):
    """AXI4-Lite control and status, AXI4 to external memory, an interrupt.

    Parameters: the engine's shape; ``model_hash`` (64 bits) for the identity registers.

    Members: s_axi_*, m_axi_* as flat signals; irq.
    """

    def __init__(self, shape: EngineShape, model_hash: int) -> None:
        self.shape = shape
        self.control = TiledControl(shape, model_hash)
        self.dma, self.units = Dma(shape), TileUnits(shape)
        members = {"irq": Out(1)}
        for name in AXI_LITE:
            members[f"s_axi_{name}"] = self.control.signature.members[name]
        for name in (*READ_CHANNELS, *WRITE_CHANNELS):
            members[f"m_axi_{name}"] = self.dma.signature.members[name]
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.control, m.submodules.dma = self.control, self.dma
        control, dma, units = self.control, self.dma, self.units
        m.submodules.tile_units = ResetInserter(dma.flush)(units)
        for prefix, part in (("s_axi_", control), ("m_axi_", dma)):
            for name, member in self.signature.members.items():
                if name.startswith(prefix):
                    ours, theirs = getattr(self, name), getattr(part, name.removeprefix(prefix))
                    pair = (theirs, ours) if member.flow == In else (ours, theirs)
                    m.d.comb += pair[0].eq(pair[1])
        connect(m, dma.compute, units.command)
        wiring.connect(m, dma.load_features, units.load)
        wiring.connect(m, dma.store_features, units.store)
        for name in ("weight_write", "parameter_write", "table_write"):
            wiring.connect(m, getattr(dma, name), getattr(units, name))
        m.d.comb += [
            self.irq.eq(control.irq),
            *(getattr(dma, name).eq(getattr(control, name))
              for name in ("base", "limit", "lowest", "program", "program_end", "start")),
            *(getattr(control, name).eq(getattr(dma, name))
              for name in ("done", "error", "layer", "read_beat", "write_beat")),
            units.load_units.eq(dma.load_units),
            units.store_units.eq(dma.store_units),
            dma.finished_compute.eq(units.finished),
            dma.fault_compute.eq(units.fault),
            dma.fault_compute_layer.eq(units.fault_layer),
        ]  # fmt: skip
        for name, value in self.probes().items():
            probe = Signal(len(value), name=f"probe_{name}")
            m.d.comb += probe.eq(value)
        return m

    def probes(self) -> dict[str, Value]:
        """Events that the bench watches, in signals ``probe_NAME``: of all tile units, the first
        one's lowest, the steps of their arrays, the beginnings of tiles and the words that move
        (see TileArray.events); what is finished, and the start and end of a run."""
        return {
            "issue": self.units.issue,
            "begin": self.units.begins,
            "buffers": self.units.events,
            "tile": self.units.finished,
            "load": self.dma.loads.finished,
            "store": self.dma.write.finished,
            "start": self.control.start,
            "done": self.dma.done,
        }
