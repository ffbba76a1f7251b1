"""The result stage of the tiled engine: finished sums to bytes in the feature memory.

From the moment when a word of sums leaves their queue everything happens a fixed number of cycles
later: nothing behind it can be held up. Requantizers take a word in parts, of as many sums as there
are of them; wide results and tables take a part in slices, for each of which it is requantized
again. Meanwhile the word stays at the head of the queue, and so does the word of the second operand
that it is multiplied by. A softmax takes words of the second operand instead and gives its results
byte by byte.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....contract.features import Feature
from ....contract.isa import COMPUTE
from ...common.counter import delay_line, reg
from ...common.fifo import FEW, CreditFifo
from ...common.softmax import HIGH_PLACE
from ...common.streams import positive
from ..fetch.descriptor_layout import RESULT, layout, results_kept
from ..memory.feature_ports import VISIBLE, read_port, write_port
from .combine import TableCombine, table_port
from .output_walk import OutputLoops, RingPlace, set_counts
from .parameters import ParameterMemory, parameter_port
from .product import ProductLanes
from .result_writer import (
    BYTE,
    ResultWriter,
    table_lanes,
    table_slices,
    token_of,
    wide_slices,
)
from .runtime_requantizer import ROUNDING, RequantLane
from .second_operand import SecondOperand
from .softmax_lane import SoftmaxLane

SECONDS = 16
"""Words of the second operand that may be read ahead: about as many as sums may wait. So all of a
tile are read by about its last step, and the next tile need not wait for it."""

RESULTS = 1 + ParameterMemory.LATENCY + RequantLane.LATENCY
"""Cycles from the begin of a part to the results of its requantizers, which tables then take with a
word of the second operand."""
_COMBINED = RESULTS + TableCombine.LATENCY
"""The same for the second ones."""
_SOFTMAX = RingPlace.LATENCY + 1
"""Cycles from a byte of a softmax to the writer: its word's place."""


