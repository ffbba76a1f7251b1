"""Integer arithmetic in C: roundings, overflows and runtimes' scaling rules as functions.

Nothing overflows, and nothing branches on a rounding, so that compilers turn loops into vectors.
Signed right shifts, whose result C leaves to the compiler, are checked when the code is compiled.
Only the functions that a network uses are written.
"""

from __future__ import annotations

from ...errors import UserError
from ...numeric import Overflow, QType, Rounding, Scaling
from .text import number

SAFE_BITS = 61
"""Magnitudes below 2**61 leave room for every rounding in 64 bits."""
MAX_SHIFT = 62

_ADDED = {
    Rounding.FLOOR: "0",
    Rounding.CEIL: "(INT64_C(1) << n) - 1",
    Rounding.TO_ZERO: "(v < 0 ? (INT64_C(1) << n) - 1 : 0)",
    Rounding.FROM_ZERO: "(v < 0 ? 0 : (INT64_C(1) << n) - 1)",
    Rounding.HALF_UP: "half",
    Rounding.HALF_DOWN: "half - (n != 0)",
    Rounding.HALF_TO_ZERO: "half - (n != 0 && v >= 0)",
    Rounding.HALF_AWAY: "half - (n != 0 && v < 0)",
    Rounding.HALF_EVEN: "half - (n != 0 && ((v >> n) & 1) == 0)",
    Rounding.HALF_ODD: "half - (n != 0 && ((v >> n) & 1) != 0)",
}
"""What is added before bits are cut off; nothing where none are (``half`` is 0 then)."""

_UP = {
    Rounding.FLOOR: "0",
    Rounding.CEIL: "rest != 0",
    Rounding.TO_ZERO: "rest != 0 && a < 0",
    Rounding.FROM_ZERO: "rest != 0 && a >= 0",
    Rounding.HALF_UP: "rest >= b",
    Rounding.HALF_DOWN: "rest > b",
    Rounding.HALF_TO_ZERO: "rest > b || (rest == b && a < 0)",
    Rounding.HALF_AWAY: "rest > b || (rest == b && a >= 0)",
    Rounding.HALF_EVEN: "rest > b || (rest == b && (q & 1) != 0)",
    Rounding.HALF_ODD: "rest > b || (rest == b && (q & 1) == 0)",
}
"""When a quotient rounded down is one too low."""

_SIGNED_SHIFT = """\
/* Right shifts must keep the sign, as those of all common compilers do. */
typedef char right_shifts_keep_signs[(INT64_C(-3) >> 1) == -2 ? 1 : -1];
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
static inline int{bits}_t clamp_{bits}(int{bits}_t v, int{bits}_t low, int{bits}_t high)
{{
    return v < low ? low : v > high ? high : v;
}}
"""


_HIGH = """\
/* The rounded high product of two 32-bit numbers, doubled (ties up). */
static inline int32_t high_product(int64_t a, int64_t b)
{
    return (int32_t)(((int64_t)(int32_t)a * (int32_t)b + (INT64_C(1) << 30)) >> 31);
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
    size = (uint64_t)round_half_even_64((int64_t)size, up) * (uint64_t)m;
    int over = 0;
    while (size >> (over + 24) != 0) {
        over++;
    }
    int64_t out = round_half_even_64((int64_t)size, over);
    n -= up + over;
    if (n > 62) {
        return 0;
    }
    if (n >= 0) {
        out = round_half_even_64(out, n);
    } else {
        out = n < -38 ? INT64_C(1) << 62 : out * (INT64_C(1) << -n);
    }
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


_DOUBLE_LARGE = """\
/* The same where results may leave 64 bits: beyond every type, they saturate at 2**62. */
static inline int64_t scaled_double_large(int64_t v, double real)
{
    const double most = 4611686018427387904.0;
    const volatile double product = (double)v * real;
    if (product >= most) {
        return INT64_C(1) << 62;
    }
    return product <= -most ? -(INT64_C(1) << 62) : scaled_double(v, real);
}
"""


def rounding_name(rounding: Rounding, bits: int) -> str:
    """The function of a rounding shift of a type's integers."""
    return f"round_{rounding.value}_{bits}"


