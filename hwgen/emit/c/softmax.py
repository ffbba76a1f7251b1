"""gemmlowp's softmax in C (its public fixed-point rules; see numeric.gemmlowp)."""

from __future__ import annotations

from ...numeric import Rounding, gemmlowp
from .arith import Helpers

_TEXT = """\
static inline int64_t saturate_32(int64_t v)
{
    return v > INT32_MAX ? INT32_MAX : v < INT32_MIN ? INT32_MIN : v;
}

/* exp(v) as Q0.31 for v <= 0 with 26 fractional bits. */
static inline int64_t exp_of_negative(int64_t v)
{
    static const int64_t factors[] = {
        1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
    const int64_t quarter = INT64_C(1) << 24, eighth = 1895147668;
    const int64_t small = (v & (quarter - 1)) - quarter;
    const int64_t x = saturate_32(small * 32) + (INT64_C(1) << 28);
    const int64_t x2 = high_product(x, x);
    const int64_t x3 = high_product(x2, x), x4 = high_product(x2, x2);
    const int64_t sixth = high_product(round_half_away_64(x4, 2) + x3, 715827883);
    int64_t out = eighth + high_product(eighth, x + round_half_away_64(sixth + x2, 1));
    const int64_t rest = small - v;
    for (int n = 0; n < 7; n++) {
        if ((rest >> (24 + n) & 1) != 0) {
            out = high_product(out, factors[n]);
        }
    }
    return v == 0 ? INT32_MAX : out;
}

/* Softmax of integers whose differences times mult * 2**(left - 31) have 26 fractional bits; the
   results mean n / 2**width. */
static void softmax_of(int32_t *values, int32_t count, int64_t mult, int left, int width)
{
    const int64_t radius = (INT64_C(31) << 26) >> left;
    int32_t most = values[0];
    int64_t total = 0;
    for (int32_t n = 1; n < count; n++) {
        most = values[n] > most ? values[n] : most;
    }
    for (int32_t n = 0; n < count; n++) {
        const int64_t difference = (int64_t)values[n] - most;
        if (difference >= -radius) {
            const int64_t v = high_product(difference * (INT64_C(1) << left), mult);
            total += round_half_away_64(exp_of_negative(v), 12);
        }
    }
    int headroom = 32;
    while (total >> (32 - headroom) != 0) {
        headroom--;
    }
    /* 1 / (1 + a) by three Newton steps. */
    const int64_t a = (total << headroom) - (INT64_C(1) << 31);
    const int64_t half = (a + INT32_MAX + 1) >> 1;
    int64_t x = 1515870810 + high_product(half, -1010580540);
    for (int n = 0; n < 3; n++) {
        const int64_t error = (INT64_C(1) << 29) - high_product(half, x);
        x += saturate_32(high_product(x, error) * 4);
    }
    const int64_t scale = saturate_32(x * 2);
    for (int32_t n = 0; n < count; n++) {
        const int64_t difference = (int64_t)values[n] - most;
        if (difference >= -radius) {
            const int64_t v = high_product(difference * (INT64_C(1) << left), mult);
            const int64_t part = high_product(scale, exp_of_negative(v));
            values[n] = (int32_t)round_half_away_64(part, 12 - headroom + 31 - width);
        } else {
            values[n] = 0;
        }
    }
}
"""


def gemmlowp_softmax(helpers: Helpers) -> str:
    """The name of the function, written once."""
    assert gemmlowp.SOFTMAX_DIFFERENCE_BITS == 5
    helpers.high_product()
    helpers.shift(Rounding.HALF_AWAY)
    helpers.add("softmax_of", _TEXT)
    return "softmax_of"