class ResultStage(wiring.Component):
    """Requantizes words of ``pe`` sums, combines them with a second operand, writes the results.

    Parameters
    ----------
    shape : of the engine. sums : words of sums that may wait.

    Members
    -------
    command (in stream): COMPUTE descriptors (without ``no_writeback``), in the order of their sums.
    take, room, push, acc : the queue of sums, see CreditFifo; sums may come before their command.
    second, result : clients of FeatureMemory. finished (out): for one cycle, what a command wrote
    can be read. parameter_write, table_write (in): see parameter_port, table_port; not for words
    and tables of the command that is here. issue (out): a softmax is at work. reading (out): from
    the cycle after a command was accepted, its results' second operand is being read,
    but for that of a softmax.

    A command stays until it is finished; the next one is accepted in the cycle after. Its first
    word begins START cycles after it was accepted, or later: a word begins in the cycle after it
    was pushed. Words follow each other every ``cycles`` cycles. With a second operand they wait
    for that, which comes a word a cycle, the first one START_SECOND cycles after the command was
    accepted, unless the taps keep its bank.
    The last slice of a word is written ``LATENCY`` cycles after it began, or ``TABLE_LATENCY`` with
    tables; after the last one the command is finished VISIBLE cycles later.

    With softmax no sums are taken. The first vector begins START_SECOND cycles after the command
    was accepted, or when its second operand comes; a byte that SoftmaxLane gives is written
    SOFTMAX_LATENCY cycles later.
    """

    LATENCY = RESULTS + ResultWriter.LATENCY
    TABLE_LATENCY = _COMBINED + ResultWriter.LATENCY
    START = 2
    START_SECOND = 2 + SecondOperand.LATENCY
    SOFTMAX_LATENCY = 1 + _SOFTMAX + ResultWriter.LATENCY

    def __init__(self, shape: EngineShape, sums: int = FEW + 1) -> None:
        positive(sums=sums)
        self.shape, self.sums = shape, sums
        self.word = data.ArrayLayout(signed(shape.psum_bits), shape.pe)
        self.token = token_of(shape)
        super().__init__(
            {
                "command": In(stream.Signature(layout(COMPUTE))),
                "take": In(1),
                "room": Out(1),
                "push": In(1),
                "acc": In(self.word),
                "second": Out(read_port(shape)),
                "result": Out(write_port(shape, stalls=False)),
                "finished": Out(1),
                "issue": Out(1),
                "reading": Out(1),
                "parameter_write": In(parameter_port(shape)),
                "table_write": In(table_port(shape)),
            }
        )

    def cycles(self, wide: bool, tables: bool) -> int:
        """Cycles that a word takes: its parts, in slices."""
        shape = self.shape
        slices = table_slices(shape) if tables else wide_slices(shape) if wide else 1
        return shape.result_parts * slices

    def elaborate(self, platform):
        m = Module()
        kept = reg(RESULT, "kept")
        begin = self._command(m, kept)
        m.submodules.operand = operand = SecondOperand(self.shape, SECONDS)
        m.submodules.parameters = parameters = ParameterMemory(self.shape)
        with_second = kept.second & kept.tables & ~kept.product
        needs, coming = Signal(name="needs_operand"), self.command.payload
        wants = (coming.second & coming.tables) | coming.product | coming.softmax
        m.d.sync += needs.eq(self.command.valid & self.command.ready & wants)
        m.d.comb += [
            operand.load.eq(needs),
            operand.descriptor.eq(kept),
        ]
        wiring.connect(m, operand.port, wiring.flipped(self.second))
        m.submodules.softmax = softmax = SoftmaxLane(self.shape)
        issued, acc = self._issue(m, kept, begin, parameters, operand, softmax)
        tokens = self._tokens(m, kept, issued)
        factors = acc, issued.part, operand
        results = self._requantize(m, kept, begin, parameters, factors, softmax)
        m.d.comb += [
            softmax.descriptor.eq(kept),
            softmax.i.payload.eq(operand.o.payload),
            softmax.i.valid.eq(operand.o.valid & kept.softmax),
            operand.o.ready.eq(
                Mux(
                    kept.softmax | kept.product,
                    Mux(kept.softmax, softmax.i.ready, issued.word),
                    tokens[RESULTS].word & with_second,
                )
            ),
            self.issue.eq(softmax.issue),
            self.reading.eq(operand.reading & ~kept.softmax),
        ]
        combined = self._combine(m, kept, with_second, tokens[RESULTS], results, operand, softmax)
        byte: Value = softmax.o.payload.byte
        if self.shape.has(Feature.SOFTMAX):
            byte = delay_line(m, byte, 1 + _SOFTMAX, "byte", data=True)
        self._write(m, kept, begin, tokens, results, combined, byte)
        return m

    def _command(self, m: Module, kept) -> Value:
        """Keep a command until it is finished; returns what is high when it begins."""
        busy, begin = Signal(name="busy"), Signal(name="begin")
        accepted = self.command.valid & self.command.ready
        m.d.comb += self.command.ready.eq(~busy)
        m.d.sync += begin.eq(accepted)
        with m.If(accepted):
            m.d.sync += busy.eq(1)
            m.d.sync += [
                kept[name].eq(self.command.payload[name]) for name in results_kept(self.shape)
            ]
        with m.Elif(self.finished):
            m.d.sync += busy.eq(0)
        return begin

    def _issue(
        self, m: Module, kept, begin: Value, parameters: ParameterMemory, operand: SecondOperand,
        softmax: SoftmaxLane,
    ):  # fmt: skip
        """Begin slices of words of sums; returns the token and the part's sums of this cycle."""
        shape = self.shape
        with_second = kept.second & (kept.tables | kept.product)
        # The array, which asks for room, is far away.
        m.submodules.sums = sums = CreditFifo(self.word, self.sums, late=True, registered=True)
        m.submodules.loops = loops = OutputLoops()
        set_counts(m, loops, kept)
        working, fresh = Signal(name="working"), Signal(name="fresh")
        part, slice_ = (
            reg(self.token["part"].shape, "part"),
            reg(self.token["slice"].shape, "slice"),
        )
        issue, first, last = Signal(name="sum_issue"), Signal(name="first"), Signal(name="last")
        last_slice, given, ends = (
            Signal(name=name) for name in ("last_slice", "softmax_given", "word_ends")
        )
        # Whether a word of a softmax ends follows from the lane of a byte.
        word_given = Signal(name="softmax_word_ends")
        m.d.sync += [
            given.eq(softmax.o.valid),
            word_given.eq(softmax.o.valid & softmax.o.payload.last),
        ]
        slices = table_slices(shape) - 1, wide_slices(shape) - 1
        # Known long before a word: in registers of their own.
        waits, final_slice = reg(1, "waits_for_second"), Signal.like(slice_, name="final_slice")
        final = Mux(kept.tables, slices[0], Mux(kept.wide, slices[1], 0))
        m.d.sync += [waits.eq(with_second), final_slice.eq(final)]
        last_part, parts = reg(1, "last_part"), shape.result_parts
        m.d.comb += [
            sums.take.eq(self.take),
            self.room.eq(sums.room),
            sums.push.eq(self.push),
            sums.data.eq(self.acc),
            last.eq(last_slice & last_part),
            issue.eq(working & sums.o.valid & (~first | ~waits | operand.available)),
            operand.claim.eq(
                Mux(kept.softmax, softmax.i.valid & softmax.i.ready, issue & first & with_second)
            ),
            sums.o.ready.eq(issue & last),
            softmax.o.ready.eq(1),
            ends.eq(Mux(given, word_given, issue & last)),
            loops.load.eq(begin),
            loops.step.eq(ends),
        ]
        # The part's sums are chosen meanwhile.
        m.d.sync += [
            parameters.take.eq(issue),
            # In one part the row stays as long as the group.
            parameters.keep.eq((slice_ != 0) | (~fresh if shape.result_parts == 1 else 0)),
            parameters.part.eq(part),
            parameters.turn.eq(issue & last & loops.turns),
        ]
        with m.If(begin):
            m.d.sync += [
                working.eq(~kept.softmax), fresh.eq(1), part.eq(0), slice_.eq(0), first.eq(1),
                last_slice.eq(final == 0), last_part.eq(parts == 1),
            ]  # fmt: skip
        with m.Elif(issue):
            m.d.sync += [
                slice_.eq(Mux(last_slice, 0, slice_ + 1)),
                last_slice.eq(Mux(last_slice, final_slice == 0, slice_ + 1 == final_slice)),
                first.eq(last),
            ]
            with m.If(last_slice):
                m.d.sync += [
                    part.eq(Mux(last_part, 0, part + 1)),
                    last_part.eq(Mux(last_part, parts == 1, part == parts - 2)),
                ]
            with m.If(last):
                m.d.sync += fresh.eq(loops.turns)
            with m.If(last & loops.last):
                m.d.sync += working.eq(0)
        issued = Signal(self.token, name="token0")
        m.d.comb += [
            issued.valid.eq(issue | given),
            issued.word.eq(ends),
            issued.all.eq(ends & loops.last),
            issued.part.eq(part),
            issued.slice.eq(slice_),
        ]
        lanes = shape.requantizers
        words = [
            Cat(sums.o.payload[n + lane] for lane in range(lanes))
            for n in range(0, shape.pe, lanes)
        ]
        return issued, words[0] if len(words) == 1 else Array(words)[part]

    def _tokens(self, m: Module, kept, issued) -> list:
        """The token that was issued so many cycles ago; behind the writer's there are none."""
        tokens = [issued]
        last = _COMBINED if self.shape.has(Feature.TABLES) else RESULTS
        for n in range(1, last + 1):
            tokens.append(Signal(self.token, name=f"token{n}"))
            m.d.sync += tokens[n].eq(tokens[n - 1])
            if n == RESULTS + 1:
                with m.If(~kept.tables):
                    m.d.sync += tokens[n].eq(0)
            if n == _SOFTMAX + 1:
                with m.If(kept.softmax):
                    m.d.sync += tokens[n].eq(0)
        return tokens

    def _requantize(
        self, m: Module, kept, begin: Value, parameters: ParameterMemory,
        factors: tuple[Value, Value, SecondOperand], softmax: SoftmaxLane,
    ) -> list[Value]:  # fmt: skip
        """The results of all lanes, RESULTS cycles later. The first one multiplies for softmax.

        factors : a part of a word of sums, which part it is, what they may be multiplied by.
        """
        acc, part, operand = factors
        m.d.comb += [
            parameters.load.eq(begin),
            parameters.first.eq(kept.parameter),
            parameters.groups.eq(kept.groups),
            parameters.one_word.eq(kept.one_word),
        ]
        wiring.connect(m, wiring.flipped(self.parameter_write), parameters.write)
        rounding = reg(ROUNDING, "rounding")
        m.d.sync += [
            rounding.how.eq(kept.rounding),
            rounding.offset.eq(kept.offset),
            rounding.low.eq(kept.low),
            rounding.high.eq(kept.high),
        ]
        # While parameters are read sums become products, where they do.
        assert ProductLanes.LATENCY == ParameterMemory.LATENCY
        lanes, bits = self.shape.requantizers, self.shape.psum_bits
        multiplies = self.shape.has(Feature.PRODUCT)
        m.submodules.products = products = ProductLanes(lanes, signed(bits), multiplies)
        seconds = Array(
            operand.o.payload.word_select(n, BYTE * lanes) for n in range(self.shape.result_parts)
        )
        sums, second = reg(len(acc), "part_sums"), reg(BYTE * lanes, "part_seconds")
        m.d.sync += [sums.eq(acc), second.eq(seconds[part])]
        m.d.comb += [
            products.sums.as_value().eq(sums),
            products.seconds.as_value().eq(second),
            products.descriptor.eq(kept),
        ]
        results, without = [], self.shape.without
        for n in range(lanes):
            m.submodules[f"lane{n}"] = lane = RequantLane(signed(bits), without)
            m.d.comb += [
                lane.acc.eq(products.o[n]),
                lane.parameters.eq(parameters.records[n]),
                lane.rounding.eq(rounding),
            ]
            if n == 0 and self.shape.has(Feature.SOFTMAX):
                with m.If(kept.softmax):
                    m.d.comb += [
                        lane.acc.eq(softmax.a),
                        lane.parameters.mult.eq(softmax.b),
                        lane.parameters.bias.eq(1 << HIGH_PLACE - 1),
                    ]
                m.d.comb += softmax.high.eq(lane.sum >> HIGH_PLACE)
            results.append(lane.o)
        return results

    def _combine(
        self, m: Module, kept, with_second: Value, token, results, operand: SecondOperand,
        softmax: SoftmaxLane,
    ) -> Value:  # fmt: skip
        """The results of a slice's lanes with tables, _COMBINED cycles after it began."""
        shape = self.shape
        lanes, slices = table_lanes(shape), table_slices(shape)
        m.submodules.combine = combine = TableCombine(shape, lanes)
        wiring.connect(m, wiring.flipped(self.table_write), combine.write)
        bits = BYTE * lanes
        codes = Cat(lane[:BYTE] for lane in results)
        seconds = operand.o.payload
        m.d.comb += [
            combine.codes.as_value().eq(
                Array(codes[bits * n : bits * (n + 1)] for n in range(slices))[token.slice]
            ),
            combine.seconds.as_value().eq(
                Array(
                    seconds[bits * (part * slices + min(n, slices - 1)) :][:bits]
                    for part in range(shape.result_parts)
                    for n in range(1 << len(token.slice))
                )[Cat(token.slice, token.part)]
            ),
        ]
        m.d.comb += [
            combine.with_second.eq(with_second),
            combine.descriptor.eq(kept),
            combine.difference.eq(softmax.difference),
            softmax.power.eq(combine.power),
        ]
        return combine.o

    def _write(self, m: Module, kept, begin: Value, tokens, results, combined, byte: Value) -> None:
        m.submodules.writer = writer = ResultWriter(self.shape)
        wiring.connect(m, writer.port, wiring.flipped(self.result))
        others = (
            (Feature.SOFTMAX, _SOFTMAX, kept.softmax),
            (Feature.TABLES, _COMBINED, kept.tables),
        )
        token, coming = Signal(self.token, name="here"), Signal(self.token, name="coming")
        for chosen, ahead in ((token, 0), (coming, RingPlace.LATENCY)):
            # Chosen a cycle before, by one of two registers.
            of_here = tokens[RESULTS - ahead - 1]
            for feature, end, mine in others:
                if self.shape.has(feature):
                    of_here = Mux(mine, tokens[end - ahead - 1], of_here)
            m.d.sync += chosen.eq(of_here)
        m.d.comb += [
            writer.load.eq(begin),
            writer.descriptor.eq(kept),
            writer.token.eq(token),
            writer.next_word.eq(coming.word),
            writer.results.as_value().eq(Cat(results)),
            writer.combined.eq(combined),
            writer.byte.eq(byte),
        ]
        settled = ResultWriter.LATENCY + VISIBLE
        m.d.comb += self.finished.eq(delay_line(m, token.all, settled, "finish"))
