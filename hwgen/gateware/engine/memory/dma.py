"""Everything of a tiled engine that stands between external memory and its buffers."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....contract.isa import COMPUTE, ErrorCode
from ...bus.axi import ADDRESS_BITS, LAYER_BITS
from ...bus.read_master import ReadMaster
from ...bus.write_master import WriteMaster
from ...common.streams import connect
from ..fetch.descriptor_layout import layout
from ..fetch.fetcher import CODE_BITS, Fetcher, fault
from .feature_ports import read_port, write_port
from .load import LoadUnit
from .store import StoreUnit

READ_CHANNELS = (
    "araddr", "arlen", "arsize", "arburst", "arvalid", "arready",
    "rdata", "rresp", "rlast", "rvalid", "rready",
)  # fmt: skip
WRITE_CHANNELS = (
    "awaddr", "awlen", "awsize", "awburst", "awvalid", "awready",
    "wdata", "wstrb", "wlast", "wvalid", "wready", "bresp", "bvalid", "bready",
)  # fmt: skip
LOADS, PROGRAM = 0, 1
"""Owners of what is read."""


class Dma(wiring.Component):
    """Fetcher, load unit, store unit and their masters: runs programs but for their tiles.

    Parameters
    ----------
    shape : of the engine. outstanding : bursts under way each way. max_beats : of the longest
    burst. read_buffer, write_buffer : beats that the masters hold.

    Members
    -------
    ar*, r*, aw*, w*, b* : AXI4, flat. base, limit, lowest (in): address of the memory image, its
    bytes, the offset below which nothing is written; they stay as they are while busy. start,
    program (in), busy, done, error, layer (out): see Fetcher. program_end (in): offset behind the
    program, nothing from there on is read as one; it stays too. flush (out): the compute unit and
    all behind it are to be reset, for one cycle (ResetInserter). compute (out stream of COMPUTE),
    finished_compute (in), fault_compute, fault_compute_layer (in): of the compute unit.
    load_features, store_features : clients of the feature-map memory. weight_write,
    parameter_write, table_write : see LoadUnit. load_units, store_units (out): whose memories
    these are about, see LoadUnit and StoreUnit. read_beat, write_beat (out): a beat passes.

    Latencies are those of the parts.
    """

    def __init__(
        self,
        shape: EngineShape,
        outstanding: int = 16,
        max_beats: int = 64,
        read_buffer: int = 512,
        write_buffer: int = 128,
    ) -> None:
        self.shape = shape
        bus = shape.bus_bytes
        self.read = ReadMaster(bus, outstanding, max_beats, read_buffer)
        self.write = WriteMaster(bus, outstanding, max_beats, write_buffer)
        self.loads, self.stores = LoadUnit(shape), StoreUnit(shape)
        self.fetcher = Fetcher(bus, shape.tiles)
        members = {
            "base": In(ADDRESS_BITS), "limit": In(ADDRESS_BITS), "lowest": In(ADDRESS_BITS),
            "start": In(1), "program": In(ADDRESS_BITS), "program_end": In(ADDRESS_BITS),
            "busy": Out(1), "done": Out(1), "error": Out(CODE_BITS), "layer": Out(LAYER_BITS),
            "flush": Out(1),
            "compute": Out(stream.Signature(layout(COMPUTE))),
            "finished_compute": In(1),
            "fault_compute": In(1), "fault_compute_layer": In(LAYER_BITS),
            "load_features": Out(write_port(shape, stalls=True)),
            "store_features": Out(read_port(shape)),
            "load_units": Out(shape.tiles), "store_units": Out(shape.tiles),
            "read_beat": Out(1), "write_beat": Out(1),
        }  # fmt: skip
        for name in ("weight_write", "parameter_write", "table_write"):
            members[name] = self.loads.signature.members[name]
        for master, names in ((self.read, READ_CHANNELS), (self.write, WRITE_CHANNELS)):
            for name in names:
                members[name] = master.signature.members[name]
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.submodules.fetcher = fetcher = self.fetcher
        read, write, loads, stores = self.read, self.write, self.loads, self.stores
        parts = {"read_master": read, "write_master": write, "load": loads, "store": stores}
        for name, part in parts.items():
            m.submodules[name] = ResetInserter(fetcher.flush)(part)
        for master, names in ((read, READ_CHANNELS), (write, WRITE_CHANNELS)):
            for name in names:
                ours, theirs = getattr(self, name), getattr(master, name)
                inward = master.signature.members[name].flow == In
                m.d.comb += theirs.eq(ours) if inward else ours.eq(theirs)
        connect(m, loads.request, read.request[LOADS])
        connect(m, fetcher.request, read.request[PROGRAM])
        connect(m, read.data[LOADS], loads.data)
        connect(m, read.data[PROGRAM], fetcher.data)
        connect(m, stores.request, write.request)
        connect(m, stores.data, write.data)
        connect(m, fetcher.load, loads.command)
        connect(m, fetcher.store, stores.command)
        connect(m, fetcher.compute, wiring.flipped(self.compute))
        wiring.connect(m, loads.features, wiring.flipped(self.load_features))
        wiring.connect(m, stores.features, wiring.flipped(self.store_features))
        for name in ("weight_write", "parameter_write", "table_write"):
            wiring.connect(m, getattr(loads, name), wiring.flipped(getattr(self, name)))
        self._control(m)
        self._faults(m)
        return m

    def _control(self, m: Module) -> None:
        fetcher, read, write = self.fetcher, self.read, self.write
        for name in ("busy", "done", "error", "layer", "flush"):
            m.d.comb += getattr(self, name).eq(getattr(fetcher, name))
        for master in (read, write):
            m.d.comb += [
                master.base.eq(self.base),
                master.limit.eq(self.limit),
                master.stop.eq(fetcher.stop),
            ]
        program_limit = Signal(ADDRESS_BITS, name="program_limit")
        ends_early = self.program_end < self.limit
        m.d.sync += program_limit.eq(Mux(ends_early, self.program_end, self.limit))
        m.d.comb += [
            write.lowest.eq(self.lowest),
            fetcher.limit.eq(program_limit),
            fetcher.program.eq(self.program),
            fetcher.start.eq(self.start),
            fetcher.masters_idle.eq(read.idle & write.idle),
            fetcher.finished_load.eq(self.loads.finished),
            fetcher.finished_compute.eq(self.finished_compute),
            fetcher.finished_store.eq(write.finished),
            self.load_units.eq(self.loads.units),
            self.store_units.eq(self.stores.units),
            self.read_beat.eq(read.beat),
            self.write_beat.eq(write.beat),
        ]

    def _faults(self, m: Module) -> None:
        loads, stores, read, write = self.loads, self.stores, self.read, self.write
        seen = {
            ErrorCode.LOAD: (loads.bad, loads.bad_layer),
            ErrorCode.STORE: (stores.bad, stores.bad_layer),
            ErrorCode.COMPUTE: (self.fault_compute, self.fault_compute_layer),
            ErrorCode.READ: (loads.failed, loads.failed_layer),
            ErrorCode.WRITE: (write.error, write.error_layer),
            ErrorCode.LOAD_OUTSIDE: (read.outside[LOADS], read.outside_layer[LOADS]),
            ErrorCode.STORE_OUTSIDE: (write.outside, write.outside_layer),
        }
        for code, (signal, layer) in seen.items():
            m.d.comb += [
                getattr(self.fetcher, fault(code)).eq(signal),
                getattr(self.fetcher, f"{fault(code)}_layer").eq(layer),
            ]
