"""The faults of scripts/mutants.py: what is replaced by what, and which tests ought to notice."""

from __future__ import annotations

from dataclasses import dataclass

UNITS = ("tests/gateware", "tests/archs")
NUMBERS = ("tests/numeric",)
SIGNS = ("tests/gateware/common/test_mac.py", "tests/archs/dataflow/test_few_weights.py")
BANKED = ("tests/gateware/engine/memory/test_feature_memory.py",)
RESULTS = ("tests/gateware/engine/result/test_result.py",)
GOLDEN = ("tests/ir", "tests/archs")
SOFTMAX = ("tests/gateware/common/test_softmax.py",)
LANE = ("tests/gateware/engine/result/test_softmax_lane.py",)
TRANSFERS = ("tests/gateware/engine/memory/test_dma.py",)
PROGRAMS = ("tests/gateware/engine/fetch/test_fetcher.py",)
MASTERS = ("tests/gateware/bus/test_axi.py",)
TILES = ("tests/gateware/engine/compute/test_tile_unit.py",)
SIDE_BY_SIDE = ("tests/gateware/engine/compute/test_tile_units.py",)


@dataclass(frozen=True)
class Mutation:
    """``old``, which occurs once in ``file``, becomes ``new``."""

    name: str
    file: str
    old: str
    new: str
    tests: tuple[str, ...] = UNITS

    def applied(self, text: str) -> str:
        """The text with the fault. Raises ValueError where the place is not found."""
        if text.count(self.old) != 1:
            raise ValueError(f"{self.name}: {self.old!r} occurs {text.count(self.old)} times")
        return text.replace(self.old, self.new)


GATES, OPS, NUMS = "hwgen/gateware/", "hwgen/ir/ops/", "hwgen/numeric/"

