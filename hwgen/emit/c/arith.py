"""Integer arithmetic in C: roundings, overflows and runtimes' scaling rules as functions.

Signed right shifts, whose result C leaves to the compiler, and overflowing signed arithmetic are
avoided. Only the functions that a network uses are written.
"""

from __future__ import annotations

from ...errors import UserError
from ...numeric import Overflow, QType, Rounding, Scaling
from .text import number

SAFE_BITS = 61
"""Magnitudes below 2**61 leave room for every rounding in 64 bits."""
MAX_SHIFT = 62

_UP = {
    Rounding.FLOOR: "0",
    Rounding.CEIL: "rest != 0",
    Rounding.TO_ZERO: "rest != 0 && v < 0",
    Rounding.FROM_ZERO: "rest != 0 && v >= 0",
    Rounding.HALF_UP: "rest >= half",
    Rounding.HALF_DOWN: "rest > half",
    Rounding.HALF_TO_ZERO: "rest > half || (rest == half && v < 0)",
    Rounding.HALF_AWAY: "rest > half || (rest == half && v >= 0)",
    Rounding.HALF_EVEN: "rest > half || (rest == half && (q & 1) != 0)",
    Rounding.HALF_ODD: "rest > half || (rest == half && (q & 1) == 0)",
}

_SHIFT_DOWN = """\
/* v / 2**n, rounded down; n of 0 to 62. */
static inline int64_t shift_down(int64_t v, int n)
{
    return v < 0 ? ~(~v >> n) : v >> n;
}
"""

_WRAP = """\
/* The low bits of v, with a sign or without. */
static inline int64_t wrap(int64_t v, int width, int with_sign)
{
    const int64_t low = (int64_t)((uint64_t)v & ((UINT64_C(1) << width) - 1));
    return with_sign && (low >> (width - 1)) != 0 ? low - ((int64_t)1 << width) : low;
}
"""

_CLAMP = """\
static inline int64_t clamp(int64_t v, int64_t low, int64_t high)
{
    return v < low ? low : v > high ? high : v;
}
"""


_HIGH = """\
/* The rounded high product of two 32-bit numbers, doubled (ties up). */
static inline int64_t high_product(int64_t a, int64_t b)
{
    const int64_t high = shift_down(a * b + (INT64_C(1) << 30), 31);
    return high > INT32_MAX ? INT32_MAX : high;
}
"""

_FLOAT32 = """\
/* v * m / 2**n as float32 arithmetic gives it: v, the product and the result are each rounded to
   nearest even. */
static inline int64_t scaled_fp32(int64_t v, int64_t m, int n)
{
    uint64_t size = (uint64_t)(v < 0 ? -v : v);
    int up = 0;
    while (size >> (up + 24) != 0) {
        up++;
    }
    size = (uint64_t)round_half_even((int64_t)size, up) * (uint64_t)m;
    int over = 0;
    while (size >> (over + 24) != 0) {
        over++;
    }
    int64_t out = round_half_even((int64_t)size, over);
    n -= up + over;
    if (n > 62) {
        return 0;
    }
    out = n >= 0 ? round_half_even(out, n) : n < -38 ? INT64_C(1) << 62 : out * (INT64_C(1) << -n);
    return v < 0 ? -out : out;
}
"""

_DOUBLE = """\
/* v * real in IEC 60559 double arithmetic, ties away from zero. */
static inline int64_t scaled_double(int64_t v, double real)
{
    const volatile double product = (double)v * real;
    const int64_t whole = (int64_t)product;
    const double rest = product - (double)whole;
    return whole + (rest >= 0.5) - (rest <= -0.5);
}
"""


def rounding_name(rounding: Rounding) -> str:
    """The function of a rounding shift."""
    return f"round_{rounding.value}"


def _rounding(rounding: Rounding) -> str:
    if rounding is Rounding.FLOOR:
        body = "    return shift_down(v, n);\n"
    else:
        half = "    const int64_t half = INT64_C(1) << (n - 1);\n"
        needs_half = "half" in _UP[rounding]
        body = (
            "    if (n == 0) {\n        return v;\n    }\n"
            "    const int64_t q = shift_down(v, n);\n"
            "    const int64_t rest = v - q * (INT64_C(1) << n);\n"
            + (half if needs_half else "")
            + f"    return q + ({_UP[rounding]});\n"
        )
    return (
        f"/* v / 2**n, {rounding.value.replace('_', ' ')}; n of 0 to {MAX_SHIFT}. */\n"
        f"static inline int64_t {rounding_name(rounding)}(int64_t v, int n)\n{{\n{body}}}\n"
    )


