"""Names of models and layers as identifiers: what names in generated files are made from.

A model file may name a network or a layer in any way. What is written from such a name (files,
macros, functions, instances, modules) takes its identifier instead. Ordinary names, those of ASCII
letters, digits and underscores, stay as they are.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

LONGEST = 200
"""Characters of a word: with what is put before and behind, a file's name has 255 bytes."""

_C = """
alignas alignof auto bool break case char const constexpr continue default do double else enum
extern false float for goto if inline int long nullptr register restrict return short signed sizeof
static static_assert struct switch thread_local true typedef typeof typeof_unqual union unsigned
void volatile while
"""
"""C23, ISO/IEC 9899:2024, 6.4.1; those that begin with an underscore are no identifiers here."""

_CPP = """
and and_eq asm bitand bitor catch char16_t char32_t char8_t class co_await co_return co_yield compl
concept const_cast consteval constinit contract_assert decltype delete dynamic_cast explicit export
friend mutable namespace new noexcept not not_eq operator or or_eq private protected public
reinterpret_cast requires static_cast template this throw try typeid typename using virtual wchar_t
xor xor_eq
"""
"""C++, ISO/IEC 14882, [lex.key], beyond C's."""

_VERILOG = """
accept_on alias always always_comb always_ff always_latch and assert assign assume automatic before
begin bind bins binsof bit break buf bufif0 bufif1 byte case casex casez cell chandle checker class
clocking cmos config const constraint context continue cover covergroup coverpoint cross deassign
default defparam design disable dist do edge else end endcase endchecker endclass endclocking
endconfig endfunction endgenerate endgroup endinterface endmodule endpackage endprimitive endprogram
endproperty endsequence endspecify endtable endtask enum event eventually expect export extends
extern final first_match for force foreach forever fork forkjoin function generate genvar global
highz0 highz1 if iff ifnone ignore_bins illegal_bins implements implies import incdir include
initial inout input inside instance int integer interconnect interface intersect join join_any
join_none large let liblist library local localparam logic longint macromodule matches medium
modport module nand negedge nettype new nexttime nmos nor noshowcancelled not notif0 notif1 null or
output package packed parameter pmos posedge primitive priority program property protected pull0
pull1 pulldown pullup pulsestyle_ondetect pulsestyle_onevent pure rand randc randcase randsequence
rcmos real realtime ref reg reject_on release repeat restrict return rnmos rpmos rtran rtranif0
rtranif1 s_always s_eventually s_nexttime s_until s_until_with scalared sequence shortint shortreal
showcancelled signed small soft solve specify specparam static string strong strong0 strong1 struct
super supply0 supply1 sync_accept_on sync_reject_on table tagged task this throughout time
timeprecision timeunit tran tranif0 tranif1 tri tri0 tri1 triand trior trireg type typedef union
unique unique0 unsigned until until_with untyped use uwire var vectored virtual void wait wait_order
wand weak weak0 weak1 while wildcard wire with within wor xnor xor
"""
"""SystemVerilog, which has all of Verilog's: IEEE 1800-2017, annex B."""

_HEADERS = """
assert complex ctype errno fenv float inttypes iso646 limits locale math setjmp signal stdalign
stdarg stdatomic stdbit stdbool stdckdint stddef stdint stdio stdlib stdnoreturn string tgmath
threads time uchar wchar wctype
"""
"""Headers of C's library: a NAME.h beside them would be included in their place."""

_DEVICES = {"aux", "con", "nul", "prn"}
_DEVICES |= {f"{port}{n}" for port in ("com", "lpt") for n in range(10)}
"""Names of devices, whatever their ending and the case of their letters: no files in Windows."""

_WIRES = {"clk", "rst"}
"""What stands beside an instance in every design."""

RESERVED = frozenset({*_C.split(), *_CPP.split(), *_VERILOG.split(), *_HEADERS.split(), *_WIRES})
"""Words that no identifier may be."""


def word(name: str) -> str:
    """The letters, digits and underscores of a name, to stand behind a prefix in an identifier.

    Every other character becomes an underscore. It has 1 to ``LONGEST`` characters, all ASCII; of
    a longer name the end is replaced by a hash of all of it.
    """
    text = re.sub(r"\W", "_", name, flags=re.ASCII) or "_"
    if len(text) <= LONGEST:
        return text
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:8]
    return f"{text[: LONGEST - 9]}_{digest}"


def identifier(name: str, *, prefixed: bool = False) -> str:
    """A name as C, C++, Verilog, SystemVerilog, FuseSoC and every file system take it.

    It begins with a letter and is none of ``RESERVED`` and no device's name; other names get the
    prefix ``m_``. ``prefixed`` : it will stand behind a prefix, where no word is reserved.
    """
    text = word(name)
    taken = not prefixed and (text in RESERVED or text.lower() in _DEVICES)
    return text if text[0].isalpha() and not taken else f"m_{text}"


def suffixes(names: Sequence[str]) -> list[str]:
    """What tells apart things of one kind behind a common word, in the order of their names.

    One alone needs nothing. Of several each gets an underscore and its name as a ``word``; two that
    differ in the case of letters alone, or not at all as words, are told apart by underscores.
    """
    if len(names) == 1:
        return [""]
    taken: set[str] = set()
    found = []
    for name in names:
        text = word(name)
        while text.lower() in taken:
            text += "_"
        taken.add(text.lower())
        found.append(f"_{text}")
    return found
