"""The way from a tap's row and position to the operands of the MAC array, for the tiled engine."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import BANKS, EngineShape
from ....contract.features import Feature, asks
from ....contract.isa import COMPUTE, WINDOW_TAPS, Reduction, row_lanes
from ...common.counter import delay_line, from_on, index_shape, reg
from ...common.multiplier import LowProduct
from ..fetch.descriptor_layout import layout
from ..memory.feature_memory import FeatureMemory


class TapFetch(wiring.Component):
    """Reads ifmap values of one step a cycle, pads them, spreads them over the array.

    The feature memory is read only where a step takes other values than the one before, and only
    for rows and positions that hold some; the operands stay.

    Parameters: the engine's shape.

    Members
    -------
    command (in): COMPUTE record; steady from a step until its operands are out. step (in): there is
    one in this cycle, with position, row, ring (in): of its first value; fresh (in): these are not
    those of the step before; begins (in): the first column of a row (DEPTHWISE_WINDOW).
    taps_en, taps_addr (out), taps_data (in): of the feature memory.
    shared (out): ``simd`` values for all channels, of one row or of several (``tap_rows``); own
    (out): one value for each; window (out): 9 for each. All have a bit more than an ifmap value,
    for the sign.

    Latency ``LATENCY`` from step to operands, initiation interval 1, never stalls.
    """

    ADDRESS = 4
    """Cycles from step to the feature memory: row times pitch, next row, base and position."""
    LATENCY = ADDRESS + FeatureMemory.LATENCY + 1

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        self.value = signed(shape.ifmap_bits + 1)
        most = BANKS if shape.has(Feature.TAP_ROWS) else 1
        self.lanes = [row_lanes(shape.simd, tap_rows) for tap_rows in range(most)]
        self.address = index_shape(shape.bank_bytes)
        fields = {field.name: field for field in COMPUTE.fields}
        pe_values = data.ArrayLayout(self.value, shape.pe)
        super().__init__(
            {
                "command": In(layout(COMPUTE)),
                "step": In(1),
                "fresh": In(1),
                "begins": In(1),
                "position": In(signed(fields["x_position"].width)),
                "row": In(signed(fields["x_row"].width)),
                "ring": In(fields["x_ring"].width),
                "taps_en": Out(BANKS),
                "taps_addr": Out(data.ArrayLayout(self.address, BANKS)),
                "taps_data": In(data.ArrayLayout(unsigned(8 * shape.word), BANKS)),
                "shared": Out(data.ArrayLayout(self.value, shape.simd)),
                "own": Out(pe_values),
                "window": Out(data.ArrayLayout(pe_values, WINDOW_TAPS * WINDOW_TAPS)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self.pad = self._padding(m)
        has_window, has_rows = (self.shape.has(f) for f in (Feature.WINDOW, Feature.TAP_ROWS))
        self._window = asks(self.command, Feature.WINDOW) if has_window else Const(0)
        self._tap_rows = self.command.tap_rows if has_rows else Const(0, 1)
        rows = self._read(m, self._address(m))
        values = [self._value(lane) for lane in rows[0]]
        m.d.comb += [out.eq(value) for out, value in zip(self.shared, values, strict=False)]
        m.d.comb += [out.eq(value) for out, value in zip(self.own, values, strict=False)]
        if has_window:
            self._shift(m, rows)
        return m

    def _address(self, m: Module) -> tuple[list[Value], Value]:
        """Each bank's address: that of the row among those of the step which lies in it.

        The word of a row further down begins so many bytes earlier that its first values are in the
        lanes that they belong to. Returns whether the row of each is read and exists, a cycle after
        the step, and which bytes of a word are inside the row, two cycles after it.
        """
        c, in_bank = self.command, (BANKS - 1).bit_length()
        m.submodules.row_place = place = LowProduct(
            len(self.ring) - in_bank, len(c.x_pitch), self.address.width
        )
        m.d.comb += [place.a.eq(self.ring[in_bank:]), place.b.eq(c.x_pitch)]
        ring = delay_line(m, self.ring, 2, "ring", data=True)
        here, below = reg(self.address, "row_here"), reg(self.address, "row_below")
        last_row = reg(len(c.x_ring) - in_bank, "last_row")  # known for long
        m.d.sync += last_row.eq((c.x_ring >> in_bank) - 1)
        last = ring[in_bank:] == last_row
        start = reg(self.address, "row_start")
        position = delay_line(m, self.position, 1, "position", data=True)
        first = delay_line(m, ring[:in_bank], 1, "first_bank", data=True)
        within, inside = self._within(m), self._inside(m)
        reads = delay_line(m, self.step & self.fresh, 3, "reads")
        exists = [delay_line(m, row, 2, f"exists{n}", data=True) for n, row in enumerate(within)]
        exists = Cat(exists)
        some = reg(1, "some_inside")
        m.d.sync += some.eq(inside.any())
        m.d.sync += [
            here.eq(place.p),
            below.eq(Mux(last, 0, place.p + c.x_pitch)),
            start.eq(c.x_base + position),
        ]
        earlier = Array(
            self.shape.value_bytes(below * lanes) if below <= tap_rows else 0
            for tap_rows, lanes in enumerate(self.lanes)
            for below in range(BANKS)
        )
        from_first = from_on(first, BANKS)
        for bank in range(BANKS):
            # Rows below the first of the step.
            next_behind = Signal(in_bank, name=f"next_behind{bank}")
            behind = reg(in_bank, f"behind{bank}")
            shifted = reg(self.address, f"row_start{bank}")
            m.d.comb += next_behind.eq(bank - ring[:in_bank])
            place = Mux(from_first[bank], here, below)
            m.d.sync += [
                behind.eq(next_behind),
                shifted.eq(start - earlier[Cat(next_behind, self._tap_rows)]),
                self.taps_addr[bank].eq(shifted + place),
                self.taps_en[bank].eq(reads & some & exists.bit_select(behind, 1)),
            ]
        return within, inside

    def _within(self, m: Module) -> list[Value]:
        """Whether each of the rows is one of the step's, and exists, a cycle after the step."""
        rows, c = [], self.command
        window = self._window
        for n in range(BANKS):
            within = reg(1, f"within{n}")
            row = self.row + n
            read = (self._tap_rows >= n) | (window if n < WINDOW_TAPS else 0) if n else Const(1)
            m.d.sync += within.eq(read & (row >= 0) & (row < c.x_rows))
            rows.append(within)
        return rows

    def _inside(self, m: Module) -> Value:
        """Which bytes of a word are inside the row, two cycles after the step."""
        c, word = self.command, self.shape.word
        # Lanes from ``low`` on and below ``high`` are, compared in two steps.
        limit = index_shape(word + 1)
        low, high = reg(limit, "low"), reg(limit, "high")
        room = Signal(signed(len(c.x_bytes) + 3), name="room")
        m.d.comb += room.eq(c.x_bytes - self.position)
        before = Signal.like(room, name="before")
        m.d.comb += before.eq(-self.position)
        for bound, lanes in ((low, before), (high, room)):
            # Of a power of two of lanes.
            most = lanes[len(bound) - 1 : -1].any()
            m.d.sync += bound.eq(Mux(lanes < 0, 0, Mux(most, word, lanes[: len(bound) - 1])))
        inside = reg(word, "inside")
        m.d.sync += inside.eq(Cat((low <= n) & (high > n) for n in range(word)))
        return inside

    def _padding(self, m: Module) -> Value:
        """What stands for a value where there is none."""
        given, bits = self.command.pad, self.shape.ifmap_bits
        if bits <= len(given):
            return given[:bits]
        # The descriptor's byte, as a number. Among values of which the largest is taken it is the
        # smallest there is.
        wide = Signal(bits, name="pad")
        sign = self.command.x_signed
        smallest = Cat(Const(0, bits - 1), sign)
        number = Cat(given, (given[-1] & sign).replicate(bits - len(given)))
        m.d.comb += wide.eq(Mux(self.command.reduction == Reduction.MAX, smallest, number))
        return wide

    def _read(self, m: Module, found: tuple[list[Value], Value]) -> list[list[Value]]:
        """Values of the window's three rows, or of one row where there are no windows, that of
        padding where there is none; of the first one those that are shared, which may be of other
        rows. LATENCY after step."""
        ahead, shape = self.LATENCY - 1, self.shape
        bits, stored = shape.ifmap_bits, shape.stored_bits
        in_bank = (BANKS - 1).bit_length()
        first = delay_line(m, self.ring[:in_bank], ahead - 1, "read_bank", data=True)
        fresh = delay_line(m, self.step & self.fresh, ahead, "fresh")
        inside = delay_line(m, found[1], ahead - 3, "inside", data=True)
        within = [
            delay_line(m, row, ahead - 2, f"within{n}", data=True) for n, row in enumerate(found[0])
        ]
        select, rows = self._tap_rows, []
        banks: dict[tuple[int, ...], Value] = {}
        for n in range(WINDOW_TAPS if self.shape.has(Feature.WINDOW) else 1):
            lanes = []
            for lane in range(max(shape.pe, shape.simd) if n == 0 else shape.pe):
                # The row and the value of it that a lane has, for each number of rows of a step.
                places = [(n, lane)] * len(self.lanes)
                if n == 0 and lane < shape.simd:
                    places = [(min(lane // k, BANKS - 1), lane % k) for k in self.lanes]
                below = tuple(row for row, _ in places)
                if below not in banks:
                    banks[below] = bank = reg(in_bank, f"bank{len(banks)}")
                    m.d.sync += bank.eq(first + Array(below)[select])
                valid, value = reg(1, f"valid{n}_{lane}"), reg(bits, f"row{n}_lane{lane}")
                real = [within[row] & inside[place * stored // 8] for row, place in places]
                here = [bank.word_select(lane, stored)[:bits] for bank in self.taps_data]
                m.d.sync += valid.eq(Array(real)[select])
                with m.If(fresh):
                    m.d.sync += value.eq(Mux(valid, Array(here)[banks[below]], self.pad))
                lanes.append(value)
            rows.append(lanes)
        return rows

    def _value(self, byte: Value) -> Value:
        """An ifmap value as the number that it means."""
        return Cat(byte, byte[-1] & self.command.x_signed).as_signed()

    def _shift(self, m: Module, rows: list[list[Value]]) -> None:
        """Columns of a window: the newest as it was read, two kept."""
        arrived = delay_line(m, self.step, self.LATENCY, "arrived")
        begins = delay_line(m, self.begins, self.LATENCY, "begins", data=True)
        pad, bits = self.pad, self.shape.ifmap_bits
        for row, lanes in enumerate(rows):
            for channel in range(self.shape.pe):
                newest = lanes[channel]
                before = reg(bits, f"before{row}_{channel}")
                oldest = reg(bits, f"oldest{row}_{channel}")
                with m.If(arrived):
                    m.d.sync += [before.eq(newest), oldest.eq(Mux(begins, pad, before))]
                columns = (Mux(begins, pad, oldest), Mux(begins, pad, before), newest)
                for column, value in enumerate(columns):
                    tap = self.window[WINDOW_TAPS * row + column][channel]
                    m.d.comb += tap.eq(self._value(value))
