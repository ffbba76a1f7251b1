#!/usr/bin/env python3
"""Checks this package's certificate again, with nothing but Python's own library.

  python3 check.py

- Every file is what the manifest says.
- Accumulators and all other edges: their ranges follow from the weights and the input's type, and
  every one fits its type.
- Requantizations that replaced batch norms, averages and the rules of runtimes equal them on every
  input: both are monotone, so it is enough to compare them at each step of either and at the ends.
  Tables are compared on every input.
- No queue, ring or window holds more than its capacity in the event model's run, nor in the RTL's
  where it was simulated.

Exits with 1 and says what is wrong. It is one long file, so that it can be read and run alone.
"""

import base64
import bisect
import hashlib
import json
import math
import struct
import sys
from fractions import Fraction
from pathlib import Path

HERE = Path(__file__).resolve().parent
CODES = {
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "int64": "q",
    "float32": "f",
    "float64": "d",
}


def load(name):
    return json.loads((HERE / name).read_text(encoding="utf-8"))


def shape_and_flat(value):
    """Lengths and elements of an array of a JSON file."""
    if isinstance(value, dict):
        raw = base64.b64decode(value["base64"])
        form = CODES[value["dtype"]]
        return value["shape"], list(
            struct.unpack(f"<{len(raw) // struct.calcsize(form)}{form}", raw)
        )
    if not isinstance(value, list):
        return [], [value]
    inner = [shape_and_flat(v) for v in value]
    return [len(value), *(inner[0][0] if inner else [])], [x for _, flat in inner for x in flat]


def flat(value):
    return shape_and_flat(value)[1]


def check_files(manifest):
    for name, digest in manifest["files"].items():
        path = HERE / name
        if not path.is_file():
            yield f"{name} is missing"
        elif hashlib.sha256(path.read_bytes()).hexdigest() != digest:
            yield f"{name} was changed"


def limits(t):
    low = -(1 << (t["width"] - 1)) if t["signed"] else 0
    return low, low + (1 << t["width"]) - 1


# --- ranges of edges ----------------------------------------------------------------------------


def product_ranges(layer, low, high, padded, zero):
    """Smallest and largest sum of products, one a channel."""
    shape, weights = shape_and_flat(layer["weights"])
    outputs = shape[-1]
    if padded:  # padded positions hold the zero point
        low, high = min(low, zero), max(high, zero)
    if not layer["raw"]:
        low, high = low - zero, high - zero
    least, most = [0] * outputs, [0] * outputs
    for index, w in enumerate(weights):
        a, b = sorted((w * low, w * high))
        least[index % outputs] += a
        most[index % outputs] += b
    return least, most


def pads_of(layer, x, y):
    """Whether any output of a window op sees a padded position."""
    if layer["padding"] == "valid":
        return False
    if layer["padding"] != "same":
        return any(n for side in layer["padding"] for n in side)
    kernel = shape_and_flat(layer["weights"])[0][:2]
    for n, out, k, s, d in zip(x["shape"], y["shape"], kernel, layer["stride"], layer["dilation"]):
        if (out - 1) * s + (k - 1) * d + 1 > n:
            return True
    return False


def requantize_range(layer, x):
    """The range from the ends and both sides of a pivot: between them the map is monotone."""
    ends = []
    for row in parameters(layer):
        inputs = list(x["range"])
        if layer["pivot"] is not None:
            inputs += [min(max(row["pivot"] - n, inputs[0]), inputs[1]) for n in (0, 1)]
        ends += [before_overflow(row, v, layer["type"]["rounding"]) for v in inputs]
    return limited(layer, min(ends), max(ends))


def rescale_range(layer, x):
    """The range that the ends of the input give: a runtime's rule is monotone."""
    rule, offset = layer["scaling"], layer["offset"]
    ends = [
        scaled(v + row["bias"], row["mult"], row["shift"], rule) + offset
        for row in parameters(layer)
        for v in x["range"]
    ]
    return limited(layer, min(ends), max(ends))


def limited(layer, low, high):
    """What overflow and clip leave of a range."""
    t = layer["type"]
    least, most = limits(t)
    if t["overflow"] == "saturate_symmetric" and t["signed"]:
        least = -most
    if low < least or high > most:
        if t["overflow"] == "wrap":
            low, high = least, most
        elif t["overflow"] == "saturate_zero":
            low, high = min(max(low, least), 0), max(min(high, most), 0)
    low, high = (min(max(v, least), most) for v in (low, high))
    if layer["clip"] is not None:
        low, high = (min(max(v, layer["clip"][0]), layer["clip"][1]) for v in (low, high))
    return low, high


