"""Faults in hwgen/gateware/stream that tests must notice; see scripts/mutants.py."""

from __future__ import annotations

from tests.helpers.mutation import Mutation

MUTATIONS = (
    Mutation(
        "a frame ends with the first of the outputs",
        "hwgen/gateware/stream/frames.py",
        "last.eq(Cat(had).all())",
        "last.eq(any_of(events))",
        ("tests/gateware/stream/test_frames.py",),
    ),
    Mutation(
        "a port that caught up is still behind",
        "hwgen/gateware/stream/frames.py",
        "apart.eq(count != 1)",
        "apart.eq(1)",
        ("tests/gateware/stream/test_frames.py",),
    ),
    Mutation(
        "lanes beyond the last input multiplied by a filler",
        "hwgen/gateware/stream/dense.py",
        "if self.mac.filler == 0 or used == simd:",
        "if True:",
        (
            "tests/gateware/common/test_mac.py",
            "tests/archs/dataflow/test_few_weights.py",
        ),
    ),
    Mutation(
        "taps beyond the last one multiplied by a filler",
        "hwgen/gateware/stream/window_conv.py",
        "if start + lane >= self.taps and self.mac.filler:",
        "if False:",
        (
            "tests/gateware/common/test_mac.py",
            "tests/archs/dataflow/test_few_weights.py",
        ),
    ),
    Mutation(
        "weights of two outputs swapped",
        "hwgen/gateware/stream/conv.py",
        ("            for o in range(out_fold * pe, (out_fold + 1) * pe)\n"),
        (
            "            for o in sorted(range(out_fold * pe, (out_fold + 1) * pe),\n"
            "                            key=lambda o: o ^ 1)\n"
            ""
        ),
        ("tests/archs/dataflow/test_few_weights.py",),
    ),
    Mutation(
        "a group reads its neighbour's channel",
        "hwgen/gateware/stream/window_conv.py",
        "group * channels + channel)",
        "max(0, group - 1) * channels + channel)",
        ("tests/archs/dataflow/test_few_weights.py",),
    ),
    Mutation(
        "left padding one off",
        "hwgen/gateware/stream/window.py",
        "first = max(0, -(-(pad - tap) // step))",
        "first = max(0, -(-(pad - tap + 1) // step))",
        ("tests/gateware/stream/test_pool.py",),
    ),
    Mutation(
        "right padding one off",
        "hwgen/gateware/stream/window.py",
        "last = (size - 1 + pad - tap) // step",
        "last = (size + pad - tap) // step",
        ("tests/gateware/stream/test_pool.py",),
    ),
    Mutation(
        "ring reads the next position",
        "hwgen/gateware/stream/ring.py",
        "asked = delay_line(m, position, 1,",
        "asked = delay_line(m, position + 1, 1,",
        ("tests/gateware/stream/test_pool.py",),
    ),
    Mutation(
        "ring releases a row early",
        "hwgen/gateware/stream/ring.py",
        "self.i.ready.eq(held < self.rows)",
        "self.i.ready.eq(held <= self.rows)",
        ("tests/gateware/stream/test_pool.py",),
    ),
    Mutation(
        "ring reads before the beat is written",
        "hwgen/gateware/stream/ring.py",
        "(complete > waited)",
        "(complete >= waited)",
        ("tests/gateware/stream/test_pool.py",),
    ),
    Mutation(
        "ring's first slot wrong behind padding",
        "hwgen/gateware/stream/ring.py",
        "init=(-g.pads[0][0]) % rows",
        "init=0",
        ("tests/gateware/stream/test_pool.py",),
    ),
    Mutation(
        "window counts a step too few",
        "hwgen/gateware/stream/window.py",
        "Mux(out_row.last, g.first_steps, again)",
        "Mux(out_row.last, g.first_steps - 1, again)",
        ("tests/gateware/stream/test_pool.py",),
    ),
    Mutation(
        "fold counter skips the weights of a fold",
        "hwgen/gateware/stream/conv.py",
        "rom.addr.eq(delay_line(m, fold.value,",
        "rom.addr.eq(delay_line(m, fold.value & ~1,",
        ("tests/archs/dataflow/test_ports.py",),
    ),
    Mutation(
        "first tap fold is not the first",
        "hwgen/gateware/stream/conv.py",
        'tap_fold.value == 0, latency, "first"',
        'tap_fold.last, latency, "first"',
        ("tests/archs/dataflow/test_ports.py",),
    ),
    Mutation(
        "pool takes the smaller",
        "hwgen/gateware/stream/pool.py",
        "greater(",
        "~greater(",
        ("tests/gateware/stream/test_pool.py",),
    ),
    Mutation(
        "multi-threshold reaches a threshold one late",
        "hwgen/gateware/stream/multi_threshold.py",
        "Cat(value >= threshold, before)",
        "Cat(value > threshold, before)",
        ("tests/archs/dataflow/test_fuzz.py",),
    ),
    Mutation(
        "argmax takes the last of equals",
        "hwgen/gateware/stream/elementwise.py",
        "greater(value, best)",
        "~greater(best, value)",
        ("tests/gateware/stream/test_elementwise.py",),
    ),
    Mutation(
        "a sum is pushed where none was taken",
        "hwgen/gateware/stream/join_fork.py",
        'delay_line(m, take, self.LATENCY, "push")',
        'delay_line(m, fifo.room, self.LATENCY, "push")',
        ("tests/archs/dataflow/test_fuzz.py",),
    ),
    Mutation(
        "a product forgets a zero point",
        "hwgen/gateware/stream/join_fork.py",
        "value = element - zero",
        "value = element - self.zeros[0]",
        (
            "tests/gateware",
            "tests/archs",
        ),
    ),
    Mutation(
        "a window is ready a beat too early",
        "hwgen/gateware/stream/taps.py",
        "first = min(last, g.first_steps * g.beats - 1)",
        "first = max(0, min(last, g.first_steps * g.beats - 1) - 1)",
        (
            "tests/gateware",
            "tests/archs",
        ),
    ),
    Mutation(
        "columns beyond the frame are read as they are",
        "hwgen/gateware/stream/taps.py",
        "real = delay_line(m, row & column, 4,",
        "real = delay_line(m, row, 4,",
        (
            "tests/gateware",
            "tests/archs",
        ),
    ),
    Mutation(
        "rows given back a window too early",
        "hwgen/gateware/stream/taps.py",
        "memory.released.eq(Mux(row_done, released, 0))",
        "memory.released.eq(Mux(window_done & (group.value == 0), released, 0))",
        (
            "tests/gateware",
            "tests/archs",
        ),
    ),
    Mutation(
        "dilated columns read side by side",
        "hwgen/gateware/stream/taps.py",
        "across = self.dilation[1] * g.beats",
        "across = g.beats",
        (
            "tests/gateware",
            "tests/archs",
        ),
    ),
    Mutation(
        "rows in parallel meet weights of rows in turn",
        "hwgen/gateware/stream/ring_conv.py",
        ("if not self.depths.parallel:\n            return self.weights"),
        ("if True:\n            return self.weights"),
        (
            "tests/gateware",
            "tests/archs",
        ),
    ),
    Mutation(
        "a tie in a float always goes up",
        "hwgen/gateware/stream/rescaler.py",
        "up = (fraction > high) | (up & whole[0])",
        "up = (fraction > high) | up",
        (
            "tests/gateware",
            "tests/archs",
        ),
    ),
    Mutation(
        "a float's product is not rounded",
        "hwgen/gateware/stream/rescaler.py",
        "1 << (place + e) if place + e >= 0 else 0 for e",
        "0 * e for e",
        (
            "tests/gateware",
            "tests/archs",
        ),
    ),
    Mutation(
        "a wide input is not rounded to a float",
        "hwgen/gateware/stream/rescaler.py",
        "(size[drop:] + (half & (rest | odd))) << drop",
        "size",
        (
            "tests/gateware",
            "tests/archs",
        ),
    ),
    Mutation(
        "the first rounding of a fixed-point rule is forgotten",
        "hwgen/gateware/stream/rescaler.py",
        "(product + (1 << (FIXED_FRAC - 1))) >> FIXED_FRAC",
        "product >> FIXED_FRAC",
        (
            "tests/gateware",
            "tests/archs",
        ),
    ),
    Mutation(
        "concat goes on before a beat is taken",
        "hwgen/gateware/stream/join_fork.py",
        "with m.If(take & last):",
        "with m.If(last):",
        ("tests/archs/dataflow/test_fuzz.py",),
    ),
    Mutation(
        "fork gives only to its first output",
        "hwgen/gateware/stream/join_fork.py",
        ("fifo.push.eq(take),\n                fifo.data"),
        ("fifo.push.eq(take & (n == 0)),\n                fifo.data"),
        ("tests/archs/dataflow/test_fuzz.py",),
    ),
    Mutation(
        "border one column late",
        "hwgen/gateware/stream/pad_crop_upsample.py",
        "inside = inside & (counter.value >= before)",
        "inside = inside & (counter.value > before)",
        ("tests/archs/dataflow/test_fuzz.py",),
    ),
    Mutation(
        "upsampling forgets a row",
        "hwgen/gateware/stream/pad_crop_upsample.py",
        "m.d.sync += slot.eq(slot ^ row_read)",
        "m.d.sync += slot.eq(row_read)",
        ("tests/archs/dataflow/test_fuzz.py",),
    ),
    Mutation(
        "unused lanes change while a beat waits",
        "hwgen/gateware/stream/elementwise.py",
        "m.d.comb += self.o.payload.eq(held[:used])",
        "m.d.comb += self.o.payload.eq(held)",
        ("tests/formal/test_streams.py",),
    ),
    Mutation(
        "drain gives a word back early",
        "hwgen/gateware/stream/drain.py",
        "word_done.eq(issue & part_done & pixel_done)",
        "word_done.eq(issue & pixel_done)",
        ("tests/archs/dataflow/test_few_weights.py",),
    ),
    Mutation(
        "interval counter one short",
        "hwgen/gateware/stream/csr.py",
        "since_end.eq(1)]",
        "since_end.eq(0)]",
        ("tests/gateware/stream/test_csr.py",),
    ),
    Mutation(
        "a short frame leaves no mark",
        "hwgen/gateware/stream/csr.py",
        "m.d.sync += short_seen.eq(1)",
        "m.d.sync += short_seen.eq(0)",
        ("tests/gateware/stream/test_csr.py",),
    ),
    Mutation(
        "casts do not limit what is too large",
        "hwgen/gateware/stream/cast.py",
        "return Mux(outside_low, low, Mux(outside_high, high, value))",
        "return Mux(outside_low, low, value)",
        ("tests/gateware/stream/test_cast.py",),
    ),
)
