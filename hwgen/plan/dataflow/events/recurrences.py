"""Recurrences of the event model: when each piece of a unit's work happens, in compiled code.

A recurrence adds the times of piece n of a process to its lists, or gives False where an event
that it needs is not known yet; then it has changed nothing that counts, and is asked again later.
Its arguments come from the process's own row of integers: places of lists, tables and state in the
memory m, and constants. Times are cycles; state is zero at first.

All are in one file since Numba keeps what it compiled until the file of ``run`` changes.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from .times import Pointer, Words, add, address, at, compiled, count, inlined, last


class Kind(IntEnum):
    """Every recurrence there is."""

    SOURCE = 0
    SINK = 1
    TAKE = 2
    FORK = 3
    JOIN = 4
    REGROUP = 5
    FILL_ROWS = 6
    REPEAT_ROWS = 7
    WRITE_RING = 8
    READ_RING = 9
    SHIFT = 10
    CONVOLVE = 11
    MULTIPLY = 12
    REDUCE = 13
    DRAIN = 14
    READ_TAPS = 15
    VECTOR = 16


@inlined
def wait(m: Pointer, waits: int, starved: int, blocked: int) -> None:
    """Count cycles in which a unit waited for input, and for room at its output."""
    m[waits] += starved
    m[waits + 1] += blocked


@inlined
def source(m: Pointer, n: int, push: int, pop: int, depth: int, cycles: int, beats: int) -> bool:
    """A beat, as soon as there is room, but no sooner than if ``beats`` take ``cycles``."""
    time = max(last(m, push) + 1, n * cycles // beats)
    if n >= depth:
        if count(m, pop) <= n - depth:
            return False
        time = max(time, at(m, pop, n - depth) + 1)
    add(m, push, time)
    return True


@inlined
def sink(m: Pointer, n: int, push: int, pop: int) -> bool:
    """A beat, as soon as it is there."""
    if count(m, push) <= n:
        return False
    add(m, pop, max(last(m, pop), at(m, push, n)) + 1)
    return True


@inlined
def take(
    m: Pointer, n: int, pushed: int, popped: int, push: int, pop: int, waits: int, completes: int,
    beats: int, depth: int, delay: int
) -> bool:  # fmt: skip
    """An input beat; some are answered ``delay`` cycles later."""
    if count(m, pushed) <= n:
        return False
    before = last(m, popped)
    begin = max(before, at(m, pushed, n)) + 1
    time = begin
    if m[completes + n % beats]:
        place = count(m, push) - depth
        if place >= 0:
            if count(m, pop) <= place:
                return False
            time = max(time, at(m, pop, place) + 1)
        add(m, push, time + delay)
    wait(m, waits, begin - before - 1, time - begin)
    add(m, popped, time)
    return True


@inlined
def fork(
    m: Pointer, n: int, pushed: int, popped: int, waits: int, readers: int, row: Pointer
) -> bool:  # fmt: skip
    """A beat, to all readers in the same cycle. Behind the arguments: push, pop, depth of each."""
    if count(m, pushed) <= n:
        return False
    before = last(m, popped)
    begin = max(before, at(m, pushed, n)) + 1
    time = begin
    for reader in range(readers):
        pop, place = row[5 + 3 * reader], n - row[6 + 3 * reader]
        if place >= 0:
            if count(m, pop) <= place:
                return False
            time = max(time, at(m, pop, place) + 1)
    wait(m, waits, begin - before - 1, time - begin)
    add(m, popped, time)
    for reader in range(readers):
        add(m, row[4 + 3 * reader], time)
    return True


@inlined
def join(
    m: Pointer, n: int, push: int, pop: int, waits: int, taken: int, waited: int, beats: int,
    depth: int, delay: int, sources: int, row: Pointer
) -> bool:  # fmt: skip
    """An output beat, of the inputs it takes one from. Behind the arguments: push, pop of each.

    taken, waited : for each beat of a frame, the inputs it takes and waits for, a bit each.
    """
    before = last(m, push) - delay if n else -1
    begin = before + 1
    for source in range(sources):
        pushed, popped = row[9 + 2 * source], row[10 + 2 * source]
        if m[waited + n % beats] >> source & 1:
            if count(m, pushed) <= count(m, popped):
                return False
            begin = max(begin, at(m, pushed, count(m, popped)) + 1)
    time = begin
    if n >= depth:
        if count(m, pop) <= n - depth:
            return False
        time = max(time, at(m, pop, n - depth) + 1)
    wait(m, waits, begin - before - 1, time - begin)
    for source in range(sources):
        if m[taken + n % beats] >> source & 1:
            add(m, row[10 + 2 * source], time)
    add(m, push, time + delay)
    return True


@inlined
def regroup(
    m: Pointer, n: int, pushed: int, popped: int, push: int, pop: int, waits: int, state: int,
    sizes_in: int, beats_in: int, sizes_out: int, beats_out: int, lanes: int, capacity: int
) -> bool:  # fmt: skip
    """An input beat's elements, given on in beats of another size.

    state : elements taken, offered, given; beats given.
    """
    taken, offered, given, givens = state, state + 1, state + 2, state + 3
    if count(m, pushed) <= n:
        return False
    before = last(m, popped)
    begin = max(before, at(m, pushed, n)) + 1
    # Room for a whole beat, counting what had left before this cycle.
    while m[taken] - m[given] + lanes > capacity:
        if count(m, pop) <= m[givens]:
            return False
        m[given] += m[sizes_out + m[givens] % beats_out]
        m[givens] += 1
    time = max(begin, at(m, pop, m[givens] - 1) + 1) if m[givens] else begin
    wait(m, waits, begin - before - 1, time - begin)
    m[taken] += m[sizes_in + n % beats_in]
    add(m, popped, time)
    while m[offered] + m[sizes_out + count(m, push) % beats_out] <= m[taken]:
        m[offered] += m[sizes_out + count(m, push) % beats_out]
        add(m, push, time)
    return True


@inlined
def fill_rows(
    m: Pointer, n: int, pushed: int, popped: int, complete: int, read: int, row_beats: int
) -> bool:  # fmt: skip
    """A beat written to one of two row buffers."""
    if count(m, pushed) <= n:
        return False
    time = max(last(m, popped), at(m, pushed, n)) + 1
    row = n // row_beats
    if row >= 2:
        if count(m, read) <= row - 2:
            return False
        time = max(time, at(m, read, row - 2) + 1)
    add(m, popped, time)
    if (n + 1) % row_beats == 0:
        add(m, complete, time)
    return True


@inlined
def repeat_rows(
    m: Pointer, n: int, push: int, pop: int, complete: int, read: int, waits: int, depth: int,
    beats: int
) -> bool:  # fmt: skip
    """A beat read from a row buffer, which gives ``beats`` of them."""
    before = last(m, push) - 1 if n else -1
    begin = before + 1
    row = n // beats
    if n % beats == 0:
        if count(m, complete) <= row:
            return False
        begin = max(begin, at(m, complete, row) + 1)
    time = begin
    if n >= depth:
        if count(m, pop) <= n - depth:
            return False
        time = max(time, at(m, pop, n - depth) + 1)
    wait(m, waits, begin - before - 1, time - begin)
    add(m, push, time + 1)
    if (n + 1) % beats == 0:
        add(m, read, time)
    return True


@inlined
def write_ring(
    m: Pointer, n: int, pushed: int, popped: int, released: int, rows: int, row_beats: int
) -> bool:  # fmt: skip
    """A beat written to a ring of rows, once its row is free."""
    if count(m, pushed) <= n:
        return False
    time = max(last(m, popped), at(m, pushed, n)) + 1
    row = n // row_beats
    if row >= rows:
        if count(m, released) <= row - rows:
            return False
        time = max(time, at(m, released, row - rows) + 1)
    add(m, popped, time)
    return True


@inlined
def read_ring(
    m: Pointer, n: int, written: int, issued: int, accepted: int, released: int, state: int,
    reads: int, places: int, releases: int, steps: int, beats: int, frame: int, queue: int,
    seen: int
) -> bool:  # fmt: skip
    """A beat asked of the ring's memory when the ring's output queue has a place for it.

    state : step, beat of the step. For each of the ``steps`` of a frame: reads, the place of the
    last row's first beat (-1: a virtual column), rows released at the end. Its ``beats`` repeat
    where rows are read one after the other.
    """
    step, beat = m[state] % steps, m[state + 1]
    time = last(m, issued)
    if n >= queue:
        if count(m, accepted) <= n - queue:
            return False
        time = max(time, at(m, accepted, n - queue))
    time += 1
    if m[places + step] >= 0:
        place = m[state] // steps * frame + m[places + step] + beat % beats
        if count(m, written) <= place:
            return False
        time = max(time, at(m, written, place) + seen)
    add(m, issued, time)
    m[state + 1] += 1
    if beat + 1 == m[reads + step]:
        # The last beat is read in the cycle after it is asked for.
        for _ in range(m[releases + step]):
            add(m, released, time + 1)
        m[state] += 1
        m[state + 1] = 0
    return True


@inlined
def shift(
    m: Pointer, n: int, issued: int, accepted: int, push: int, freed: int, state: int, reads: int,
    completes: int, steps: int, depth: int, ring: int, window: int
) -> bool:  # fmt: skip
    """A beat accepted into the shift register, or a window put into the queue of windows.

    While a window waits for a place in its queue, no beat is accepted. state : step, beat of the
    step, cycle in which the last late window was queued.
    """
    step, beat, late = m[state] % steps, m[state + 1], m[state + 2]
    if beat < m[reads + step]:
        number = count(m, accepted)
        if count(m, issued) <= number:
            return False
        add(m, accepted, max(at(m, issued, number) + ring, last(m, accepted) + 1, late))
        beat += 1
    else:
        accept, room = last(m, accepted), 0
        place = count(m, push) - depth
        if place >= 0:
            if count(m, freed) <= place:
                return False
            room = at(m, freed, place) + 1
        if room > accept or accept == late:
            m[state + 2] = max(room, accept + window)
            add(m, push, m[state + 2])
        else:
            add(m, push, accept + window)
        beat += 1
    if beat == m[reads + step] + m[completes + step]:
        m[state] += 1
        beat = 0
    m[state + 1] = beat
    return True


@inlined
def convolve(
    m: Pointer, n: int, given: int, taken: int, freed: int, push: int, pop: int, waits: int,
    folds: int, cycles: int, depth: int, delay: int
) -> bool:  # fmt: skip
    """A word of accumulators: all taps of one of the ``folds`` of a window's outputs."""
    before = last(m, push) - delay if n else -1
    begin = before + 1
    window = n // folds
    if n % folds == 0:
        if count(m, given) <= window:
            return False
        begin = max(begin, at(m, given, window) + 1)
    ready = begin - 1 + cycles
    room = 0
    if n >= depth:
        if count(m, pop) <= n - depth:
            return False
        room = at(m, pop, n - depth) + 1
    time = max(ready, room)
    wait(m, waits, begin - before - 1, time - ready)
    add(m, push, time + delay)
    if (n + 1) % folds == 0:
        # A window's place is given back early where a word's place is sure a cycle before.
        early = 1 if cycles > 1 and room < ready else 0
        add(m, taken, time)
        add(m, freed, time - early)
    return True


