"""Pools: maximum or sum of the elements of each window, channel by channel."""

from __future__ import annotations

from enum import Enum

from amaranth.hdl import Array, Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...contract.geometry import WindowGeometry
from ..common.counter import Counter, delay_line, index_shape, reg
from ..common.fifo import CreditFifo
from ..common.memory import SimpleDualPort
from ..common.requantizer import greater
from ..common.streams import beat, connect, positive, stream_of
from .conv import Depths
from .ring import RowRing
from .window import WindowAssembler


class PoolReduction(Enum):
    """What a pool makes of a window."""

    MAX = "max"
    SUM = "sum"

    def result(self, shape: Shape, taps: int) -> Shape:
        """Shape of the result of ``taps`` elements."""
        if self is PoolReduction.MAX:
            return shape
        width = shape.width + (taps - 1).bit_length()
        return signed(width) if shape.signed else unsigned(width)

    def combine(self, a: Value, b: Value) -> Value:
        """Two elements (or partial results) into one."""
        return Mux(greater(a, b), a, b) if self is PoolReduction.MAX else a + b

    def neutral(self, shape: Shape) -> int:
        """What does not change a result."""
        if self is PoolReduction.SUM:
            return 0
        return -(1 << (shape.width - 1)) if shape.signed else 0


class StreamPool(wiring.Component):
    """Pool whose windows do not overlap (stride >= kernel): no line buffer.

    Each element meets the partial result of its window, kept in a memory of one output row.

    Parameters: shape of an element, geometry, reduction, ``depths.fifo``; ``result`` shape of an
    output element, where the elements are known to need less than any sum of ``shape`` does.
    Members: i, o streams of ``geometry.lanes``; issue (out): a beat is taken; level (out).

    Takes a beat a cycle; the beat that completes a window gives its result to the output FIFO
    LATENCY cycles later: the partial result is read, chosen, combined, written.
    """

    LATENCY = 3

    def __init__(
        self,
        shape: Shape,
        geometry: WindowGeometry,
        reduction: PoolReduction,
        depths: Depths,
        result: Shape | None = None,
    ) -> None:
        if any(s < k for s, k in zip(geometry.stride, geometry.kernel, strict=True)):
            raise ValueError("windows overlap")
        positive(fifo=depths.fifo)
        self.shape, self.geometry, self.reduction = shape, geometry, reduction
        self.depths = depths
        taps = geometry.kernel[0] * geometry.kernel[1]
        self.result_shape = result or reduction.result(shape, taps)
        super().__init__(
            {
                "i": In(stream_of(shape, geometry.lanes)),
                "o": Out(stream_of(self.result_shape, geometry.lanes)),
                "issue": Out(1),
                "level": Out(index_shape(depths.fifo + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        g = self.geometry
        m.submodules.fifo = fifo = CreditFifo(beat(self.result_shape, g.lanes), self.depths.fifo)
        connect(m, fifo.o, wiring.flipped(self.o))
        chunk = Counter(g.beats, "chunk")
        take = Signal(name="taking")
        with m.If(take):
            chunk.step(m)
        step_pixel = take & chunk.last
        x = _WindowPhase(m, "x", g, 1, step_pixel)
        y = _WindowPhase(m, "y", g, 0, step_pixel & x.at_end)
        completes = x.completes & y.completes
        m.d.comb += [
            take.eq(self.i.valid & (~completes | fifo.room)),
            self.i.ready.eq(take),
            self.issue.eq(take),
            fifo.take.eq(take & completes),
            self.level.eq(fifo.level),
        ]
        self._combine(m, fifo, take, chunk, x, y)
        return m

    def _combine(self, m: Module, fifo, take: Value, chunk: Counter, x, y) -> None:
        g = self.geometry
        bits = (g.beats - 1).bit_length()
        partial = beat(self.result_shape, g.lanes)
        m.submodules.partial = storage = SimpleDualPort(
            partial.size, g.out_size[1] << bits, forwards=True
        )
        address = Cat(chunk.value[:bits], x.window)
        begins = delay_line(m, x.begins & y.begins, 1, "begins", data=True)
        used = take & x.inside & y.inside
        ends = delay_line(m, take & x.completes & y.completes, 3, "ends")
        before, written = reg(partial, "before"), reg(partial, "written")
        result = Signal(partial, name="result")
        data = reg(beat(self.shape, g.lanes), "data")
        m.d.sync += data.eq(delay_line(m, self.i.payload, 1, "data", data=True))
        for lane in range(g.lanes):
            m.d.comb += result[lane].eq(self.reduction.combine(before[lane], data[lane]))
        m.d.sync += written.eq(result)
        # What is read in this cycle may be on its way to the memory: computed now, or written.
        stored: Value = Value.cast(storage.r_data)
        for distance, value in ((2, written), (1, result)):
            if g.beats <= distance:
                earlier = Cat(address, used)
                near = delay_line(m, earlier, distance, f"earlier{distance}") == Cat(address, 1)
                stored = Mux(delay_line(m, near, 1, f"near{distance}"), value, stored)
        neutral = Const(self.reduction.neutral(self.result_shape), self.result_shape)
        m.d.sync += before.eq(Mux(begins, Cat(neutral for _ in range(g.lanes)), stored))
        m.d.comb += [
            storage.r_en.eq(1),
            storage.r_addr.eq(address),
            storage.w_en.eq(delay_line(m, used, 3, "used")),
            storage.w_addr.eq(delay_line(m, address, 3, "written_address", data=True)),
            storage.w_data.eq(written),
            fifo.data.eq(written),
            fifo.push.eq(ends),
        ]


class _WindowPhase:
    """Where one coordinate stands in its window.

    ``begins``: first real element of a window, ``completes``: last one, ``inside``: in one at
    all; ``window``: its index; ``at_end``: last coordinate of the frame.
    """

    def __init__(self, m: Module, name: str, g: WindowGeometry, axis: int, step: Value) -> None:
        size, kernel, stride = g.size[axis], g.kernel[axis], g.stride[axis]
        pad, count = g.pads[axis][0], g.out_size[axis]
        position = Counter(size, f"{name}_position")
        self.window = Signal(index_shape(count), name=f"{name}_window")
        tap = Signal(index_shape(max(stride, kernel)), name=f"{name}_tap", init=pad)
        beyond = Signal(name=f"{name}_beyond")
        self.at_end = position.last
        self.inside = (tap < kernel) & ~beyond
        self.begins = (tap == 0) | (position.value == 0)
        # A register, since whether a beat is taken begins with it.
        self.completes = Signal(name=f"{name}_completes", init=pad == kernel - 1 or size == 1)
        ends, beyond_next = Signal(name=f"{name}_ends"), Signal(name=f"{name}_beyond_next")
        m.d.comb += [
            ends.eq(tap == stride - 1),
            beyond_next.eq(beyond | (ends & (self.window == count - 1))),
        ]
        at_last = position.value == size - 2
        completes_next = Mux(
            ends, (kernel == 1) | at_last, ((tap == kernel - 2) | at_last) & (tap < kernel - 1)
        )
        with m.If(step):
            position.step(m)
            m.d.sync += [
                tap.eq(Mux(ends, 0, tap + 1)),
                self.window.eq(self.window + ends),
                beyond.eq(beyond_next),
                self.completes.eq(completes_next & ~beyond_next),
            ]
            with m.If(position.last):
                m.d.sync += [tap.eq(pad), self.window.eq(0), beyond.eq(0)]
                m.d.sync += self.completes.eq(self.completes.init)


class WindowPool(wiring.Component):
    """Pool of any kernel and stride: ring of rows, window, reduction tree.

    Parameters and members as StreamPool, with ``ring_level``. A window takes one cycle for each
    beat of a pixel; its beat reaches the output FIFO ``latency`` cycles later.
    """

    def __init__(
        self,
        shape: Shape,
        geometry: WindowGeometry,
        reduction: PoolReduction,
        depths: Depths,
        result: Shape | None = None,
    ) -> None:
        if geometry.pixels != 1:
            raise ValueError("a pool makes one pixel at a time")
        positive(rows=depths.rows, windows=depths.windows, fifo=depths.fifo)
        self.shape, self.geometry, self.reduction = shape, geometry, reduction
        self.depths = depths
        self.taps = geometry.kernel[0] * geometry.kernel[1]
        self.result_shape = result or reduction.result(shape, self.taps)
        super().__init__(
            {
                "i": In(stream_of(shape, geometry.lanes)),
                "o": Out(stream_of(self.result_shape, geometry.lanes)),
                "issue": Out(1),
                "ring_level": Out(index_shape(depths.rows + 1)),
                "window_level": Out(index_shape(depths.windows + 1)),
                "level": Out(index_shape(depths.fifo + 1)),
            }
        )

    @property
    def latency(self) -> int:
        """Operand register and one register for each level of the binary tree."""
        return 1 + (self.taps - 1).bit_length()

    def elaborate(self, platform):
        m = Module()
        g, d = self.geometry, self.depths
        m.submodules.ring = ring = RowRing(self.shape, g, d.rows, d.parallel)
        m.submodules.window = window = WindowAssembler(self.shape, g, d.parallel, d.windows)
        m.submodules.fifo = fifo = CreditFifo(beat(self.result_shape, g.lanes), d.fifo)
        connect(m, wiring.flipped(self.i), ring.i)
        connect(m, ring.o, window.i)
        connect(m, fifo.o, wiring.flipped(self.o))
        chunk = Counter(g.beats, "chunk")
        issue = Signal(name="issuing")
        m.d.comb += [
            issue.eq(window.o.valid & fifo.room),
            fifo.take.eq(issue),
            self.issue.eq(issue),
            window.o.ready.eq(issue & chunk.last),
            self.ring_level.eq(ring.level),
            self.window_level.eq(window.level),
            self.level.eq(fifo.level),
            fifo.push.eq(delay_line(m, issue, self.latency, "push")),
            fifo.data.eq(Cat(*(self._lane(m, window.o.payload, chunk, i) for i in range(g.lanes)))),
        ]
        with m.If(issue):
            chunk.step(m)
        return m

    def _lane(self, m: Module, window, chunk: Counter, lane: int) -> Value:
        g = self.geometry
        terms = []
        for row in range(g.kernel[0]):
            for column in range(g.kernel[1]):
                taps = window.taps[column][row]
                choice = Array([taps[c * g.lanes + lane] for c in range(g.beats)])[chunk.value]
                value = reg(self.shape, f"tap{lane}_{row}_{column}")
                real = window.rows[row] & window.columns[column]
                neutral = Const(self.reduction.neutral(self.shape), self.shape)
                m.d.sync += value.eq(Mux(real, choice, neutral))
                terms.append(value)
        level = 0
        while len(terms) > 1:
            sums = []
            for start in range(0, len(terms), 2):
                pair = terms[start : start + 2]
                value = self.reduction.combine(*pair) if len(pair) == 2 else pair[0]
                register = reg(Value.cast(value).shape(), f"r{lane}_{level}_{start}")
                m.d.sync += register.eq(value)
                sums.append(register)
            terms, level = sums, level + 1
        result = Signal(self.result_shape, name=f"result{lane}")
        m.d.comb += result.eq(terms[0])
        return result