def cast_range(layer):
    """The range from the smallest to the largest value of the types that elements have."""
    frac = max(t["frac"] for t in layer["types"])
    ends = []
    for index in set(flat(layer["index"])):
        if index < 0:
            ends.append(0)
            continue
        qtype = layer["types"][index]
        low, high = limits(qtype)
        low = -high if qtype["signed"] and qtype["overflow"] == "saturate_symmetric" else low
        ends += [low << (frac - qtype["frac"]), high << (frac - qtype["frac"])]
    return min(ends), max(ends)


def range_of(layer, inputs, y):
    """The range that an op's output must have, None where it is that of its type."""
    op, x = layer["op"], inputs[0]
    low, high = x["range"]
    if op in ("conv2d", "dense"):
        if layer["accumulator"] is not None:
            return None
        padded = op == "conv2d" and pads_of(layer, x, y)
        least, most = product_ranges(layer, low, high, padded, x["type"].get("zero_point", 0))
        return min(least), max(most)
    if op == "requantize":
        return requantize_range(layer, x)
    if op == "rescale":
        return rescale_range(layer, x)
    if op == "mul":
        a, b = ([end - i["type"].get("zero_point", 0) for end in i["range"]] for i in inputs)
        products = [m * n for m in a for n in b]
        return min(products), max(products)
    if op == "cast":
        return cast_range(layer)
    if op in ("softmax", "softmax_table"):
        return limits(layer["type"])
    if op == "staircase":
        values = flat(layer["values"])
        return min(values), max(values)
    if op == "slice":
        return low, high
    if op in ("max_pool", "flatten", "reshape", "upsample"):
        return low, high
    if op == "pad":
        return min(low, layer["value"]), max(high, layer["value"])
    if op == "argmax":
        return 0, x["shape"][-1] - 1
    if op == "concat":
        return min(i["range"][0] for i in inputs), max(i["range"][1] for i in inputs)
    if op == "add":
        frac = max(i["type"]["frac"] for i in inputs)
        up = [frac - i["type"]["frac"] for i in inputs]
        return tuple(sum(i["range"][end] << n for i, n in zip(inputs, up)) for end in (0, 1))
    if op == "sum_pool":
        taps = layer["kernel"][0] * layer["kernel"][1]
        ends = [taps * low, taps * high]
        if layer["padding"] != "valid":  # windows may hold fewer real elements
            ends += [low, high]
        return min(ends), max(ends)
    raise SystemExit(f"check.py does not know the op {op!r}")


def check_ranges(graph, certificate):
    edges = {edge["name"]: edge for edge in certificate["edges"]}
    for x in graph["inputs"]:
        if tuple(edges[x["name"]]["range"]) != limits(x["type"]):
            yield f"{x['name']}: its range is not that of its type"
    for layer in graph["layers"]:
        y = edges[layer["name"]]
        low, high = y["range"]
        least, most = limits(y["type"])
        if not least <= low <= high <= most:
            yield f"{layer['name']}: {low}..{high} does not fit its type"
        wanted = range_of(layer, [edges[name] for name in layer["inputs"]], y)
        if wanted is not None and not (low <= wanted[0] and wanted[1] <= high):
            yield f"{layer['name']}: {low}..{high} stated, {wanted[0]}..{wanted[1]} possible"


# --- requantizations ----------------------------------------------------------------------------


def rounded(n, d, mode):
    """n / d as an integer, d positive."""
    floor, rest = divmod(n, d)
    up = {
        "floor": False,
        "ceil": rest != 0,
        "to_zero": rest != 0 and n < 0,
        "from_zero": rest != 0 and n >= 0,
    }
    if mode in up:
        return floor + up[mode]
    tie = {
        "half_up": True,
        "half_down": False,
        "half_to_zero": n < 0,
        "half_away": n >= 0,
        "half_even": floor % 2 == 1,
        "half_odd": floor % 2 == 0,
    }[mode]
    return floor + (2 * rest > d or (2 * rest == d and tie))


def overflowed(value, t):
    low, high = limits(t)
    mode = t["overflow"]
    if mode == "wrap":
        return (value - low) % (high - low + 1) + low
    if mode == "saturate_zero":
        return value if low <= value <= high else 0
    if mode == "saturate_symmetric" and t["signed"]:
        low += 1
    return min(max(value, low), high)


def parameters(layer):
    """The numbers of a requantization, one channel after the other or one for all."""
    keys = [k for k in ("mult", "bias", "shift", "pivot", "below") if layer.get(k) is not None]
    columns = [flat(layer[key]) for key in keys]
    count = max(map(len, columns))
    full = (c if len(c) == count else c * count for c in columns)
    return [dict(zip(keys, row)) for row in zip(*full)]