@inlined
def read_taps(
    m: Pointer, n: int, written: int, released: int, push: int, pop: int, waits: int, places: int,
    releases: int, windows: int, frame: int, folds: int, cycles: int, depth: int, delay: int,
    seen: int
) -> bool:  # fmt: skip
    """A word of accumulators, its taps read from the ring of rows.

    For each of the ``windows`` of a frame: the place of the last beat it needs, in a frame of
    ``frame`` beats; rows released at its end.
    """
    before = last(m, push) - delay if n else -1
    begin = before + 1
    window = n // folds
    number = window % windows
    if n % folds == 0:
        place = window // windows * frame + m[places + number]
        if count(m, written) <= place:
            return False
        begin = max(begin, at(m, written, place) + seen)
    ready = begin - 1 + cycles
    time = ready
    if n >= depth:
        if count(m, pop) <= n - depth:
            return False
        time = max(time, at(m, pop, n - depth) + 1)
    wait(m, waits, begin - before - 1, time - ready)
    add(m, push, time + delay)
    if (n + 1) % folds == 0:
        # The last fold is read in the cycle after it is asked for.
        for _ in range(m[releases + number]):
            add(m, released, time + 1)
    return True


@inlined
def multiply(
    m: Pointer, n: int, pushed: int, popped: int, push: int, pop: int, waits: int, state: int,
    beats: int, folds: int, depth: int, delay: int
) -> bool:  # fmt: skip
    """A beat's products with all outputs; with the frame's last beat, a word of accumulators.

    state : the first cycle in which the array is free.
    """
    pieces = beats - 1 + folds
    beat, fold = n // pieces * beats + min(n % pieces, beats - 1), n % pieces - (beats - 1)
    begin = m[state]
    if fold <= 0:
        if count(m, pushed) <= beat:
            return False
        begin = max(begin, at(m, pushed, beat) + 1)
    time = begin
    if fold >= 0:
        place = count(m, push) - depth
        if place >= 0:
            if count(m, pop) <= place:
                return False
            time = max(time, at(m, pop, place) + 1)
        add(m, push, time + delay)
    wait(m, waits, begin - m[state], time - begin)
    m[state] = time + (folds if fold < 0 else 1)
    if fold < 0 or fold == folds - 1:
        add(m, popped, m[state] - 1)
    return True


