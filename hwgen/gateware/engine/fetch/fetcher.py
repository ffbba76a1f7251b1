"""Fetcher: runs a program of descriptors from its start to its end, or to its first error."""

from __future__ import annotations

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.isa import RECORDS, ErrorCode
from ...bus.axi import ADDRESS_BITS, LAYER_BITS, REQUEST, read_beat
from ...common.counter import reg
from ...common.streams import connect
from .descriptor_layout import layout
from .dispatcher import UNITS, Dispatcher
from .prefetch import Prefetch

FAULTS = (
    ErrorCode.LOAD,
    ErrorCode.STORE,
    ErrorCode.COMPUTE,
    ErrorCode.READ,
    ErrorCode.WRITE,
    ErrorCode.LOAD_OUTSIDE,
    ErrorCode.STORE_OUTSIDE,
)
"""Faults that units and masters see; the fetcher sees the others itself."""
CODE_BITS = 4


def fault(code: ErrorCode) -> str:
    """The member that tells of a fault; its layer is that with ``_layer`` behind it."""
    return f"fault_{code.name.lower()}"


class Fetcher(wiring.Component):
    """Reads descriptors, gives them to their units in time, and sees how it ends.

    Parameters
    ----------
    bus_bytes : of a beat. tiles : tile units that share the descriptors of tiles.

    Members
    -------
    start (in), for one cycle, ignored while busy; program, limit (in): see Prefetch; limit may come
    a cycle later. request (out stream of REQUEST), data (in stream of read_beat): of a ReadMaster.
    load, compute, store (out streams), finished_load, finished_compute, finished_store (in): of the
    units, see Dispatcher.
    fault_*, fault_*_layer (in): a unit or a master found an error of FAULTS, for one cycle.
    masters_idle (in). busy (out). stop (out): masters are to begin nothing. flush (out), for one
    cycle: all units and masters are to be reset (ResetInserter). done (out), for one cycle: the run
    is over; error, layer (out): its ErrorCode and where, kept until the next start.

    After a start in t the first request is there in t+START, and a slot's last beat that comes at
    ``data`` in u has its transfer offered in u+OFFER, a tile a cycle for each of its beats but one
    later. At the end, or at an error, nothing begins any more; when the masters are idle, all is
    reset, and done comes: CLOSE cycles after the last ``finished`` if they are.
    """

    START = Prefetch.START
    OFFER = 5
    CLOSE = 5

    def __init__(self, bus_bytes: int, tiles: int = 1) -> None:
        self.bus_bytes, self.tiles = bus_bytes, tiles
        super().__init__(
            {
                "start": In(1), "program": In(ADDRESS_BITS), "limit": In(ADDRESS_BITS),
                "request": Out(stream.Signature(REQUEST)),
                "data": In(stream.Signature(read_beat(bus_bytes))),
                "masters_idle": In(1),
                "busy": Out(1), "stop": Out(1), "flush": Out(1), "done": Out(1),
                "error": Out(CODE_BITS), "layer": Out(LAYER_BITS),
            }
            | {unit: Out(stream.Signature(layout(RECORDS[op]))) for unit, op in UNITS.items()}
            | {f"finished_{unit}": In(1) for unit in UNITS}
            | {fault(code): In(1) for code in FAULTS}
            | {f"{fault(code)}_layer": In(LAYER_BITS) for code in FAULTS}
        )  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        prefetch = Prefetch(self.bus_bytes)
        dispatcher = Dispatcher(self.bus_bytes, self.tiles)
        m.submodules.prefetch = ResetInserter(self.flush)(prefetch)
        m.submodules.dispatcher = ResetInserter(self.flush)(dispatcher)
        connect(m, prefetch.request, wiring.flipped(self.request))
        connect(m, wiring.flipped(self.data), prefetch.data)
        connect(m, prefetch.o, dispatcher.i)
        for unit in UNITS:
            connect(m, getattr(dispatcher, unit), wiring.flipped(getattr(self, unit)))
            name = f"finished_{unit}"
            m.d.comb += getattr(dispatcher, name).eq(getattr(self, name))
        m.d.comb += [
            prefetch.program.eq(self.program),
            prefetch.limit.eq(self.limit),
            dispatcher.starved.eq(prefetch.starved),
            dispatcher.moving.eq(~self.masters_idle),
            self.done.eq(self.flush),
        ]
        self._run(m, prefetch, dispatcher)
        return m

    def _run(self, m: Module, prefetch: Prefetch, dispatcher: Dispatcher) -> None:
        # Faults come from all over the engine: chosen among in a cycle of their own.
        ends, code = Signal(name="run_ends"), reg(CODE_BITS, "found")
        layer = reg(LAYER_BITS, "found_layer")
        m.d.sync += [ends.eq(dispatcher.finished), code.eq(ErrorCode.NONE), layer.eq(0)]
        for fault_code, signal, of_layer in reversed(self._errors(dispatcher)):
            with m.If(signal):
                m.d.sync += [ends.eq(1), code.eq(fault_code), layer.eq(of_layer)]
        m.d.sync += self.flush.eq(0)
        with m.FSM(name="run"):
            with m.State("IDLE"):
                m.d.comb += prefetch.start.eq(self.start)
                with m.If(self.start):
                    m.d.sync += [self.error.eq(ErrorCode.NONE), self.layer.eq(0), self.busy.eq(1)]
                    m.next = "RUN"
            with m.State("RUN"), m.If(ends):
                m.d.sync += [self.error.eq(code), self.layer.eq(layer), self.stop.eq(1)]
                m.next = "DRAIN"
            with m.State("DRAIN"), m.If(self.masters_idle):
                m.d.sync += self.flush.eq(1)
                m.next = "FLUSH"
            with m.State("FLUSH"):
                m.d.sync += [self.stop.eq(0), self.busy.eq(0)]
                m.next = "IDLE"

    def _errors(self, dispatcher: Dispatcher) -> list[tuple]:
        """Code, signal and layer of all errors, the weightier first."""
        ours = {
            ErrorCode.UNKNOWN_OP: (dispatcher.unknown, dispatcher.layer),
            ErrorCode.FETCH: (dispatcher.broken, dispatcher.layer),
            ErrorCode.FETCH_OUTSIDE: (dispatcher.runs_out, dispatcher.layer),
            ErrorCode.STALL: (dispatcher.stalled, dispatcher.stalled_layer),
        }
        theirs = [
            (code, getattr(self, fault(code)), getattr(self, f"{fault(code)}_layer"))
            for code in FAULTS
        ]
        return theirs + [(code, *pair) for code, pair in ours.items()]
