"""The MAC array of the tiled engine, with what feeds it: loops, ifmap values, weights, psums."""

from __future__ import annotations

from dataclasses import replace

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import BANKS, EngineShape
from ....contract.features import Feature, asks
from ....contract.isa import (
    COMPUTE,
    LEVELS,
    SKIPPING,
    WINDOW_TAPS,
    Loop,
    Operand,
)
from ....numeric.types import Overflow, QType, Rounding
from ...common.counter import delay_line, index_shape, reg
from ...common.mac import MacArray, MacParameters
from ..fetch.descriptor_layout import layout
from .loop_nest import LoopNest, chosen, turned
from .tap_fetch import TapFetch
from .weights import WeightMemory, weight_port

ACC = QType(True, 32, 0, Rounding.FLOOR, Overflow.WRAP)
"""Sums are exact: the planner refuses networks whose sums need more bits. Their width is that of
the engine."""


def mac_parameters(shape: EngineShape) -> MacParameters:
    """Arithmetic of the array: ifmap values of either sign, weights with sign."""
    x, w = signed(shape.ifmap_bits + 1), signed(shape.weight_bits)
    return MacParameters(x, w, replace(ACC, width=shape.psum_bits), shape.simd)


EVENTS = data.StructLayout(
    {"ifmaps": range(BANKS + 1), "weights": 1, "psums_read": 1, "psums_written": 1}
)
"""Words that are read or written in a cycle, for the bench."""


_MARKS = data.StructLayout({"works": 1, "first": 1, "gives": 1})
"""What is said of a step: it is work of the array; as MacArray's first, last."""
_PSUM = data.StructLayout({"resumes": 1, "saves": 1})
"""As MacArray's."""
_CHANGE = data.StructLayout({"before": 1, "behind": 1})
_LATE = 2
"""Cycles from a step to the places of its weights and psums, which are read last: the loops are far
from them."""


def _taps(command) -> Value:
    """The loops that go over taps."""
    return Cat(command[f"loop{n}_kind"] == Loop.TAP for n in range(LEVELS))


def _first_ends(command) -> Value:
    """Whether a descriptor's first step ends a sum."""
    single = Cat(command[f"loop{n}_count"] == 1 for n in range(LEVELS))
    window = command.operand == Operand.DEPTHWISE_WINDOW
    ends = Mux(window, command.window_first == 0, (single | ~_taps(command)).all())
    return ends & ~command.no_writeback