@inlined
def reduce(
    m: Pointer, n: int, given: int, taken: int, freed: int, push: int, pop: int, waits: int,
    beats: int, depth: int, delay: int
) -> bool:  # fmt: skip
    """One of the ``beats`` of a window's results."""
    before = last(m, push) - delay if n else -1
    begin = before + 1
    window = n // beats
    if n % beats == 0:
        if count(m, given) <= window:
            return False
        begin = max(begin, at(m, given, window) + 1)
    time = begin
    if n >= depth:
        if count(m, pop) <= n - depth:
            return False
        time = max(time, at(m, pop, n - depth) + 1)
    wait(m, waits, begin - before - 1, time - begin)
    add(m, push, time + delay)
    if (n + 1) % beats == 0:
        add(m, taken, time)
        add(m, freed, time)
    return True


@inlined
def drain(
    m: Pointer, n: int, ready: int, taken: int, push: int, pop: int, state: int, beats: int,
    words: int, depth: int, delay: int
) -> bool:  # fmt: skip
    """A beat of a word of accumulators. state : beat of the word.

    beats : of each word, over and over.
    """
    word, beat = count(m, taken), m[state]
    time = last(m, push) - delay if n else -1
    if beat == 0:
        if count(m, ready) <= word:
            return False
        time = max(time, at(m, ready, word))
    time += 1
    if n >= depth:
        if count(m, pop) <= n - depth:
            return False
        time = max(time, at(m, pop, n - depth) + 1)
    add(m, push, time + delay)
    m[state] = beat + 1
    if beat + 1 == m[beats + word % words]:
        m[state] = 0
        add(m, taken, time)
    return True