def _rounding(rounding: Rounding, bits: int) -> str:
    kind, one = f"int{bits}_t", "INT64_C(1)" if bits == 64 else "1"
    added = _ADDED[rounding].replace("INT64_C(1)", one)
    half = f"    const {kind} half = ({one} << n) >> 1;\n" if "half" in added else ""
    body = f"{half}    return (v + ({added})) >> n;\n" if added != "0" else "    return v >> n;\n"
    return (
        f"/* v / 2**n, {rounding.value.replace('_', ' ')}; n of 0 to {bits - 2}. */\n"
        f"static inline {kind} {rounding_name(rounding, bits)}({kind} v, int n)\n{{\n{body}}}\n"
    )


def _dividing(rounding: Rounding) -> str:
    twice = "    rest *= 2;\n" if rounding.value.startswith("half") else ""
    return (
        f"/* a / b, {rounding.value.replace('_', ' ')}; b > 0. */\n"
        f"static inline int64_t divide_{rounding.value}(int64_t a, int64_t b)\n{{\n"
        "    int64_t q = a / b, rest = a % b;\n"
        "    if (rest < 0) {\n        q--;\n        rest += b;\n    }\n"
        f"{twice}    return q + ({_UP[rounding]});\n}}\n"
    )


class Helpers:
    """The functions that a network uses, in the order in which they need each other."""

    def __init__(self) -> None:
        self._used: dict[str, str] = {}

    def _use(self, key: str, text: str) -> None:
        self._used.setdefault(key, text)

    def shift(self, rounding: Rounding, bits: int = 64) -> str:
        """The name of a rounding shift."""
        name = rounding_name(rounding, bits)
        self._use("signed shift", _SIGNED_SHIFT)
        self._use(name, _rounding(rounding, bits))
        return name

    def divide(self, rounding: Rounding) -> str:
        """The name of a rounding division."""
        self._use(f"divide_{rounding.value}", _dividing(rounding))
        return f"divide_{rounding.value}"

    def clamp(self, value: str, low: int, high: int, bits: int = 64) -> str:
        """An expression limited to a range."""
        self._use(f"clamp_{bits}", _CLAMP.format(bits=bits))
        return f"clamp_{bits}({value}, {number(low)}, {number(high)})"

    def overflow(self, value: str, qtype: QType, bits: int = 64) -> str:
        """An expression brought into a type."""
        check_bits(max(abs(qtype.min), qtype.max) >> 1, "its type")
        if qtype.overflow is Overflow.WRAP:
            self._use("wrap", _WRAP)
            return f"wrap({value}, {qtype.width}, {int(qtype.signed)})"
        if qtype.overflow is Overflow.SATURATE_ZERO:
            low, high = number(qtype.min), number(qtype.max)
            return f"(({value}) < {low} || ({value}) > {high} ? 0 : ({value}))"
        return self.clamp(value, qtype.low, qtype.max, bits)

    def high_product(self) -> str:
        """The name of the rounding doubling high product."""
        self.shift(Rounding.FLOOR)
        self._use("high_product", _HIGH)
        return "high_product"

    def scaled(
        self, rule: Scaling, value: str, mult: str, shift: str, bits: int = 64, large: bool = False
    ) -> str:
        """An expression of a value scaled as a rule says.

        To the fixed-point rules ``shift`` is what follows their product of 32 bits; they may round
        in 32 ``bits`` where that is enough. ``large`` : a float64 result may leave 64 bits, and
        saturates.
        """
        if rule is Scaling.FP32_HALF_EVEN:
            self.shift(Rounding.HALF_EVEN)
            self._use("scaled_fp32", _FLOAT32)
            return f"scaled_fp32({value}, {mult}, {shift})"
        if rule is Scaling.DOUBLE_HALF_AWAY:
            self._use("scaled_double", _DOUBLE)
            if large:
                self._use("scaled_double_large", _DOUBLE_LARGE)
            return f"scaled_double{'_large' if large else ''}({value}, {mult})"
        ties = Rounding.HALF_AWAY if rule is Scaling.TFLM_DOUBLE else Rounding.HALF_UP
        return f"{self.shift(ties, bits)}({self.high_product()}({value}, {mult}), {shift})"

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
            f"{what} takes {bound.bit_length() + 1} bits, the C code has 64, two of them to spare",
            hint="use narrower weights or scales",
        )
