"""Reading by a C library within limits of memory and time.

HDF5's library does what a file's bytes say: with one bit of a small file changed it loops for ever
or asks for gigabytes, inside of a call that nothing in this process can end. What a file makes it
do can not be known beforehand; so it reads in a copy of this process, which the system ends when
it takes too much.
"""

from __future__ import annotations

import faulthandler
import os
import pickle
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from ..errors import UserError

_MEMORY, _MEMORY_RATIO = 1 << 28, 16
"""Bytes that a reader may take: so many, and so many for each byte of the file."""
_SECONDS, _BYTES_A_SECOND = 2, 1 << 22
"""Computing time of a reader: so many seconds, and one for so many bytes of the file."""
_WAITING = 100
"""How much longer than it computes a reader may wait for a processor or a disk."""


def confined(read: Callable[[], Any], size: int) -> Any:
    """What ``read`` gives, called in a copy of this process with limits.

    Parameters
    ----------
    read : takes a file of ``size`` bytes apart. Its result is pickled; it must not depend on
        threads, nor change anything.

    Raises what ``read`` raises, and UserError where it takes too much memory or time, or crashes.
    """
    source, sink = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(source)
        _answer(read, size, sink)
    os.close(sink)
    try:
        with os.fdopen(source, "rb") as pipe:
            answer = pipe.read()
    except BaseException:
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if status or not answer:
        raise UserError(
            f"its content makes HDF5's library {_end_of(status)}",
            hint="it is damaged: copy or save it again",
        )
    value, error = pickle.loads(answer)
    if error is not None:
        raise error
    return value


def _answer(read: Callable[[], Any], size: int, sink: int) -> NoReturn:
    """Act in the copy: send the result, or the exception, and end without a trace."""
    try:
        _limit(size)
        try:
            answer = read(), None
        except Exception as error:
            answer = None, error
        with os.fdopen(sink, "wb") as pipe:
            pickle.dump(answer, pipe, protocol=pickle.HIGHEST_PROTOCOL)
        os._exit(0)
    finally:
        os._exit(1)


def _limit(size: int) -> None:
    """Set this process's limits for a file of that size, and keep its library quiet."""
    seconds = _SECONDS + size // _BYTES_A_SECOND
    limits = {resource.RLIMIT_CPU: seconds, resource.RLIMIT_CORE: 0}
    taken = Path("/proc/self/statm")
    if taken.exists():  # on Linux, where the limit is obeyed
        pages = int(taken.read_text(encoding="ascii").split()[0])
        limits[resource.RLIMIT_AS] = pages * resource.getpagesize() + _MEMORY + _MEMORY_RATIO * size
    for kind, limit in limits.items():
        hard = resource.getrlimit(kind)[1]
        limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(kind, (limit, hard))
    for number in (signal.SIGXCPU, signal.SIGALRM):
        signal.signal(number, signal.SIG_DFL)
    signal.alarm(_WAITING * seconds)
    faulthandler.disable()
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)


def _end_of(status: int) -> str:
    """How a copy ended, as what the library does."""
    number = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if number in (signal.SIGXCPU, signal.SIGALRM):
        return "compute without end"
    return "crash" if number else "take more memory than it could need"
