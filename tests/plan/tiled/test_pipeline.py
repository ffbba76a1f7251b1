"""The timing model's latencies are those of the gateware; its cycles are tested in archs/tiled."""

from __future__ import annotations

import pytest

from hwgen.contract.engine import EngineShape
from hwgen.contract.isa import Opcode
from hwgen.gateware.bus import write_master
from hwgen.gateware.bus.axi import BurstSplitter
from hwgen.gateware.common.multiplier import Multiplier
from hwgen.gateware.engine.compute.tap_fetch import TapFetch
from hwgen.gateware.engine.compute.tile_array import TileArray
from hwgen.gateware.engine.fetch import dispatcher, fetcher, prefetch
from hwgen.gateware.engine.memory import load
from hwgen.gateware.engine.memory import row_walker as rows
from hwgen.gateware.engine.memory.dma import Dma
from hwgen.gateware.engine.memory.feature_ports import VISIBLE
from hwgen.gateware.engine.memory.store import WAITING, StoreUnit
from hwgen.gateware.engine.result import result, result_writer, second_operand
from hwgen.gateware.engine.result.softmax_lane import SoftmaxLane
from hwgen.plan import latency
from hwgen.plan.tiled.timing import channels, pipeline
from hwgen.plan.tiled.timing.channels import Channel

SHAPES = [
    EngineShape(pe=pe, simd=simd, mem_width=width, requantizers=pe // parts)
    for pe, simd, width, parts in (
        (4, 4, 32, 1),
        (4, 16, 256, 4),
        (8, 8, 64, 2),
        (16, 16, 64, 1),
        (64, 64, 128, 8),
    )
]


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_latencies_of_a_shape_are_the_gatewares(shape: EngineShape) -> None:
    known, stage = pipeline.Pipeline.of(shape), result.ResultStage(shape)
    assert known.sum == TileArray.latency(shape)
    for wide, tables in ((False, False), (True, False), (False, True)):
        assert known.cycles(wide, tables) == stage.cycles(wide, tables)
    assert stage.sums == pipeline.SUMS


def test_latencies_of_all_shapes_are_the_gatewares() -> None:
    dma = Dma(SHAPES[0])
    for master in (dma.read, dma.write):
        assert (master.outstanding, master.max_beats) == (pipeline.OUTSTANDING, pipeline.MAX_BEATS)
    assert dma.read.LATENCY == pipeline.SPLITTER + 1
    assert dma.write.LATENCY == pipeline.SPLITTER + pipeline.OFFERED + 1
    assert dma.read.buffer == pipeline.READ_BUFFER
    assert dma.write.buffer == pipeline.WRITE_BUFFER
    assert write_master.LEAVING == pipeline.BEFORE_CHANNEL
    assert BurstSplitter.LATENCY == pipeline.SPLITTER
    assert (rows.RowWalker.LATENCY, rows.AHEAD) == (pipeline.WALKER, pipeline.ROWS_AHEAD)
    assert load.WAITING == pipeline.LOAD_REQUESTS
    assert (StoreUnit.READ - 1, WAITING) == (pipeline.STORE_READ, pipeline.STORE_REQUESTS)
    assert (prefetch.CHUNK, prefetch.SLOTS) == (pipeline.CHUNK, pipeline.SLOTS)
    assert prefetch.Prefetch.START == pipeline.PREFETCH_START
    assert dispatcher.Dispatcher.OFFER == pipeline.COUNTED
    assert {Opcode[n.upper()]: q for n, q in dispatcher.QUEUE.items()} == pipeline.QUEUES
    assert fetcher.Fetcher.OFFER == pipeline.FETCHED + dispatcher.DescriptorQueue.WHOLE
    assert fetcher.Fetcher.CLOSE + 1 == pipeline.CLOSE
    assert TileArray.PLACED + TapFetch.ADDRESS == pipeline.ADDRESS
    assert TileArray.OPERANDS == pipeline.TAP_FETCH
    assert TileArray.GAP == pipeline.TAP_FETCH + 2
    assert Multiplier.LATENCY == pipeline.MULTIPLIER
    assert result.ResultStage.LATENCY == pipeline.RESULTS
    assert result.ResultStage.TABLE_LATENCY == pipeline.TABLE_RESULTS
    assert result.ResultStage.START == pipeline.START
    assert result.ResultStage.START_SECOND == pipeline.SECOND
    assert result.ResultStage.SOFTMAX_LATENCY == pipeline.SOFTMAX_RESULT
    assert SoftmaxLane.PAUSE == latency.SOFTMAX_PAUSE and SoftmaxLane.LATENCY == latency.SOFTMAX
    assert second_operand.SecondOperand.LATENCY + 2 == pipeline.SECOND
    assert second_operand.SecondOperand.READ == pipeline.SECOND_READ
    assert second_operand.SecondOperand.PLACE == pipeline.SECOND_PLACE
    assert second_operand.ASKED == pipeline.SECOND_PLACES
    assert (result.SECONDS, result.RESULTS) == (pipeline.SECONDS, pipeline.SECOND_USED)
    assert result_writer.TABLE_SHARE == pipeline.TABLE_SHARE
    assert VISIBLE == pipeline.VISIBLE


@pytest.mark.parametrize("rate", [1.0, 0.75, 0.5, 0.3])
def test_a_channel_gives_beats_as_its_credit_grows(rate: float) -> None:
    """Against a count in every cycle, as the bench's memory has it."""
    channel, credit, cycle, got = Channel(rate), 1.0, -1, []
    for ready, count in ((0, 5), (3, 4), (40, 7), (41, 1), (90, 30)):
        expected = []
        while len(expected) < count:
            cycle += 1
            credit = min(credit + rate, 1.0 + rate)
            if cycle >= ready and credit >= 1.0 - 1e-9:
                credit -= 1.0
                expected.append(cycle)
        beats = channel.pass_beats(ready, count)
        got.append([beats.at(n) for n in range(count)] == expected)
    assert all(got)


def test_bursts_end_at_blocks() -> None:
    assert channels.bursts(0, 64, 8) == [64]
    assert channels.bursts(8 * 60, 70, 8) == [4, 64, 2]