def before_overflow(row, x, rounding):
    """A requantization's rounded result."""
    bias = row["below"] if "pivot" in row and x < row["pivot"] else row["bias"]
    return rounded(x * row["mult"] + bias, 1 << row["shift"], rounding)


def finished(layer, y):
    """Overflow and clip."""
    y, clip = overflowed(y, layer["type"]), layer["clip"]
    return y if clip is None else min(max(y, clip[0]), clip[1])


def integer(layer, channel):
    """A requantization as a function of one integer."""
    rows = parameters(layer)
    row = rows[channel if len(rows) > 1 else 0]
    return lambda x: finished(layer, before_overflow(row, x, layer["type"]["rounding"]))


def float32(value):
    """The nearest number of 24 bits, ties to even."""
    if not value:
        return value
    size = abs(value)
    exponent = size.numerator.bit_length() - size.denominator.bit_length() - 24
    while size >= Fraction(2) ** (exponent + 24):
        exponent += 1
    scaled = value / Fraction(2) ** exponent
    return rounded(scaled.numerator, scaled.denominator, "half_even") * Fraction(2) ** exponent


def scaled(x, mult, shift, rule):
    """x * mult / 2**shift as a runtime's rule rounds it."""
    if rule == "fp32_half_even":
        product = float32(float32(Fraction(x)) * Fraction(mult, 1 << shift))
        return rounded(product.numerator, product.denominator, "half_even")
    if rule == "double_half_away":
        product = Fraction(float(x) * math.ldexp(mult, -shift))
        return rounded(product.numerator, product.denominator, "half_away")
    left, right = max(0, 31 - shift), max(0, shift - 31)
    high = rounded((x << left) * mult, 1 << 31, "half_up")
    return rounded(high, 1 << right, "half_away" if rule == "tflm_double" else "half_up")


def rescale(layer, channel):
    """A runtime's rule as a function of one integer."""
    rows = parameters(layer)
    row, rule = rows[channel if len(rows) > 1 else 0], layer["scaling"]
    return lambda x: finished(
        layer, scaled(x + row["bias"], row["mult"], row["shift"], rule) + layer["offset"]
    )


def multi_threshold(layer, channel):
    """A table as a function of one integer."""
    shape, thresholds = shape_and_flat(layer["thresholds"])
    values, width = flat(layer["values"]), shape[-1]
    row = channel if len(shape) > 1 and shape[0] > 1 else 0
    mine = thresholds[row * width : (row + 1) * width]
    return lambda x: values[bisect.bisect_right(mine, x)]


def relu(layer, x_type):
    """A clipped ReLU."""
    low, high = x_type.get("zero_point", 0), limits(x_type)[1]
    high = high if layer["maximum"] is None else layer["maximum"]
    return lambda x: min(max(x, low), high)


def function_of(layer, x_type, channel):
    """Any elementwise layer as a function of one integer."""
    if layer["op"] == "batch_norm":
        return norm(layer, x_type, channel)
    if layer["op"] == "relu":
        return relu(layer, x_type)
    return {"requantize": integer, "rescale": rescale, "staircase": multi_threshold}[layer["op"]](
        layer, channel
    )


def chained(functions):
    def function(value):
        for part in functions:
            value = part(value)
        return value

    return function


def norm(layer, x_type, channel):
    """A batch norm: the float64 formula, then the quantizer."""
    scale, offset = flat(layer["scale"])[channel], flat(layer["offset"])[channel]
    t, clip = layer["type"], layer["clip"]

    def weight(kind):
        value = kind.get("scale")
        value = value[channel] if isinstance(value, list) else value
        return value

    def function(x):
        step = weight(x_type)
        x -= x_type.get("zero_point", 0)
        real = (
            math.ldexp(float(x), -x_type["frac"]) if step is None else x * step
        ) * scale + offset
        step = weight(t)
        exact = Fraction(real) * Fraction(2) ** t["frac"] if step is None else Fraction(real / step)
        y = rounded(exact.numerator, exact.denominator, t["rounding"]) + t.get("zero_point", 0)
        y = overflowed(y, t)
        return y if clip is None else min(max(y, clip[0]), clip[1])

    return function


def average(layer, x_type, divisor):
    """An average of a window's sum."""
    t = layer["type"]
    up = t.get("frac", 0) - x_type.get("frac", 0)

    def function(total):
        exact = Fraction(total, divisor) * Fraction(2) ** up
        return overflowed(rounded(exact.numerator, exact.denominator, t["rounding"]), t)

    return function


