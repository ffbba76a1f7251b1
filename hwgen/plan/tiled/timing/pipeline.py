"""Latencies of the engine's gateware, as the cycle model counts on them.

Each is stated by the gateware too; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import lcm

from ....contract.engine import EngineShape
from ....contract.isa import RECORD, Opcode
from ....numeric import ceil_div

MAX_BEATS = 64
"""Beats of the longest burst; bursts end at multiples of it."""
OUTSTANDING = 16
"""Bursts under way, each way."""
READ_BUFFER = 512
"""Beats that the read master holds. It begins a burst where two of the longest have room."""
WRITE_BUFFER = 128
"""Beats that the write master holds."""
ROWS_AHEAD = 16
"""Rows whose requests go ahead of their data."""
STORE_REQUESTS = 8
"""Rows whose requests wait for the write master."""
SPLITTER = 3
"""Cycles from a request to its first burst; as many requests are inside."""
OFFERED = 1
"""Cycles from a burst of a store to its begin, where its data are there: it is offered its room."""
WALKER = 3
"""Cycles from a transfer to its first row."""
VISIBLE = 2
"""Cycles from a write of the feature memory to reads that see it."""
STORE_READ = 5
"""Cycles from the read of a beat to the write master."""
PREFETCH_START = 3
"""Cycles from the start to the first request of the program; so many between requests too."""
CHUNK = 4
"""Slots of a request of the program."""
SLOTS = 16
"""Slots that are held or asked for."""
FETCHED = 2
"""Cycles from the cycle in which a beat of the program is taken to the dispatcher."""
COUNTED = 2
"""Cycles from a descriptor's end to those offered that waited for it."""
QUEUES = {Opcode.LOAD: 4, Opcode.COMPUTE: 2, Opcode.STORE: 4}
"""Descriptors that wait for each unit, that which is offered to it among them."""
FIRST_STEP = 2
"""Cycles from a tile that a unit takes to its first step. The array has it a cycle before."""
ON_BUS = 1
"""Cycles from the begin of a burst to its address at the bus, where memory is ready."""
ADDRESS = 4
"""Cycles from a step to the read of the feature memory."""
TAP_FETCH = 8
"""Cycles from a step to its operands."""
MOST_READS = 8
"""Cycles in which a word of parameters is read, at most."""
MULTIPLIER = 2
"""Cycles from operands to a product."""
CLOSE = 5
"""Cycles from the last descriptor's end to that of the program."""
UNDER_WAY, MOST_UNDER_WAY = 4, 16
"""Tiles for each of several tile units, and for all of them, that are not told of as finished."""
SUMS = 16
"""Words of sums that may wait for the result stage."""
RESULTS = 12
"""Cycles from a word's begin to its results, the write of the last part included."""
TABLE_RESULTS = 24
"""Cycles from a word's begin to its results where they go through tables."""
SECOND = 10
"""Cycles from a command to the first word of its second operand."""
SOFTMAX_RESULT = 5
"""Cycles from a byte that a softmax gives to its write."""
TABLE_PARTS = 4
"""Cycles that a word takes with tables: a quarter of the lanes has a second requantizer."""


@dataclass(frozen=True)
class Pipeline:
    """What depends on the engine's shape.

    sum : from a step to the sum that it finishes. turn : from the first word of a group to that of
    the next one, at least. wide_parts : cycles that a word of wide results takes. lanes : results
    of a word.
    """

    sum: int
    turn: int
    wide_parts: int
    lanes: int

    @classmethod
    def of(cls, shape: EngineShape) -> Pipeline:
        """The pipeline of an engine."""
        levels, lanes, arity = 0, shape.simd, 2
        while lanes > 1:
            lanes, levels, arity = ceil_div(lanes, arity), levels + 1, 4
        row = lcm(RECORD.size // 8, shape.bus_bytes)
        reads = min(MOST_READS, shape.pe, shape.parameter_bytes // row)
        return cls(
            TAP_FETCH + MULTIPLIER + levels + 1,
            2 + reads,
            max(1, 4 * shape.pe // shape.word),
            shape.pe,
        )
