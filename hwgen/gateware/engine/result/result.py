"""The result stage of the tiled engine: finished sums to bytes in the feature memory.

From the moment when a word of sums leaves their queue everything happens a fixed number of cycles
later: nothing behind it can be held up. Wide results and tables take a word in several parts, for
which it stays at the head of the queue and is requantized again each time. A softmax takes words of
the second operand instead and gives its results byte by byte.
"""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value, signed
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....contract.isa import COMPUTE
from ...common.counter import delay_line, reg
from ...common.fifo import CreditFifo
from ...common.streams import positive
from ..fetch.descriptor_layout import RESULT, layout
from ..memory.feature_ports import VISIBLE, read_port, write_port
from .combine import TableCombine, table_port
from .output_walk import OutputLoops, RingPlace, set_counts
from .parameters import ParameterMemory, parameter_port, reads_of
from .result_writer import BYTE, TABLE_PARTS, TOKEN, ResultWriter, wide_parts
from .runtime_requantizer import RequantLane, rounding_of
from .second_operand import SecondOperand
from .softmax_lane import SoftmaxLane

SECONDS = 8
"""Words of the second operand that may be read ahead: as many as are under way, and some."""

_RESULTS = ParameterMemory.TAKE + RequantLane.LATENCY
"""Cycles from the begin of a part to the results of its first requantizers."""
_COMBINED = _RESULTS + TableCombine.LATENCY
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
    and tables of the command that is here. issue (out): a softmax is at work.

    A command stays until it is finished; the next one is accepted in the cycle after. Its first
    word begins ``start`` cycles after it was accepted, or later: a word begins in the cycle after
    it was pushed. Words follow each other every ``parts`` cycles, those of another group no
    sooner than ``turn`` cycles after the first word of the group before. With a second operand
    they wait for that, which comes a word a cycle, the first one START_SECOND cycles after the
    command was accepted, unless the taps keep its bank.
    The last part of a word is written ``LATENCY`` cycles after it began, or ``TABLE_LATENCY`` with
    tables; after the last one the command is finished VISIBLE cycles later.

    With softmax no sums are taken. The first vector begins START_SECOND cycles after the command
    was accepted, or when its second operand comes; a byte that SoftmaxLane gives is written
    SOFTMAX_LATENCY cycles later.
    """

    LATENCY = _RESULTS + ResultWriter.LATENCY
    TABLE_LATENCY = _COMBINED + ResultWriter.LATENCY
    START_SECOND = 2 + SecondOperand.LATENCY
    SOFTMAX_LATENCY = _SOFTMAX + ResultWriter.LATENCY

    def __init__(self, shape: EngineShape, sums: int = 16) -> None:
        positive(sums=sums)
        self.shape, self.sums = shape, sums
        self.word = data.ArrayLayout(signed(32), shape.pe)
        self.turn = ParameterMemory.LATENCY + reads_of(shape)
        self.start = 1 + self.turn
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
                "parameter_write": In(parameter_port(shape)),
                "table_write": In(table_port(shape)),
            }
        )

    def parts(self, wide: bool, tables: bool) -> int:
        """Cycles that a word takes."""
        return TABLE_PARTS if tables else wide_parts(self.shape) if wide else 1

    def elaborate(self, platform):
        m = Module()
        kept = reg(RESULT, "kept")
        begin = self._command(m, kept)
        m.submodules.operand = operand = SecondOperand(self.shape, SECONDS)
        m.submodules.parameters = parameters = ParameterMemory(self.shape)
        with_second = kept.tables & kept.second
        m.d.comb += [
            operand.load.eq(begin & (with_second | kept.softmax)),
            operand.descriptor.eq(kept),
        ]
        wiring.connect(m, operand.port, wiring.flipped(self.second))
        m.submodules.softmax = softmax = SoftmaxLane(self.shape)
        issued, acc = self._issue(m, kept, begin, parameters, operand, softmax)
        tokens = self._tokens(m, kept, issued)
        results = self._requantize(m, kept, begin, parameters, acc)
        m.d.comb += [
            softmax.descriptor.eq(kept),
            softmax.i.payload.eq(operand.o.payload),
            softmax.i.valid.eq(operand.o.valid & kept.softmax),
            operand.o.ready.eq(
                Mux(kept.softmax, softmax.i.ready, tokens[_RESULTS].word & with_second)
            ),
            self.issue.eq(softmax.issue),
        ]
        combined = self._combine(
            m, kept, with_second, tokens[_RESULTS].part, results, operand, softmax
        )
        byte = delay_line(m, softmax.o.payload.byte, _SOFTMAX, "byte", data=True)
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
            m.d.sync += [kept[name].eq(self.command.payload[name]) for name, _ in RESULT]
        with m.Elif(self.finished):
            m.d.sync += busy.eq(0)
        return begin

    def _issue(
        self, m: Module, kept, begin: Value, parameters: ParameterMemory, operand: SecondOperand,
        softmax: SoftmaxLane,
    ):  # fmt: skip
        """Begin parts of words of sums; returns the token and the sums of this cycle."""
        with_second = kept.tables & kept.second
        m.submodules.sums = sums = CreditFifo(self.word, self.sums)
        m.submodules.loops = loops = OutputLoops()
        set_counts(m, loops, kept)
        working, fresh = Signal(name="working"), Signal(name="fresh")
        part, first = reg(2, "part"), Signal(name="first_part")
        issue, last = Signal(name="sum_issue"), Signal(name="last_part")
        given, ends = Signal(name="softmax_given"), Signal(name="word_ends")
        lengths = (TABLE_PARTS - 1, wide_parts(self.shape) - 1)
        m.d.comb += [
            sums.take.eq(self.take),
            self.room.eq(sums.room),
            sums.push.eq(self.push),
            sums.data.eq(self.acc),
            first.eq(part == 0),
            last.eq(part == Mux(kept.tables, lengths[0], Mux(kept.wide, lengths[1], 0))),
            issue.eq(
                working
                & sums.o.valid
                & (~fresh | parameters.ready)
                & (~first | ~with_second | operand.available)
            ),
            parameters.take.eq(issue & fresh),
            operand.claim.eq(
                Mux(kept.softmax, softmax.i.valid & softmax.i.ready, issue & first & with_second)
            ),
            sums.o.ready.eq(issue & last),
            softmax.o.ready.eq(1),
            given.eq(softmax.o.valid),
            ends.eq(Mux(given, softmax.o.payload.last, issue & last)),
            loops.load.eq(begin),
            loops.step.eq(ends),
        ]
        with m.If(begin):
            m.d.sync += [working.eq(~kept.softmax), fresh.eq(1), part.eq(0)]
        with m.Elif(issue):
            m.d.sync += [fresh.eq(loops.turns), part.eq(Mux(last, 0, part + 1))]
            with m.If(last & loops.last):
                m.d.sync += working.eq(0)
        issued = Signal(TOKEN, name="token0")
        m.d.comb += [
            issued.valid.eq(issue | given),
            issued.word.eq(ends),
            issued.all.eq(ends & loops.last),
            issued.part.eq(part),
        ]
        return issued, sums.o.payload

    def _tokens(self, m: Module, kept, issued) -> list:
        """The token that was issued so many cycles ago; behind the writer's there are none."""
        tokens = [issued]
        for n in range(1, _COMBINED + 1):
            tokens.append(Signal(TOKEN, name=f"token{n}"))
            m.d.sync += tokens[n].eq(tokens[n - 1])
            if n == _RESULTS + 1:
                with m.If(~kept.tables):
                    m.d.sync += tokens[n].eq(0)
            if n == _SOFTMAX + 1:
                with m.If(kept.softmax):
                    m.d.sync += tokens[n].eq(0)
        return tokens

    def _requantize(
        self, m: Module, kept, begin: Value, parameters: ParameterMemory, acc
    ) -> list[Value]:
        """The results of all lanes, _RESULTS cycles later."""
        m.d.comb += [
            parameters.load.eq(begin),
            parameters.first.eq(kept.parameter),
            parameters.groups.eq(kept.groups),
        ]
        wiring.connect(m, wiring.flipped(self.parameter_write), parameters.write)
        rounding = rounding_of(m, "rounding", kept.shift, kept.half_even, kept.low, kept.high)
        late = delay_line(m, acc, ParameterMemory.TAKE, "acc", data=True)
        sums = data.View(self.word, late)
        results = []
        for n in range(self.shape.pe):
            m.submodules[f"lane{n}"] = lane = RequantLane(signed(32))
            m.d.comb += [
                lane.acc.eq(sums[n]),
                lane.parameters.eq(parameters.records[n]),
                lane.rounding.eq(rounding),
            ]
            results.append(lane.o)
        return results

    def _combine(
        self, m: Module, kept, with_second: Value, part: Value, results, operand: SecondOperand,
        softmax: SoftmaxLane,
    ) -> Value:  # fmt: skip
        """The results of a part's lanes with tables, _COMBINED cycles after it began."""
        lanes = self.shape.pe // TABLE_PARTS
        m.submodules.combine = combine = TableCombine(self.shape, lanes)
        wiring.connect(m, wiring.flipped(self.table_write), combine.write)
        bits = BYTE * lanes
        for port, value in (
            (combine.codes, Cat(lane[:BYTE] for lane in results)),
            (combine.seconds, operand.o.payload),
        ):
            of_part = Array(value[bits * n : bits * (n + 1)] for n in range(TABLE_PARTS))[part]
            m.d.comb += port.as_value().eq(of_part)
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
        token, coming = Signal(TOKEN, name="here"), Signal(TOKEN, name="coming")
        for chosen, ahead in ((token, 0), (coming, RingPlace.LATENCY)):
            # Chosen a cycle before, by one of two registers.
            with_tables, without, of_softmax = (
                tokens[end - ahead - 1] for end in (_COMBINED, _RESULTS, _SOFTMAX)
            )
            m.d.sync += chosen.eq(
                Mux(kept.tables, with_tables, Mux(kept.softmax, of_softmax, without))
            )
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
