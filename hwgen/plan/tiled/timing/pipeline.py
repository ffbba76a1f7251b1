"""Latencies of the engine's gateware, as the cycle model counts on them.

Each is stated by the gateware too; a test compares them.
"""

from __future__ import annotations

from dataclasses import dataclass

from ....contract.engine import EngineShape
from ....contract.isa import Opcode
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
LOAD_REQUESTS = 2
"""Rows whose requests wait for the read master."""
STORE_REQUESTS = 8
"""Rows whose requests wait for the write master."""
SPLITTER = 3
"""Cycles from a request to its first burst; as many requests are inside."""
OFFERED = 1
"""Cycles from a burst of a store to its begin, where its data are there: it is offered its room."""
LEAVING = 1
"""Cycles from a burst of a store to its first beat's leaving the buffer."""
BEFORE_CHANNEL = 2
"""Beats between that and the write channel."""
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
FETCHED = 1
"""Cycles from the cycle in which a beat of the program is taken to the dispatcher."""
PLACED = 3
"""Cycles from the cycle in which a descriptor's last beat leaves its queue to its being offered."""
COUNTED = 2
"""Cycles from a descriptor's end to those offered that waited for it."""
QUEUES = {Opcode.LOAD: 4, Opcode.COMPUTE: 2, Opcode.STORE: 4}
"""Descriptors that wait for each unit, that which is offered to it among them."""
FIRST_STEP = 2
"""Cycles from a tile that a unit takes to its first step. The array has it a cycle before."""
ON_BUS = 1
"""Cycles from the begin of a burst to its address at the bus, where memory is ready."""
ADDRESS = 5
"""Cycles from a step to the read of the feature memory."""
TAP_FETCH = 9
"""Cycles from a step to its operands."""
MULTIPLIER = 2
"""Cycles from operands to a product."""
CLOSE = 6
"""Cycles from the last descriptor's end to that of the program."""
UNDER_WAY, MOST_UNDER_WAY = 4, 16
"""Tiles for each of several tile units, and for all of them, that are not told of as finished."""
SUMS = 17
"""Words of sums that may wait for the result stage."""
FREED = 1
"""Cycles from the cycle in which a word leaves them to that in which its place may be seen free."""
RESULTS = 16
"""Cycles from the begin of a word's last slice to its results, their write included."""
TABLE_RESULTS = 21
"""The same where results go through tables."""
START = 2
"""Cycles from a command to the begin of its first word."""
SECOND = 11
"""Cycles from a command to the first word of its second operand."""
SECOND_READ = 4
"""Cycles from the read of such a word to that in which results can begin with it."""
SECOND_USED = 15
"""Cycles from the begin of a word's last slice to that in which its second operand has been used by
tables; a product has used it at once."""
SECONDS = 16
"""Words of the second operand that may be read ahead."""
SECOND_PLACE = 5
"""Cycles from the step to such a word to its read."""
SECOND_PLACES = 6
"""Words that may be stepped to ahead of their reads."""
SOFTMAX_RESULT = 7
"""Cycles from a byte that a softmax gives to its write."""
TABLE_SHARE = 4
"""One of so many sums of a word goes through tables at a time, where as many are requantized."""


@dataclass(frozen=True)
class Pipeline:
    """What depends on the engine's shape.

    sum : from a step to the sum that it finishes. narrow, wide, tables : cycles that a word of
    results of a byte, of wide results, of results through tables takes. lanes : results of a word.
    """

    sum: int
    narrow: int
    wide: int
    tables: int
    lanes: int

    @classmethod
    def of(cls, shape: EngineShape) -> Pipeline:
        """The pipeline of an engine."""
        levels, lanes, arity = 0, shape.simd, 2
        while lanes > 1:
            lanes, levels, arity = ceil_div(lanes, arity), levels + 1, 4
        parts, at_once = shape.result_parts, shape.requantizers
        return cls(
            TAP_FETCH + MULTIPLIER + levels + 1,
            parts,
            parts * ceil_div(4 * at_once, shape.word),
            shape.pe // min(at_once, shape.pe // TABLE_SHARE),
            shape.pe,
        )

    def cycles(self, wide: bool, tables: bool) -> int:
        """Cycles that a word of results takes."""
        return self.tables if tables else self.wide if wide else self.narrow