@inlined
def vector(
    m: Pointer, n: int, pushed: int, popped: int, push: int, pop: int, waits: int, state: int,
    size: int, gap: int, every: int, depth: int, delay: int
) -> bool:  # fmt: skip
    """One of ``size`` beats taken, or of as many given, which begin ``gap`` after the last taken.

    every : cycles from one that is given to the next, or to taking again. state : the first cycle
    in which the unit is free.
    """
    place = n % (2 * size)
    begin = time = m[state]
    if place < size:
        number = count(m, popped)
        if count(m, pushed) <= number:
            return False
        time = max(time, at(m, pushed, number) + 1)
        wait(m, waits, time - begin, 0)
        add(m, popped, time)
        m[state] = time + (gap if place == size - 1 else 1)
        return True
    full = count(m, push) - depth
    if full >= 0:
        if count(m, pop) <= full:
            return False
        time = max(time, at(m, pop, full) + 1)
    wait(m, waits, 0, time - begin)
    add(m, push, time + delay)
    m[state] = time + every
    return True


MOST_ARGUMENTS = 14
"""Arguments of a recurrence; the forks and joins of more take them from the row."""


@inlined
def advance(kind: int, m: Pointer, n: int, end: int, row: Pointer) -> int:
    """Pieces of a process from n on, as many as can be; gives the first that can not."""
    a = (
        row[0], row[1], row[2], row[3], row[4], row[5], row[6], row[7], row[8], row[9], row[10],
        row[11], row[12], row[13],
    )  # fmt: skip
    if kind == Kind.SOURCE:
        while n < end and source(m, n, *a[:5]):
            n += 1
    elif kind == Kind.SINK:
        while n < end and sink(m, n, *a[:2]):
            n += 1
    elif kind == Kind.TAKE:
        while n < end and take(m, n, *a[:9]):
            n += 1
    elif kind == Kind.FORK:
        while n < end and fork(m, n, *a[:4], row):
            n += 1
    elif kind == Kind.JOIN:
        while n < end and join(m, n, *a[:9], row):
            n += 1
    elif kind == Kind.REGROUP:
        while n < end and regroup(m, n, *a[:12]):
            n += 1
    elif kind == Kind.FILL_ROWS:
        while n < end and fill_rows(m, n, *a[:5]):
            n += 1
    elif kind == Kind.REPEAT_ROWS:
        while n < end and repeat_rows(m, n, *a[:7]):
            n += 1
    elif kind == Kind.WRITE_RING:
        while n < end and write_ring(m, n, *a[:5]):
            n += 1
    elif kind == Kind.READ_RING:
        while n < end and read_ring(m, n, *a[:13]):
            n += 1
    elif kind == Kind.SHIFT:
        while n < end and shift(m, n, *a[:11]):
            n += 1
    elif kind == Kind.CONVOLVE:
        while n < end and convolve(m, n, *a[:10]):
            n += 1
    elif kind == Kind.MULTIPLY:
        while n < end and multiply(m, n, *a[:10]):
            n += 1
    elif kind == Kind.REDUCE:
        while n < end and reduce(m, n, *a[:9]):
            n += 1
    elif kind == Kind.READ_TAPS:
        while n < end and read_taps(m, n, *a[:14]):
            n += 1
    elif kind == Kind.VECTOR:
        while n < end and vector(m, n, *a[:11]):
            n += 1
    elif kind == Kind.DRAIN:
        while n < end and drain(m, n, *a[:9]):
            n += 1
    return n


@compiled
def run(
    memory: Words, kinds: Words, pieces: Words, rows: Words, begins: Words, neighbours: Words
) -> bool:
    """All processes to their end; False where none can go on.

    pieces : of each process. rows : (processes, arguments). The processes that may wait for process
    p are ``neighbours[begins[p] : begins[p + 1]]``: only those are tried again once p has gone on.
    """
    m, done = address(memory), np.zeros_like(pieces)
    waits = np.ones(kinds.size, np.bool_)
    missing, before = pieces.sum(), -1
    while missing != before:
        before = missing
        for process in range(kinds.size):
            if not waits[process]:
                continue
            waits[process] = False
            n = done[process]
            done[process] = advance(kinds[process], m, n, pieces[process], address(rows[process]))
            if done[process] > n:
                missing -= done[process] - n
                for place in range(begins[process], begins[process + 1]):
                    waits[neighbours[place]] = True
    return missing == 0
