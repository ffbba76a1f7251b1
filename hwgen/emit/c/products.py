"""The inner loop of sums of products: several windows against sixteen outputs' weights at once.

Weights lie in blocks of LANES outputs, within a block pair of taps by pair of taps, and within that
output by output: one vector instruction multiplies a pair of a window by those of all outputs of
the block and adds the two products. Each weight that is read serves PIXELS windows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...numeric import ceil_div
from .arith import Helpers

LANES = 16
PIXELS = 4

_VECTORS = """\
#if !defined(HWGEN_PORTABLE) && defined(__GNUC__) && defined(__AVX2__)
#include <immintrin.h>
#define HWGEN_PAIR(p) (*(const hwgen_pair *)(p))
typedef int32_t hwgen_pair __attribute__((may_alias, aligned(2)));
#if defined(__AVX512BW__) && defined(__AVX512VNNI__)
#define HWGEN_ADD_512(s, a, b) _mm512_dpwssd_epi32(s, a, b)
#elif defined(__AVX512BW__)
#define HWGEN_ADD_512(s, a, b) _mm512_add_epi32(s, _mm512_madd_epi16(a, b))
#endif
#define HWGEN_ADD_256(s, a, b) _mm256_add_epi32(s, _mm256_madd_epi16(a, b))
#endif
"""

_FUNCTION = """\
/* 16 sums for each of {pixels} windows of `taps` elements (an even number). */
static inline void {name}(int32_t (*sums)[16], const int16_t *patch, int32_t taps, const int8_t *w)
{{
#if defined(HWGEN_ADD_512)
{wide}
#elif defined(HWGEN_ADD_256)
{narrow}
#else
    for (int32_t n = 0; n < {pixels}; n++) {{
        for (int32_t o = 0; o < 16; o++) {{
            int32_t sum = 0;
            for (int32_t t = 0; t < taps; t += 2) {{
                sum += (int32_t)patch[n * taps + t] * w[t * 16 + 2 * o];
                sum += (int32_t)patch[n * taps + t + 1] * w[t * 16 + 2 * o + 1];
            }}
            sums[n][o] = sum;
        }}
    }}
#endif
}}
"""


def blocked(weights: Any) -> Any:
    """Weights (groups, outputs, taps) in the order that the loop reads, filled up with zeros."""
    groups, outputs, taps = weights.shape
    filled = np.zeros((groups, ceil_div(outputs, LANES) * LANES, taps + taps % 2), np.int64)
    filled[:, :outputs, :taps] = weights
    return filled.reshape(groups, -1, LANES, filled.shape[2] // 2, 2).transpose(0, 1, 3, 2, 4)


def function(helpers: Helpers, pixels: int) -> str:
    """The name of the loop for a number of windows."""
    name = f"products_{pixels}"
    helpers.add("vectors", _VECTORS)
    helpers.add(name, _FUNCTION.format(
        pixels=pixels, name=name, wide=_with_vectors(512, pixels), narrow=_with_vectors(256, pixels)
    ))  # fmt: skip
    return name


def _with_vectors(width: int, pixels: int) -> str:
    """The loop with vectors of a number of bits, all sums in registers."""
    kind, prefix = f"__m{width}i", f"_mm{width if width == 512 else 256}"
    half, parts = f"__m{width // 2}i", 512 // width
    load = "_mm256_loadu_si256" if width == 512 else "_mm_loadu_si128"
    store = "_mm512_storeu_si512" if width == 512 else "_mm256_storeu_si256"
    names = [[f"s{n}_{part}" for part in range(parts)] for n in range(pixels)]
    lines = [f"{kind} {', '.join(f'{s} = {prefix}_setzero_si{width}()' for s in row)};"
             for row in names]  # fmt: skip
    lines.append("for (int32_t t = 0; t < taps; t += 2) {")
    for part in range(parts):
        address = f"w + t * 16 + {part * 16}" if part else "w + t * 16"
        lines.append(f"    const {kind} w{part} = {prefix}_cvtepi8_epi16("
                     f"{load}((const {half} *)({address})));")  # fmt: skip
    for n, row in enumerate(names):
        pair = f"{prefix}_set1_epi32(HWGEN_PAIR(patch + {n} * taps + t))"
        lines.append(f"    const {kind} p{n} = {pair};")
        lines += [f"    {s} = HWGEN_ADD_{width}({s}, w{part}, p{n});" for part, s in enumerate(row)]
    lines.append("}")
    lines += [f"{store}(({kind} *)(sums[{n}] + {part * 8}), {s});"
              for n, row in enumerate(names) for part, s in enumerate(row)]  # fmt: skip
    return "\n".join(f"    {line}" for line in lines)
