"""The rows of a transfer: where each lies in external memory and in the feature-map memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import BANKS, EngineShape
from ....contract.features import Feature
from ....contract.isa import TRANSFER, Target
from ...bus.axi import ADDRESS_BITS, LAYER_BITS, REQUEST
from ...common.counter import from_on, index_shape, reg, up_to
from ..fetch.descriptor_layout import layout

WORD_BITS = 16
"""Bits of the number of a word of weights, parameters or tables."""
AHEAD = 16
"""Rows whose requests go ahead of their data."""


def word_beats(shape: EngineShape) -> dict[Target, int]:
    """Beats of a whole word of the memories whose words have several."""
    sizes = {Target.WEIGHTS: shape.weight_bytes, Target.PARAMETERS: shape.parameter_bytes}
    return {target: size // shape.bus_bytes for target, size in sizes.items()}


def row_layout(shape: EngineShape) -> data.StructLayout:
    """What a unit knows of a row that it moves.

    target, bank, one_lane : of the descriptor. last_part : the last beat of a word of several.
    units : tile units that it goes to, or the one that it comes from, a bit for each. start : of
    its first beat's first byte in its bank, which for a row that begins within a beat is before the
    row; or the first word. beats : of the row; single : it has one. skip : bytes of the first beat
    before the row. end : byte of the last beat with which the row ends. layer. final : of its
    command.
    """
    lanes = index_shape(shape.bus_bytes)
    return data.StructLayout(
        {
            "target": 2,
            "one_lane": 1,
            "last_part": index_shape(max(word_beats(shape).values())),
            "units": shape.tiles,
            "bank": index_shape(BANKS),
            "start": max(index_shape(shape.bank_bytes).width, WORD_BITS),
            "beats": 24,
            "single": 1,
            "skip": lanes,
            "end": lanes,
            "layer": LAYER_BITS,
            "final": 1,
        }
    )


def row_bytes(row, first: Value, last: Value, bus_bytes: int) -> Value:
    """Which bytes of a beat are the row's: its first beat may begin, its last one end with others.

    row : as of row_layout. first, last : the beat is the first, the last one of the row.
    """
    from_skip, to_end = from_on(row.skip, bus_bytes), up_to(row.end, bus_bytes)
    return Mux(first, from_skip, ~0) & Mux(last, to_end, ~0)


class RowWalker(wiring.Component):
    """Takes transfers apart into rows.

    Parameters
    ----------
    shape : of the engine. store : only feature maps are moved.

    Members
    -------
    command (in stream of TRANSFER). request (out stream of REQUEST), row (out): what the request
    is for; both at the same time. bad, bad_layer (out): a descriptor can not be carried out, for
    one cycle, 2 after it was accepted: no rows, no bytes, a ring that is none of whole banks or
    shorter than its first row; no tile unit, or one that there is not; for weights, parameters and
    tables, more than one row or no whole beats; tables that the engine has not.

    The first row is there LATENCY cycles after the command is accepted, and one more for each bit
    of the number of the first row in its bank (first // BANKS); then one a cycle. A command is
    accepted when the rows of the one before are out of here.
    """

    LATENCY = 3

    def __init__(self, shape: EngineShape, store: bool = False) -> None:
        self.shape, self.store = shape, store
        super().__init__(
            {
                "command": In(stream.Signature(layout(TRANSFER))),
                "request": Out(stream.Signature(REQUEST)),
                "row": Out(row_layout(shape)),
                "bad": Out(1),
                "bad_layer": Out(LAYER_BITS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        self._lane_bits = (self.shape.bus_bytes - 1).bit_length()
        bits = {field.name: field.width for field in TRANSFER.fields}
        kept = ("layer", "target", "address", "pitch", "rows", "bytes", "base", "bank_pitch")
        kept += ("ring", "first", "one_lane", "word_beats", "unit" if self.store else "units")
        self._now = now = {name: reg(unsigned(bits[name]), name) for name in kept}
        place_bits = len(self.row.start)
        place = {
            "place": reg(place_bits, "place"),
            "pitch": reg(place_bits, "place_pitch"),
            "steps": reg(bits["first"] - 2, "place_steps"),
            "bank": reg(index_shape(BANKS), "place_bank"),
            "group": reg(bits["first"] - 2, "bank_row"),
            # It turns to the ring's first row next: known for long when a bank's last row comes.
            "turns": reg(1, "bank_row_turns"),
        }
        emit, out_free = Signal(name="emit"), Signal(name="out_free")
        wrong = Signal(name="wrong")
        m.d.sync += self.bad.eq(wrong)
        m.d.comb += out_free.eq(~self.request.valid | self.request.ready)
        m.d.sync += place["turns"].eq(place["group"] + 1 == now["ring"][2:])
        with m.FSM(name="transfer"):
            with m.State("IDLE"):
                m.d.comb += self.command.ready.eq(1)
                with m.If(self.command.valid):
                    m.d.sync += [r.eq(self.command.payload[n]) for n, r in now.items()]
                    m.next = "CHECK"
            with m.State("CHECK"):
                m.d.comb += wrong.eq(self._is_bad())
                m.d.sync += [
                    place["place"].eq(now["base"]),
                    place["pitch"].eq(now["bank_pitch"]),
                    place["steps"].eq(now["first"][2:]),
                    place["bank"].eq(now["first"][:2]),
                    place["group"].eq(now["first"][2:]),
                    place["turns"].eq(now["first"][2:] + 1 == now["ring"][2:]),
                ]
                with m.If(wrong):
                    m.next = "IDLE"
                with m.Elif((now["first"][2:] == 0) | (now["target"] != Target.FEATURES)):
                    m.next = "ROWS"
                with m.Else():
                    m.next = "PLACE"
            with m.State("PLACE"):
                # place = base + first // BANKS * bank_pitch, a bit a cycle
                steps = place["steps"]
                with m.If(steps[0]):
                    m.d.sync += place["place"].eq(place["place"] + place["pitch"])
                m.d.sync += [place["pitch"].eq(place["pitch"] << 1), steps.eq(steps >> 1)]
                with m.If(steps[1:] == 0):
                    m.next = "ROWS"
            with m.State("ROWS"):
                m.d.comb += emit.eq(out_free)
                with m.If(emit & (now["rows"] == 1)):
                    m.next = "IDLE"
        m.d.comb += self.bad_layer.eq(now["layer"])
        self._emit(m, emit, place)
        with m.If(emit):
            self._step(m, place)
        return m

    def _is_bad(self) -> Value:
        now, lanes = self._now, self._lane_bits
        empty = (now["rows"] == 0) | (now["bytes"] == 0)
        ring = now["ring"]
        rows_bad = (ring == 0) | (ring[:2] != 0) | (now["first"] >= ring)
        if self.store:
            no_unit = now["unit"] >= self.shape.tiles
            return empty | rows_bad | no_unit | (now["target"] != Target.FEATURES)
        no_unit = ~now["units"].any() | now["units"][self.shape.tiles :].any()
        parts = (now["address"][:lanes] != 0) | (now["bytes"][:lanes] != 0)
        beats = now["word_beats"]
        for target, most in word_beats(self.shape).items():
            parts |= (now["target"] == target) & ((beats == 0) | (beats > most))
        no_lane = now["target"] != Target.WEIGHTS if self.shape.takes_one_lane else 1
        if not self.shape.has(Feature.TABLES):
            parts |= now["target"] == Target.TABLES
        words_bad = parts | (now["rows"] != 1) | (now["one_lane"] & no_lane)
        return empty | no_unit | Mux(now["target"] == Target.FEATURES, rows_bad, words_bad)

    def _units(self) -> Value:
        tiles, now = self.shape.tiles, self._now
        if self.store:
            return Cat(now["unit"] == n for n in range(tiles))
        return now["units"][:tiles]

    def _emit(self, m: Module, emit: Signal, place: dict) -> None:
        """The present row into the output registers."""
        now, lanes = self._now, self._lane_bits
        skip, final = now["address"][:lanes], now["rows"] == 1
        whole = Signal(25, name="whole")
        m.d.comb += whole.eq(now["bytes"] + skip + (self.shape.bus_bytes - 1))
        values = {
            "request": {
                "address": Cat(Const(0, lanes), now["address"][lanes:]),
                "beats": whole[lanes:],
                "layer": now["layer"],
                "mark": final,
            },
            "row": {
                "target": now["target"],
                "one_lane": now["one_lane"],
                "last_part": now["word_beats"] - 1,
                "units": self._units(),
                "bank": place["bank"],
                "start": place["place"] - skip,
                "beats": whole[lanes:],
                "single": whole[lanes:] == 1,
                "skip": skip,
                "end": whole[:lanes],
                "layer": now["layer"],
                "final": final,
            },
        }
        for kind, target in (("request", self.request.payload), ("row", self.row)):
            for field, value in values[kind].items():
                held = reg(len(target[field]), f"{kind}_{field}")
                m.d.comb += target[field].eq(held)
                with m.If(emit):
                    m.d.sync += held.eq(value)
        with m.If(self.request.ready):
            m.d.sync += self.request.valid.eq(0)
        with m.If(emit):
            m.d.sync += self.request.valid.eq(1)

    def _step(self, m: Module, place: dict) -> None:
        """Go to the next row: of the ring, which wraps, and of external memory."""
        now, bank = self._now, place["bank"]
        m.d.sync += [
            now["address"].eq((now["address"] + now["pitch"])[:ADDRESS_BITS]),
            now["rows"].eq(now["rows"] - 1),
            bank.eq(bank + 1),
        ]
        with m.If(bank == BANKS - 1):
            m.d.sync += [
                place["group"].eq(place["group"] + 1),
                place["place"].eq(place["place"] + now["bank_pitch"]),
            ]
            with m.If(place["turns"]):
                m.d.sync += [place["group"].eq(0), place["place"].eq(now["base"])]