def steps(function, low, high):
    """Inputs around which a monotone function changes, and the ends."""
    found, todo = {low, high}, [(low, function(low), high, function(high))]
    while todo:
        a, at_a, b, at_b = todo.pop()
        if at_a == at_b:
            continue
        if b - a == 1:
            found |= {a, b}
            continue
        middle = (a + b) // 2
        at = function(middle)
        todo += [(a, at_a, middle, at), (middle, at, b, at_b)]
    return found


def input_ranges(item, graph, edges):
    """Smallest and largest input of each channel of a replaced layer."""
    x = item["input"]
    channels = x["shape"][-1]
    layer = next((n for n in graph["layers"] if n["name"] == x["name"]), None)
    if layer and layer["op"] in ("conv2d", "dense") and layer["accumulator"] is None:
        source, y = edges[layer["inputs"][0]], edges[layer["name"]]
        padded = layer["op"] == "conv2d" and pads_of(layer, source, y)
        zero = source["type"].get("zero_point", 0)
        low, high = source["range"]
        return list(zip(*product_ranges(layer, low, high, padded, zero)))
    return [tuple(x["range"])] * channels


def check_replacements(graph, certificate):
    edges = {edge["name"]: edge for edge in certificate["edges"]}
    for item in certificate["replacements"]:
        before, after, x = item["before"], item["after"], item["input"]
        table = before["op"] != "avg_pool" and after[-1]["op"] == "staircase"
        if any(
            layer.get("type", {}).get("overflow") in ("wrap", "saturate_zero")
            for layer in (before, after[-1])
        ):
            print(f"  {before['name']}: overflow is not monotone, compared on up to 65536 inputs")
        for channel, (low, high) in enumerate(input_ranges(item, graph, edges)):
            if before["op"] == "avg_pool":
                taps = before["kernel"][0] * before["kernel"][1]
                low, high = min(low, low * taps), max(high, high * taps)
                old = average(before, x["type"], item["divisor"])
                new = chained([integer(layer, channel) for layer in after[1:]])
            else:
                layers = [*item["earlier"], before]
                old = chained([function_of(layer, x["type"], channel) for layer in layers])
                new = chained([function_of(layer, x["type"], channel) for layer in after])
            if table:
                inputs = set(range(low, high + 1))
            else:
                inputs = steps(new, low, high) | steps(old, low, high)
            if before.get("type", {}).get("overflow") in ("wrap", "saturate_zero"):
                inputs |= set(range(low, high + 1, max(1, (high - low) // 65536)))
            wrong = [value for value in inputs if old(value) != new(value)]
            if wrong:
                yield f"{before['name']}: channel {channel} differs at {wrong[0]}"
                break


# --- buffers ------------------------------------------------------------------------------------


def check_buffers(plan):
    capacities = {}
    units = {unit["name"] for unit in plan["units"]}
    for unit in plan["units"]:
        for key, value in unit.items():
            name = "ring" if key == "rows" else key
            if name in ("ring", "windows", "shadow") or name.startswith("fifo"):
                capacities[f"{unit['name']}.{name}"] = value
    runs = {"the event model": plan["estimate"]["high_water"]}
    measured = HERE / "results" / "verify.json"
    if measured.is_file():
        result = json.loads(measured.read_text(encoding="utf-8"))
        runs["the RTL"] = result.get("high_water") or {}
    for run, levels in runs.items():
        for name, level in levels.items():
            owner = name.rpartition(".")[0]
            port = owner not in units and f"{owner}_".startswith("input_")
            if port or name.endswith(".elements"):
                continue  # these follow from the streams, nobody chooses them
            if name not in capacities:
                yield f"{name}: the plan does not say its capacity"
            elif level > capacities[name]:
                yield f"{name}: {level} entries in {run}, {capacities[name]} places"


def main():
    manifest, certificate = load("manifest.json"), load("certificate.json")
    graph, plan = load("graph.json"), load("plan.json")
    channels = sum(item["input"]["shape"][-1] for item in certificate["replacements"])
    parts = [
        (f"{len(manifest['files'])} files are those of the manifest", check_files(manifest)),
        (
            f"{len(certificate['edges'])} edges hold all their values",
            check_ranges(graph, certificate),
        ),
        (
            f"{channels} replaced channels equal what they replaced",
            check_replacements(graph, certificate),
        ),
    ]
    if "high_water" in plan["estimate"]:  # else the buffers are given out, not filled
        parts.append(
            (f"buffers of {len(plan['units'])} units are never overfull", check_buffers(plan))
        )
    failed = False
    for claim, faults in parts:
        faults = list(faults)
        print(("ok      " if not faults else "WRONG   ") + claim)
        for fault in faults:
            print(f"  {fault}")
        failed |= bool(faults)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
