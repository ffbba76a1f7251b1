"""Names of folders that some tool on the way takes for something else."""

from __future__ import annotations

import os

UGLY = '-a b\t"c"\'\\n\\$HOME $(d)`e`#%s@f~{g};h&i|*?[k]!,=:+ ü网\n<l>'
"""What shells, makefiles, command files, Verilog's strings and printf each have for their own."""

NAMES = {
    "ugly": UGLY,
    "non-ascii": "größe",
    "backslash": "a\\n",
    "quotation": 'a"b',
    "not-utf8": os.fsdecode(b"gr\xf6\xdfe"),
    "long": "/".join(["d" * 200] * 15),
}