def _dividing(rounding: Rounding) -> str:
    up = _UP[rounding].replace("half", "b").replace("v ", "a ")
    twice = "2 * rest" if "half" in _UP[rounding] else "rest"
    return (
        f"/* a / b, {rounding.value.replace('_', ' ')}; b > 0. */\n"
        f"static inline int64_t divide_{rounding.value}(int64_t a, int64_t b)\n{{\n"
        "    int64_t q = a / b, rest = a % b;\n"
        "    if (rest < 0) {\n        q--;\n        rest += b;\n    }\n"
        f"    rest = {twice};\n    return q + ({up});\n}}\n"
    )


class Helpers:
    """The functions that a network uses, in the order in which they need each other."""

    def __init__(self) -> None:
        self._used: dict[str, str] = {}

    def _use(self, key: str, text: str) -> None:
        self._used.setdefault(key, text)

    def shift(self, rounding: Rounding) -> str:
        """The name of a rounding shift."""
        self._use("shift_down", _SHIFT_DOWN)
        self._use(rounding_name(rounding), _rounding(rounding))
        return rounding_name(rounding)

    def divide(self, rounding: Rounding) -> str:
        """The name of a rounding division."""
        self._use(f"divide_{rounding.value}", _dividing(rounding))
        return f"divide_{rounding.value}"

    def clamp(self, value: str, low: int, high: int) -> str:
        """An expression limited to a range."""
        self._use("clamp", _CLAMP)
        return f"clamp({value}, {number(low)}, {number(high)})"

    def overflow(self, value: str, qtype: QType) -> str:
        """An expression brought into a type."""
        if qtype.overflow is Overflow.WRAP:
            self._use("wrap", _WRAP)
            return f"wrap({value}, {qtype.width}, {int(qtype.signed)})"
        if qtype.overflow is Overflow.SATURATE_ZERO:
            low, high = number(qtype.min), number(qtype.max)
            return f"(({value}) < {low} || ({value}) > {high} ? 0 : ({value}))"
        return self.clamp(value, qtype.low, qtype.max)

    def high_product(self) -> str:
        """The name of the rounding doubling high product."""
        self.shift(Rounding.FLOOR)
        self._use("high_product", _HIGH)
        return "high_product"

    def scaled(self, rule: Scaling, value: str, mult: str, shift: str) -> str:
        """An expression of a value scaled as a rule says; ``shift`` of 31 or more is a plain
        right shift to the fixed-point rules."""
        if rule is Scaling.FP32_HALF_EVEN:
            self.shift(Rounding.HALF_EVEN)
            self._use("scaled_fp32", _FLOAT32)
            return f"scaled_fp32({value}, {mult}, {shift})"
        if rule is Scaling.DOUBLE_HALF_AWAY:
            self._use("scaled_double", _DOUBLE)
            return f"scaled_double({value}, {mult})"
        ties = Rounding.HALF_AWAY if rule is Scaling.TFLM_DOUBLE else Rounding.HALF_UP
        high, last = self.high_product(), self.shift(ties)
        name = f"scaled_{rule.value}"
        self._use(name, (
            f"static inline int64_t {name}(int64_t v, int64_t m, int n)\n{{\n"
            "    const int left = n < 31 ? 31 - n : 0, right = n > 31 ? n - 31 : 0;\n"
            f"    const int64_t product = {high}(v * (INT64_C(1) << left), m);\n"
            f"    return {last}(product, right > 62 ? 62 : right);\n}}\n"
        ))  # fmt: skip
        return f"{name}({value}, {mult}, {shift})"

    def add(self, key: str, text: str) -> None:
        """A function of a layer's own, once."""
        self._use(key, text)

    def text(self) -> str:
        """All functions that are used."""
        return "\n".join(self._used.values())


def check_bits(bound: int, what: str) -> None:
    """Raise UserError where magnitudes up to ``bound`` do not fit the C code's 64 bits."""
    if bound.bit_length() > SAFE_BITS:
        raise UserError(
            f"{what} takes {bound.bit_length() + 1} bits, the C code has 64",
            hint="use narrower weights or scales",
        )