MUTATIONS = (
    # Numbers, in gateware and in golden.
    Mutation(
        "pivot one too high",
        GATES + "common/requantizer.py",
        'under.eq(acc < given["pivot"])',
        'under.eq(acc <= given["pivot"])',
    ),
    Mutation(
        "golden forgets the pivot",
        OPS + "requantize.py",
        "return np.where(x >= chosen(self.pivot), chosen(self.bias), chosen(self.below))",
        "return chosen(self.bias)",
        ("tests/passes",),
    ),
    Mutation(
        "golden double rounding rounds once",
        NUMS + "scaling.py",
        "high = round_shift((values << left) * mult, FIXED_FRAC, Rounding.HALF_UP)",
        "high = round_shift((values << left) * mult, FIXED_FRAC, Rounding.FLOOR)",
        ("tests/numeric", "tests/importers/test_tflite.py"),
    ),
    Mutation(
        "padding holds zero, not the zero point",
        "hwgen/archs/dataflow/lower.py",
        "pad_value=_operand(graph, unit.layers[0]).type.zero_point,",
        "pad_value=0,",
    ),
    Mutation(
        "zero point of the weights' sum forgotten",
        "hwgen/passes/zero_points.py",
        "constant = -zero * op.weights.sum(axis=axes)",
        "constant = 0 * op.weights.sum(axis=axes)",
        ("tests/passes",),
    ),
    Mutation(
        "softmax forgets the bits over one",
        NUMS + "gemmlowp.py",
        "over_unit + (31 - width)",
        "31 - width",
        ("tests/numeric", "tests/importers/test_tflite.py"),
    ),
    Mutation(
        "softmax counts a difference too many",
        "hwgen/plan/exponentials.py",
        "if difference <= counted else 0",
        "if difference <= counted + 1 else 0",
        SOFTMAX,
    ),
    Mutation(
        "softmax rounds no product",
        GATES + "common/softmax.py",
        "(multiplier.p >> 31) + multiplier.p[30]",
        "multiplier.p >> 31",
        SOFTMAX,
    ),
    Mutation(
        "softmax errs by a unit in a Newton step",
        GATES + "common/softmax.py",
        "x.eq(x + (high << 2))",
        "x.eq(x + (high << 2) + 1)",
        SOFTMAX,
    ),
    Mutation(
        "softmax wraps a sure winner",
        GATES + "common/softmax.py",
        "Mux(rounded[-1], Const((1 << width) - 1, width), rounded[:-1])",
        "rounded[:-1]",
        SOFTMAX,
    ),
    Mutation(
        "softmax begins a vector with the last one's largest",
        GATES + "common/softmax.py",
        "first.eq(element.last)",
        "first.eq(0)",
        SOFTMAX,
    ),
    Mutation(
        "no saturation",
        GATES + "common/requantizer.py",
        "    return clamped(value, out.low, out.max)",
        "    return value[: out.width]",
    ),
    Mutation(
        "saturation one too low",
        GATES + "common/requantizer.py",
        "Mux(value > high, high, value)",
        "Mux(value >= high, high - 1, value)",
    ),
    Mutation(
        "half even rounds half up",
        GATES + "common/requantizer.py",
        "            return half & (below | odd)",
        "            return half",
    ),
    Mutation(
        "half away rounds half up",
        GATES + "common/requantizer.py",
        "            return half & (below | ~negative)",
        "            return half",
    ),
    Mutation(
        "floor rounds up",
        GATES + "common/requantizer.py",
        "        case Rounding.FLOOR:\n            return Const(0)",
        "        case Rounding.FLOOR:\n            return rest",
    ),
    Mutation(
        "signed comparison without its bias",
        GATES + "common/requantizer.py",
        "return Cat(a[:-1], ~a[-1]) > Cat(b[:-1], ~b[-1])",
        "return Cat(a) > Cat(b)",
    ),
    Mutation(
        "accumulator starts with the last sum",
        GATES + "common/mac.py",
        "start.eq(Mux(self.first, 0, previous))",
        "start.eq(previous)",
    ),
    Mutation(
        "sum lost in the adder tree",
        GATES + "common/dot.py",
        "value = sum(terms[start + 1 : start + arity], terms[start])",
        "value = sum(terms[start + 1 : start + arity - 1], terms[start])",
    ),
    Mutation(
        "padding counts as -1",
        GATES + "common/dot.py",
        "agrees.eq(_is_tap(x_held) & (_is_negative(x_held) == w_held))",
        "agrees.eq(_is_negative(x_held) == w_held)",
        SIGNS,
    ),
    Mutation(
        "powers of two without their sign",
        GATES + "common/multiplier.py",
        "self.p.eq(Mux(b[-1], -size, size))",
        "self.p.eq(size)",
        SIGNS,
    ),
    Mutation(
        "lanes beyond the last input multiplied by a filler",
        GATES + "stream/dense.py",
        "if self.mac.filler == 0 or used == simd:",
        "if True:",
        SIGNS,
    ),
    Mutation(
        "taps beyond the last one multiplied by a filler",
        GATES + "stream/window_conv.py",
        "if start + lane >= self.taps and self.mac.filler:",
        "if False:",
        SIGNS,
    ),
    Mutation(
        "weights of two outputs swapped",
        GATES + "stream/conv.py",
        "            for o in range(out_fold * pe, (out_fold + 1) * pe)\n",
        "            for o in sorted(range(out_fold * pe, (out_fold + 1) * pe),\n"
        "                            key=lambda o: o ^ 1)\n",
    ),
    Mutation(
        "a group reads its neighbour's channel",
        GATES + "stream/window_conv.py",
        "group * channels + channel)",
        "max(0, group - 1) * channels + channel)",
    ),
    Mutation(
        "golden without overflow",
        NUMS + "arith.py",
        "    return np.clip(values, low, high)\n\n\ndef _scale",
        "    return values\n\n\ndef _scale",
        NUMBERS,
    ),
    Mutation(
        "golden wraps where it saturates",
        NUMS + "arith.py",
        "    if qtype.overflow is Overflow.WRAP:",
        "    if qtype.overflow is not None:",
        NUMBERS,
    ),
    Mutation(
        "golden half even is half odd",
        NUMS + "arith.py",
        "(tie & (quotient % 2 != 0)),",
        "(tie & (quotient % 2 == 0)),",
        NUMBERS,
    ),
    Mutation(
        "golden saturates symmetric types at their minimum",
        NUMS + "arith.py",
        "    low, high = qtype.low, qtype.max\n",
        "    low, high = qtype.min, qtype.max\n",
        NUMBERS,
    ),
    # Windows, addresses, counters.
    Mutation(
        "left padding one off",
        GATES + "stream/window.py",
        "first = max(0, -(-(pad - tap) // step))",
        "first = max(0, -(-(pad - tap + 1) // step))",
    ),
    Mutation(
        "right padding one off",
        GATES + "stream/window.py",
        "last = (size - 1 + pad - tap) // step",
        "last = (size + pad - tap) // step",
    ),
    Mutation(
        "golden pads at the other side",
        OPS + "_spatial.py",
        "pads.append((total // 2, total - total // 2))",
        "pads.append((total - total // 2, total // 2))",
        ("tests/ir",),
    ),
    Mutation(
        "ring reads the next position",
        GATES + "stream/ring.py",
        "asked = delay_line(m, position, 1,",
        "asked = delay_line(m, position + 1, 1,",
    ),
    Mutation(
        "ring releases a row early",
        GATES + "stream/ring.py",
        "self.i.ready.eq(held < self.rows)",
        "self.i.ready.eq(held <= self.rows)",
    ),
    Mutation(
        "ring reads before the beat is written",
        GATES + "stream/ring.py",
        "(complete > waited)",
        "(complete >= waited)",
    ),
    Mutation(
        "ring's first slot wrong behind padding",
        GATES + "stream/ring.py",
        "init=(-g.pads[0][0]) % rows",
        "init=0",
    ),
    Mutation(
        "window counts a step too few",
        GATES + "stream/window.py",
        "Mux(out_row.last, g.first_steps, again)",
        "Mux(out_row.last, g.first_steps - 1, again)",
    ),
    Mutation(
        "counter wraps one late",
        GATES + "common/counter.py",
        "self.value == self.length - 2",
        "self.value == self.length - 1",
    ),
    Mutation(
        "fold counter skips the weights of a fold",
        GATES + "stream/conv.py",
        "rom.addr.eq(delay_line(m, fold.value,",
        "rom.addr.eq(delay_line(m, fold.value & ~1,",
    ),
    Mutation(
        "first tap fold is not the first",
        GATES + "stream/conv.py",
        'tap_fold.value == 0, latency, "first"',
        'tap_fold.last, latency, "first"',
    ),
    Mutation("pool takes the smaller", GATES + "stream/pool.py", "greater(", "~greater("),
    Mutation(
        "staircase reaches a threshold one late",
        GATES + "stream/staircase.py",
        "Cat(value >= threshold, before)",
        "Cat(value > threshold, before)",
    ),
    Mutation(
        "argmax takes the last of equals",
        GATES + "stream/elementwise.py",
        "greater(value, best)",
        "~greater(best, value)",
    ),
    Mutation(
        "a sum is pushed where none was taken",
        GATES + "stream/join_fork.py",
        'delay_line(m, take, self.LATENCY, "push")',
        'delay_line(m, fifo.room, self.LATENCY, "push")',
    ),
    Mutation(
        "a product forgets a zero point",
        GATES + "stream/join_fork.py",
        "value = element - zero",
        "value = element - self.zeros[0]",
    ),
    Mutation(
        "a slice keeps a row too many",
        "hwgen/archs/dataflow/lower.py",
        "unit.kept, unit.fifo",
        "((True, *unit.kept[0][1:]), *unit.kept[1:]), unit.fifo",
    ),
    # Taps straight from the ring.
    Mutation(
        "a window is ready a beat too early",
        GATES + "stream/taps.py",
        "first = min(last, g.first_steps * g.beats - 1)",
        "first = max(0, min(last, g.first_steps * g.beats - 1) - 1)",
    ),
    Mutation(
        "columns beyond the frame are read as they are",
        GATES + "stream/taps.py",
        "real = delay_line(m, row & column, 4,",
        "real = delay_line(m, row, 4,",
    ),
    Mutation(
        "rows given back a window too early",
        GATES + "stream/taps.py",
        "memory.released.eq(Mux(row_done, released, 0))",
        "memory.released.eq(Mux(window_done & (group.value == 0), released, 0))",
    ),
    Mutation(
        "dilated columns read side by side",
        GATES + "stream/taps.py",
        "across = self.dilation[1] * g.beats",
        "across = g.beats",
    ),
    Mutation(
        "rows in parallel meet weights of rows in turn",
        GATES + "stream/ring_conv.py",
        "if not self.depths.parallel:\n            return self.weights",
        "if True:\n            return self.weights",
    ),
    # Runtimes' own rules.
    Mutation(
        "a tie in a float always goes up",
        GATES + "stream/rescaler.py",
        "up = (fraction > high) | (up & whole[0])",
        "up = (fraction > high) | up",
    ),
    Mutation(
        "a float's product is not rounded",
        GATES + "stream/rescaler.py",
        "1 << (place + e) if place + e >= 0 else 0 for e",
        "0 * e for e",
    ),
    Mutation(
        "a wide input is not rounded to a float",
        GATES + "stream/rescaler.py",
        "(size[drop:] + (half & (rest | odd))) << drop",
        "size",
    ),
    Mutation(
        "the first rounding of a fixed-point rule is forgotten",
        GATES + "stream/rescaler.py",
        "(product + (1 << (FIXED_FRAC - 1))) >> FIXED_FRAC",
        "product >> FIXED_FRAC",
    ),
    Mutation(
        "concat goes on before a beat is taken",
        GATES + "stream/join_fork.py",
        "with m.If(take & last):",
        "with m.If(last):",
    ),
    Mutation(
        "fork gives only to its first output",
        GATES + "stream/join_fork.py",
        "fifo.push.eq(take),\n                fifo.data",
        "fifo.push.eq(take & (n == 0)),\n                fifo.data",
    ),
    Mutation(
        "border one column late",
        GATES + "stream/pad_crop_upsample.py",
        "inside = inside & (counter.value >= before)",
        "inside = inside & (counter.value > before)",
    ),
    Mutation(
        "upsampling forgets a row",
        GATES + "stream/pad_crop_upsample.py",
        "m.d.sync += slot.eq(slot ^ row_read)",
        "m.d.sync += slot.eq(row_read)",
    ),
    # Streams.
    Mutation(
        "a FIFO one shorter",
        GATES + "common/fifo.py",
        "full.eq(self.take & (reserved == self.depth - 1))",
        "full.eq(self.take & (reserved >= self.depth - 2))",
    ),
    Mutation(
        "a FIFO believes in one slot more",
        GATES + "common/fifo.py",
        "full.eq(self.take & (reserved == self.depth - 1))",
        "full.eq(self.take & (reserved == self.depth))",
    ),
    Mutation(
        "a deep FIFO skips its first register",
        GATES + "common/fifo.py",
        "    return Mux(first_valid, Value.cast(first), storage.r_data)",
        "    return storage.r_data",
    ),
    Mutation(
        "a short frame is not filled up",
        GATES + "bus/axis.py",
        'm.next = "FILL"',
        'm.next = "PASS"',
    ),
    Mutation(
        "dropped TLAST",
        GATES + "bus/axis.py",
        "self.tlast.eq(count.last & pixel.last)",
        "self.tlast.eq(count.last & pixel.last & 0)",
    ),
    Mutation("TKEEP always full", GATES + "bus/axis.py", "Mux(count.last, partial, full)", "full"),
    Mutation(
        "unused lanes change while a beat waits",
        GATES + "stream/elementwise.py",
        "m.d.comb += self.o.payload.eq(held[:used])",
        "m.d.comb += self.o.payload.eq(held)",
        ("tests/formal/test_streams.py",),
    ),
    Mutation(
        "drain gives a word back early",
        GATES + "stream/drain.py",
        "word_done.eq(issue & part_done & pixel_done)",
        "word_done.eq(issue & pixel_done)",
    ),
    Mutation(
        "interval counter one short",
        GATES + "stream/csr.py",
        "since_end.eq(1)]",
        "since_end.eq(0)]",
    ),
    Mutation(
        "a short frame leaves no mark",
        GATES + "stream/csr.py",
        "m.d.sync += short_seen.eq(1)",
        "m.d.sync += short_seen.eq(0)",
    ),
    # The tiled engine's memory and results.
    Mutation(
        "store takes a bank from second",
        GATES + "engine/memory/feature_memory.py",
        "store.ready.eq(~taps[store.bank] & ~meets)",
        "store.ready.eq(~taps[store.bank])",
        BANKED,
    ),
    Mutation(
        "a word from an odd one on ends in the one before",
        GATES + "engine/memory/feature_memory.py",
        "self.even = (line[1:] + line[0])[: len(line) - 1]",
        "self.even = line[1:]",
        BANKED,
    ),
    Mutation(
        "run-time requantizer takes all halves for ties",
        GATES + "engine/result/runtime_requantizer.py",
        "dropped.eq((value[: len(rounding.below)] & rounding.below).any())",
        "dropped.eq(0)",
        RESULTS,
    ),
    Mutation(
        "ring leaves out its row 0",
        GATES + "engine/result/output_walk.py",
        "Mux(stride < 0, near < 0, far >= 0)",
        "Mux(stride < 0, near < 0, far > 0)",
        RESULTS,
    ),
    Mutation(
        "results without tables go on to the next command's",
        GATES + "engine/result/result.py",
        "with m.If(~kept.tables):",
        "with m.If(kept.tables & ~kept.tables):",
        RESULTS,
    ),
    Mutation(
        "parameters of the first group for every group",
        GATES + "engine/result/parameters.py",
        "[next_group.eq(group + 1), next_word.eq(word + 1)]",
        "[next_group.eq(group + 1), next_word.eq(word)]",
        RESULTS,
    ),
    Mutation(
        "a request's first burst is too long",
        GATES + "bus/axi.py",
        "burst.length.eq(Mux(last, tail, self.max_beats - 1) - first)",
        "burst.length.eq(Mux(last, tail, self.max_beats - 1))",
        ("tests/gateware/bus/test_axi.py",),
    ),
    Mutation(
        "stores go below what may be written",
        GATES + "bus/axi.py",
        "outside.eq(self._below | (self._end > self.limit))",
        "outside.eq(self._end > self.limit)",
        ("tests/gateware/bus/test_axi.py", "tests/formal/test_axi.py"),
    ),
    Mutation(
        "a row's last beat is moved whole",
        GATES + "engine/memory/row_walker.py",
        "return Mux(first, from_skip, ~0) & Mux(last, to_end, ~0)",
        "return Mux(first, from_skip, ~0)",
        ("tests/gateware/engine/memory/test_dma.py",),
    ),
    Mutation(
        "a descriptor goes a count too early",
        GATES + "engine/fetch/dispatcher.py",
        'ahead.eq(self.counts[n] - getattr(fields, f"wait_{unit}"))',
        'ahead.eq(self.counts[n] - getattr(fields, f"wait_{unit}") + 1)',
        ("tests/gateware/engine/fetch/test_fetcher.py",),
    ),
    Mutation(
        "what is offered to a unit is withdrawn",
        GATES + "engine/fetch/dispatcher.py",
        "reached.eq(~leaves & (reached | (whole & self._reached(m, fields))))",
        "reached.eq(~leaves & whole & self._reached(m, fields))",
        ("tests/formal/test_dispatch.py",),
    ),
    # The tiled engine's other parts.
    Mutation(
        "lanes begin behind the first one",
        GATES + "common/counter.py",
        "(first <= n for n",
        "(first < n for n",
        BANKED,
    ),
    Mutation(
        "a row above the ifmap is read",
        GATES + "engine/compute/tap_fetch.py",
        "within.eq((row >= 0) & (row < self.command.x_rows))",
        "within.eq(row < self.command.x_rows)",
        TILES,
    ),
    Mutation(
        "a window's rows do not turn with the ring",
        GATES + "engine/compute/tap_fetch.py",
        "below.eq(Mux(last, 0, place.p + c.x_pitch))",
        "below.eq(place.p + c.x_pitch)",
        TILES,
    ),
    Mutation(
        "bytes behind a row are read",
        GATES + "engine/compute/tap_fetch.py",
        "(low <= n) & (high > n) for n",
        "low <= n for n",
        TILES,
    ),
    Mutation(
        "a window begins with columns of the row before",
        GATES + "engine/compute/tap_fetch.py",
        "columns = (Mux(begins, pad, oldest), Mux(begins, pad, before), newest)",
        "columns = (oldest, before, newest)",
        TILES,
    ),
    Mutation(
        "a tile begins with the operands of the one before",
        GATES + "engine/compute/tile_array.py",
        "m.d.sync += change.before.eq(1)",
        "m.d.sync += change.before.eq(0)",
        TILES,
    ),
    Mutation(
        "a largest value begins with the last one",
        GATES + "engine/compute/tile_array.py",
        "Mux(first | (value > largest), value, largest)",
        "Mux(value > largest, value, largest)",
        TILES,
    ),
    Mutation(
        "a loop gives no results in its first turn only",
        GATES + "engine/compute/loop_nest.py",
        "early.eq(Mux(at_last, skip.any(), early",
        "early.eq(Mux(at_last, 0, early",
        TILES,
    ),
    Mutation(
        "a ring turns a row late",
        GATES + "engine/compute/loop_nest.py",
        "Mux(total >= size, total - size, total)",
        "Mux(total > size, total - size, total)",
        TILES,
    ),
    Mutation(
        "a slice of weights is written to all of them",
        GATES + "engine/compute/weights.py",
        "self.write.en & (self.write.slice == n)",
        "self.write.en",
        TILES,
    ),
    Mutation(
        "loops of no steps are begun",
        GATES + "engine/compute/tile_unit.py",
        "wrong = [~Cat(count.any() for count in counts).all()]",
        "wrong = []",
        (
            "tests/gateware/engine/compute/test_tile_unit.py::test_a_tile_that_can_not_be_is_refused",
        ),
    ),
    Mutation(
        "tiles are told of in the order of their ends",
        GATES + "engine/compute/tile_units.py",
        "ended.append(some & (order.o.payload == n))",
        "ended.append(some)",
        SIDE_BY_SIDE,
    ),
    Mutation(
        "a unit that ended one tile ended two",
        GATES + "engine/compute/tile_units.py",
        "some.eq(~told | (count != 1))",
        "some.eq(~told | (count != 0))",
        SIDE_BY_SIDE,
    ),
    Mutation(
        "a tile goes to all units",
        GATES + "engine/compute/tile_units.py",
        "waiting.push.eq(begins & mine)",
        "waiting.push.eq(begins)",
        SIDE_BY_SIDE,
    ),
    Mutation(
        "a store takes the words of all units",
        GATES + "engine/compute/tile_units.py",
        "word = word | Mux(came[n], unit.store.data, 0)",
        "word = word | unit.store.data",
        SIDE_BY_SIDE,
    ),
    Mutation(
        "a unit too many is known",
        GATES + "engine/compute/tile_units.py",
        "known.eq(self.command.payload.unit < self.shape.tiles)",
        "known.eq(self.command.payload.unit <= self.shape.tiles)",
        SIDE_BY_SIDE,
    ),
    Mutation(
        "a unit takes a write again while others wait",
        GATES + "engine/memory/broadcast.py",
        "self.i.en & self.units[n] & ~took[n]",
        "self.i.en & self.units[n]",
        SIDE_BY_SIDE,
    ),
    Mutation(
        "a write ends with the first unit that takes it",
        GATES + "engine/memory/broadcast.py",
        "(~self.units | took | Cat(port.ready for port in self.o)).all()",
        "(self.units & (took | Cat(port.ready for port in self.o))).any()",
        SIDE_BY_SIDE,
    ),
    Mutation(
        "units that a write is not for hold it up",
        GATES + "engine/memory/broadcast.py",
        "(~self.units | took | Cat(",
        "(took | Cat(",
        SIDE_BY_SIDE,
    ),
    Mutation(
        "a softmax takes signed bytes for unsigned ones",
        GATES + "engine/result/softmax_lane.py",
        "self.i.payload.word_select(taken.lane, 8) ^ (given.x_signed << 7)",
        "self.i.payload.word_select(taken.lane, 8)",
        LANE,
    ),
    Mutation(
        "all lanes of a vector's last word count",
        GATES + "engine/result/softmax_lane.py",
        "Mux(self.final, descriptor.lanes - 1, shape.pe - 1)",
        "Mux(self.final, shape.pe - 1, shape.pe - 1)",
        LANE,
    ),
    Mutation(
        "a softmax forgets its smallest result",
        GATES + "engine/result/softmax_lane.py",
        "core.o.payload[0] + given.low[:8]",
        "core.o.payload[0]",
        LANE,
    ),
    Mutation(
        "only a vector's last word ends",
        GATES + "engine/result/softmax_lane.py",
        "self.o.payload.last.eq(gone.ends)",
        "self.o.payload.last.eq(gone.ends & gone.final)",
        LANE,
    ),
    Mutation(
        "table 1 counts without a second operand",
        GATES + "engine/result/combine.py",
        "Mux(self.with_second, entries[1], 0)",
        "entries[1]",
        RESULTS,
    ),
    Mutation(
        "a word is spoken for twice",
        GATES + "engine/result/second_operand.py",
        "came | (free != 1)",
        "came | (free != 0)",
        RESULTS,
    ),
    Mutation(
        "lanes that are no channels are written",
        GATES + "engine/result/result_writer.py",
        "Mux(self.descriptor.softmax, single, Mux(last, inside, -1))",
        "Mux(self.descriptor.softmax, single, -1)",
        RESULTS,
    ),
    Mutation(
        "a load goes on while its memory lets it wait",
        GATES + "engine/memory/load.py",
        "self.data.ready.eq(rows.o.valid & ~stalls)",
        "self.data.ready.eq(rows.o.valid)",
        TRANSFERS,
    ),
    Mutation(
        "a load of tables stays at one word",
        GATES + "engine/memory/load.py",
        "word_ends.eq(ends[0] | ends[1] | (row.target == Target.TABLES))",
        "word_ends.eq(ends[0] | ends[1])",
        TRANSFERS,
    ),
    Mutation(
        "a load is finished before it can be read",
        GATES + "engine/memory/load.py",
        'delay_line(m, written, self.SETTLE, "settle")',
        'delay_line(m, written, self.SETTLE - 1, "settle")',
        TRANSFERS,
    ),
    Mutation(
        "a load goes to the units of those before",
        GATES + "engine/memory/load.py",
        "units.eq(row.units),",
        "units.eq(units | row.units),",
        TRANSFERS,
    ),
    Mutation(
        "a store reads on while its memory lets it wait",
        GATES + "engine/memory/store.py",
        "rows.o.valid & beats.room & (~en | port.ready)",
        "rows.o.valid & beats.room",
        TRANSFERS,
    ),
    Mutation(
        "a store takes a word that did not come",
        GATES + "engine/memory/store.py",
        'delay_line(m, en & port.ready, READ_LATENCY, "read")',
        'delay_line(m, en, READ_LATENCY, "read")',
        TRANSFERS,
    ),
    Mutation(
        "a store reads a row's first beat each time",
        GATES + "engine/memory/store.py",
        "place.eq(Mux(first, row.start, following))",
        "place.eq(row.start)",
        TRANSFERS,
    ),
    Mutation(
        "a store reads from the units of those before",
        GATES + "engine/memory/store.py",
        "units.eq(row.units),",
        "units.eq(units | row.units),",
        TRANSFERS,
    ),
    Mutation(
        "a program ends before its units",
        GATES + "engine/fetch/dispatcher.py",
        'self.finished.eq(ended & now["all_empty"] & now["all_idle"])',
        'self.finished.eq(ended & now["all_empty"])',
        PROGRAMS,
    ),
    Mutation(
        "a program whose units are at work is stalled",
        GATES + "engine/fetch/dispatcher.py",
        '(blocked | ended) & now["all_wait"] & now["all_idle"]',
        '(blocked | ended) & now["all_wait"]',
        PROGRAMS,
    ),
    Mutation(
        "several units share the queue of one",
        GATES + "engine/fetch/dispatcher.py",
        "self.tiles * QUEUE[unit]",
        "QUEUE[unit]",
        PROGRAMS,
    ),
    Mutation(
        "slots are asked for without room",
        GATES + "engine/fetch/prefetch.py",
        "Mux(chunk_fits, free >= CHUNK, slot_fits & (free != 0))",
        "Mux(chunk_fits, free != 0, slot_fits & (free != 0))",
        PROGRAMS,
    ),
    Mutation(
        "a run ends while masters are at work",
        GATES + "engine/fetch/fetcher.py",
        "with m.If(self.masters_idle):",
        "with m.If(self.masters_idle | self.stop):",
        PROGRAMS,
    ),
    Mutation(
        "a program is read up to the image's end",
        GATES + "engine/memory/dma.py",
        "Mux(ends_early, self.program_end, self.limit)",
        "self.limit",
        PROGRAMS,
    ),
    Mutation(
        "a burst is read without room for it",
        GATES + "bus/read_master.py",
        "room.eq(free >= 2 * self.max_beats)",
        "room.eq(free >= self.max_beats)",
        MASTERS,
    ),
    Mutation(
        "a burst is written before its data are there",
        GATES + "bus/write_master.py",
        "complete.eq(waiting > length)",
        "complete.eq(waiting != 0)",
        MASTERS,
    ),
    Mutation(
        "a start is taken while a program runs",
        GATES + "engine/csr.py",
        "self.start.eq(starts & ~running)",
        "self.start.eq(starts)",
        ("tests/gateware/engine/test_csr.py",),
    ),
    Mutation(
        "event model forgets a cycle",
        "hwgen/plan/latency.py",
        "return 3 + adder_tree(simd)",
        "return 2 + adder_tree(simd)",
    ),
    Mutation(
        "plan: buffers one entry less",
        "hwgen/plan/dataflow/buffers.py",
        "return _set(units, index, field, high)",
        "return _set(units, index, field, high - 1)",
        ("tests/plan",),
    ),
)