class TileArray(wiring.Component):
    """Carries out the sums of COMPUTE descriptors, a step of their loops a cycle.

    Parameters: the engine's shape.

    Members
    -------
    command (in stream): COMPUTE records. result_command (out stream): those that give results, as
    soon as they begin. take, room, push, acc : sums go to a CreditFifo of the result stage.
    results_idle (in): it has finished all it was given. second_reading (in): it still reads second
    operands of the descriptor that it was told of last; the next one, whose taps might keep their
    bank for long, waits for that. held (out): a descriptor that leaves its sums in the psum memory
    is finished, for a cycle. taps_* : of the feature memory. weight_write
    (in): see weight_port. issue (out): a step in this cycle. idle (out): no descriptor is here.
    begins (out): the steps of a descriptor follow; events (out): words that are moved in this cycle
    (see EVENTS), those of a step so many cycles after it as ``delays`` says.

    What is there already is not read again: ifmap values and weights stay as long as steps take the
    same, a sum stays in the accumulator as long as steps add to it.

    From a step to the sum that it finishes: ``LATENCY`` for the shape (see ``latency``); between
    the last step of a descriptor and the first of the next one ``GAP`` cycles.
    """

    PLACED = 1
    """Cycles from a step to its position, row and ring row."""
    OPERANDS = PLACED + TapFetch.LATENCY
    """Cycles from a step to its operands."""
    GAP = OPERANDS + 2
    """What a tap needs stays until its operands are out; a cycle each to accept and to load."""

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        self.mac = mac_parameters(shape)
        bits = unsigned(8 * shape.word)
        address = index_shape(shape.bank_bytes)
        record = layout(COMPUTE)
        super().__init__(
            {
                "command": In(stream.Signature(record)),
                "result_command": Out(stream.Signature(record)),
                "take": Out(1),
                "room": In(1),
                "push": Out(1),
                "acc": Out(data.ArrayLayout(self.mac.acc_shape, shape.pe)),
                "results_idle": In(1),
                "second_reading": In(1),
                "held": Out(1),
                "taps_en": Out(BANKS),
                "taps_addr": Out(data.ArrayLayout(address, BANKS)),
                "taps_data": In(data.ArrayLayout(bits, BANKS)),
                "weight_write": In(weight_port(shape)),
                "issue": Out(1),
                "idle": Out(1),
                "begins": Out(1),
                "events": Out(EVENTS),
            }
        )

    @classmethod
    def latency(cls, shape: EngineShape) -> int:
        """Cycles from a step to the sum that it finishes at ``acc``."""
        return TileArray.OPERANDS + mac_parameters(shape).latency

    @classmethod
    def delays(cls, shape: EngineShape) -> dict[str, int]:
        """Cycles from a step to its events."""
        array = mac_parameters(shape)
        return {
            "ifmaps": TileArray.PLACED + TapFetch.ADDRESS,
            "weights": TileArray.OPERANDS - WeightMemory.LATENCY,
            "psums_read": TileArray.OPERANDS + array.psum_read_latency,
            "psums_written": TileArray.OPERANDS + array.psum_write_latency,
        }

    def elaborate(self, platform):
        m = Module()
        command = reg(layout(COMPUTE), "held_command")
        m.submodules.nest = nest = LoopNest(LEVELS, command.loop0_count.shape())
        for given, loops in ((self.command.payload, nest.coming), (command, nest.loops)):
            m.d.comb += [loops[n].count.eq(given[f"loop{n}_count"]) for n in range(LEVELS)]
            m.d.comb += [loops[n].skip.eq(given[f"loop{n}_skip"]) for n in SKIPPING]
        load, step, done = Signal(name="load"), Signal(name="step"), Signal(name="done")
        m.d.comb += [nest.load.eq(load), nest.step.eq(step), done.eq(step & nest.done)]
        self._sequence(m, command, load, done)
        m.d.comb += nest.accept.eq(self.command.ready)

        taps, window = _taps(command), reg(1, "is_window")  # from the first step on
        if self.shape.has(Feature.WINDOW):
            m.d.sync += window.eq(asks(command, Feature.WINDOW))
        complete, next_complete = Signal(name="complete"), Signal(name="next_complete")
        if self.shape.has(Feature.WINDOW):
            self._windows(m, command, nest, load, step, complete, next_complete)
        mark = Signal(_MARKS, name="mark")
        # A step ends a sum, and gives it: known before it, since all of the array waits for room.
        ends, gives, next_ends = (Signal(name=n) for n in ("ends", "gives", "next_ends"))
        first_ends, first_gives = reg(1, "first_ends"), reg(1, "first_gives")
        with m.If(self.command.ready):
            first = _first_ends(self.command.payload)
            early = Cat(self.command.payload[f"loop{n}_skip"].any() for n in SKIPPING).any()
            m.d.sync += [first_ends.eq(first), first_gives.eq(first & ~early)]
        with m.If(load):
            m.d.sync += [ends.eq(first_ends), gives.eq(first_gives)]
        with m.Elif(step):
            m.d.sync += [ends.eq(next_ends), gives.eq(next_ends & ~nest.next_early.any())]
        m.d.comb += [
            next_ends.eq(
                Mux(window, next_complete, (nest.next_last | ~taps).all()) & ~command.no_writeback
            ),
            step.eq(self._running & (~gives | self.room)),
            self.take.eq(step & gives),
            self.issue.eq(step),
            self.begins.eq(load),
            mark.works.eq(step & (~window | complete)),
            mark.first.eq(window | ((nest.at_first | ~taps).all() & ~command.accumulate)),
            mark.gives.eq(gives),
        ]
        now = {"load": load, "step": step, "moves": nest.moves, "done": nest.done}
        soon, late = (
            {n: delay_line(m, value, cycles, f"{n}_{name}") for n, value in now.items()}
            for cycles, name in ((self.PLACED, "soon"), (_LATE, "late"))
        )
        on = {"position": soon, "row": soon, "ifmap": soon, "weight": late, "psum": late}
        changes = self._changes(m, command, on)
        begins = delay_line(m, mark.first, _LATE, "first_late")
        ended = delay_line(m, ends, _LATE, "ends_late")
        psum = Signal(_PSUM, name="psum_mark")
        m.d.comb += [
            psum.resumes.eq(~begins & changes["psum"].before),
            psum.saves.eq(~ended & (changes["psum"].behind | window)),
        ]
        places = self._places(m, command, on)
        fresh = {
            "ifmap": changes["ifmap"].before, "weight": changes["weight"].before & late["step"]
        }  # fmt: skip
        begins = delay_line(m, nest.at_first[0], self.PLACED, "begins_soon", data=True)
        self._feed(m, command, places, (soon["step"], begins), fresh, (mark, psum))
        return m

    def _asks(self, command, feature: Feature) -> Value:
        """Whether a descriptor asks for a feature; never, where there is none of it."""
        return asks(command, feature) if self.shape.has(feature) else Const(0)

    def _changes(self, m: Module, command, on: dict) -> dict:
        """Whether ifmap place, weight and psum are others than in the step before, and behind it.

        ``before`` and ``behind``; the first step has none before it, the last one none behind it.
        """
        found = {}
        for what, names in (
            ("ifmap", ("position", "row", "ring")), ("weight", ("weight",)), ("psum", ("psum",)),
        ):  # fmt: skip
            change = Signal(_CHANGE, name=f"{what}_change")
            moved = reg(LEVELS, f"{what}_moved")  # from the descriptor, a cycle after it came
            m.d.sync += moved.eq(
                Cat(
                    Cat(command[f"loop{n}_{name}"].any() for name in names).any()
                    for n in range(LEVELS)
                )
            )
            by = on[what]
            m.d.comb += change.behind.eq((by["moves"] & moved).any() | by["done"])
            with m.If(by["load"]):
                m.d.sync += change.before.eq(1)
            with m.Elif(by["step"]):
                m.d.sync += change.before.eq(change.behind)
            found[what] = change
        return found

    def _sequence(self, m: Module, command, load: Value, done: Value) -> None:
        """Accepts a descriptor, runs it, waits until nothing under way needs it any more."""
        running = self._running = Signal(name="running")
        waited = Signal(range(self.latency(self.shape) + 2), name="waited")
        told = Signal(name="told")
        m.d.comb += [
            self.result_command.payload.eq(command),
            self.result_command.valid.eq(running & ~told),
        ]
        with m.If(self.result_command.valid & self.result_command.ready):
            m.d.sync += told.eq(1)
        # A register of its own: all loops begin with it.
        m.d.sync += load.eq(self.command.valid & self.command.ready)
        with m.FSM(name="sequence"):
            with m.State("IDLE"):
                m.d.comb += [self.command.ready.eq(1), self.idle.eq(1)]
                m.d.sync += [command.eq(self.command.payload), told.eq(0)]
                with m.If(self.command.valid):
                    m.next = "LOAD"
            with m.State("LOAD"):
                m.d.sync += [
                    running.eq(~command.softmax),
                    told.eq(command.no_writeback),
                    waited.eq(0),
                ]
                # A softmax is for the result stage alone.
                m.next = "RUN"
                with m.If(command.softmax):
                    m.next = "DRAIN"
            with m.State("RUN"), m.If(done):
                # A result stage that is still busy is told before anything else begins.
                m.d.sync += [running.eq(0), waited.eq(0)]
                m.next = "DRAIN"
            with m.State("DRAIN"):
                m.d.comb += self.result_command.valid.eq(~told)
                # Others may take longer than the count goes.
                with m.If(waited != self.latency(self.shape)):
                    m.d.sync += waited.eq(waited + 1)
                settled = (waited >= TileArray.OPERANDS - 1) & told & ~self.second_reading
                with m.If(settled & ~command.no_writeback):
                    m.next = "IDLE"
                with m.If((waited == self.latency(self.shape)) & command.no_writeback):
                    m.next = "HELD"
            with m.State("HELD"), m.If(self.results_idle):
                m.d.comb += self.held.eq(1)
                m.next = "IDLE"

    def _windows(
        self, m: Module, command, nest: LoopNest, load: Value, step: Value,
        complete: Value, next_complete: Value,
    ) -> None:  # fmt: skip
        """Whether a column completes a window: the first one of a row, then at every step; and
        whether the next one does, after a step in this cycle."""
        missing = Signal(command.window_first.shape(), name="missing")
        behind = Mux(complete, command.window_step - 1, missing - 1)
        first = reg(1, "first_completes")
        with m.If(self.command.ready):
            m.d.sync += first.eq(self.command.payload.window_first == 0)
        m.d.comb += next_complete.eq(
            Mux(nest.at_last[0], first, Mux(complete, command.window_step == 1, missing == 1))
        )
        with m.If(load):
            m.d.sync += [missing.eq(command.window_first), complete.eq(first)]
        with m.Elif(step):
            m.d.sync += [
                missing.eq(Mux(nest.at_last[0], command.window_first, behind)),
                complete.eq(next_complete),
            ]

    def _places(self, m: Module, command, on: dict) -> dict:
        """Position, row, ring row, weight and psum of a step, the latter two _LATE after it.

        on : for each of them what loads it, steps it, and which loop moves.
        """
        places = {}
        for name, start in (
            ("position", command.x_position), ("row", command.x_row),
            ("weight", command.weight), ("psum", command.psum),
        ):  # fmt: skip
            increments = [command[f"loop{n}_{name}"] for n in range(LEVELS)]
            by = on[name]
            move = chosen(m, by["moves"], increments, f"{name}_move")
            place = reg(start.shape(), f"{name}_now")
            with m.If(by["load"]):
                m.d.sync += place.eq(start)
            with m.Elif(by["step"]):
                m.d.sync += place.eq(place + move)
            places[name] = place
            if name == "row":
                ring = reg(command.x_ring.shape(), "ring_now")
                turns = [command[f"loop{n}_ring"] for n in range(LEVELS)]
                turn = chosen(m, by["moves"], turns, "ring_move")
                less = [reg(signed(len(ring) + 1), f"ring_back{n}") for n in range(LEVELS)]
                m.d.sync += [a.eq(b - command.x_ring) for a, b in zip(less, turns, strict=True)]
                # Where none moves both are 0: the ring's row is less than its size.
                back = chosen(m, by["moves"], less, "ring_back")
                following = turned(m, ring, turn, back, "ring_next")
                with m.If(by["load"]):
                    m.d.sync += ring.eq(command.x_first)
                with m.Elif(by["step"]):
                    m.d.sync += ring.eq(following)
                places["ring"] = ring
        return places

    def _feed(
        self, m: Module, command, places: dict, soon: tuple, fresh: dict, marks: tuple
    ) -> None:
        """Operands and their marks, OPERANDS after a step.

        soon : PLACED after it, the step, and whether it begins a row. fresh : whether, PLACED after
        it, its ifmap values, and, _LATE after it, its weights are others than those of the step
        before. marks : what is said of it, and, _LATE after it, of its psum.
        """
        step, begins = soon
        shape, ahead = self.shape, TileArray.OPERANDS
        m.submodules.fetch = fetch = TapFetch(shape)
        m.d.comb += [
            fetch.command.eq(command),
            fetch.step.eq(step),
            fetch.fresh.eq(fresh["ifmap"]),
            fetch.begins.eq(begins),
            *(getattr(fetch, name).eq(places[name]) for name in ("position", "row", "ring")),
            self.taps_en.eq(fetch.taps_en),
            self.taps_addr.eq(fetch.taps_addr),
            fetch.taps_data.eq(self.taps_data),
        ]
        largest = self._asks(command, Feature.MAXPOOL)
        m.submodules.weights = weights = WeightMemory(shape)
        wiring.connect(m, wiring.flipped(self.weight_write), weights.write)
        word_read = fresh["weight"] & ~command.ones & ~largest
        early = ahead - _LATE - WeightMemory.LATENCY
        m.d.comb += [
            weights.en.eq(delay_line(m, word_read, early, "fresh_word")),
            weights.word.eq(delay_line(m, places["weight"], early, "word", data=True)),
        ]
        arrived, psum = Signal(_MARKS, name="arrived"), Signal(_PSUM, name="psum_arrived")
        m.d.comb += [
            arrived.eq(delay_line(m, marks[0].as_value(), ahead, "mark")),
            psum.eq(delay_line(m, marks[1].as_value(), ahead - _LATE, "psum_mark")),
        ]
        m.submodules.array = array = MacArray(
            self.mac, shape.pe, psums=shape.psum_words, shared=False
        )
        m.d.comb += [
            array.enable.eq(arrived.works & ~largest),
            array.first.eq(arrived.first),
            array.last.eq(arrived.gives),
            array.resumes.eq(psum.resumes),
            array.saves.eq(psum.saves),
            array.slot.eq(delay_line(m, places["psum"], ahead - _LATE, "psum", data=True)),
            self.events.ifmaps.eq(sum(fetch.taps_en[bank] for bank in range(BANKS))),
            self.events.weights.eq(weights.en),
            self.events.psums_read.eq(array.psum_read),
            self.events.psums_written.eq(array.psum_write),
        ]
        # Of what there is for each of the array's lanes: from the first step on.
        operand = {kind: reg(1, f"operand_{kind.name.lower()}") for kind in Operand}
        m.d.sync += [of.eq(command.operand == kind) for kind, of in operand.items()]
        stored = data.View(array.w.shape(), weights.data)
        for pe in range(shape.pe):
            for lane in range(shape.simd):
                x, w = self._operand(operand, fetch, pe, lane), stored[pe][lane]
                # Of ones there is one lane; the table that chooses an operand can give 0 as well.
                if lane == 0:
                    w = Mux(command.ones, 1, w)
                else:
                    x = Mux(command.ones, 0, x)
                m.d.comb += [array.x[pe][lane].eq(x), array.w[pe][lane].eq(w)]
        self._collect(m, fetch, array, arrived.works & largest, arrived.first, arrived.gives)

    def _operand(self, operand: dict, fetch: TapFetch, pe: int, lane: int) -> Value:
        """What a lane multiplies. Lanes that an operand does not use have weights of 0."""
        value = fetch.shared[lane]
        if lane < WINDOW_TAPS * WINDOW_TAPS and self.shape.has(Feature.WINDOW):
            value = Mux(operand[Operand.DEPTHWISE_WINDOW], fetch.window[lane][pe], value)
        if lane == 0:
            value = Mux(operand[Operand.DEPTHWISE], fetch.own[pe], value)
        return value

    def _collect(
        self, m: Module, fetch: TapFetch, array: MacArray, works: Value, first: Value, gives: Value
    ) -> None:
        """Sums of the array, or largest values beside it; descriptors do not overlap here."""
        if not self.shape.has(Feature.MAXPOOL):
            m.d.comb += [self.push.eq(array.done), self.acc.eq(array.acc)]
            return
        found = Signal(name="found")
        m.d.sync += found.eq(works & gives)
        m.d.comb += self.push.eq(array.done | found)
        for pe in range(self.shape.pe):
            largest = reg(Shape.cast(fetch.own[pe].shape()), f"largest{pe}")
            value = fetch.own[pe]
            with m.If(works):
                m.d.sync += largest.eq(Mux(first | (value > largest), value, largest))
            m.d.comb += self.acc[pe].eq(Mux(found, largest, array.acc[pe]))
