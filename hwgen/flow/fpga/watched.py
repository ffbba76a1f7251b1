"""Runs the tools of an FPGA flow: their lines are watched, none of them is waited for in vain."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path
from threading import Event, Thread

from ...aliases import Progress
from ...errors import ToolError
from .. import tools

SILENCE = 45 * 60
"""Seconds without a line after which a tool is ended: a choice, far beyond the few minutes in which
Yosys has synthesized each design so far, silences included."""


def call(
    command: list[str], work: Path, name: str, watch: Progress, silence: float = SILENCE
) -> None:
    """Run a tool in ``work``; ``watch`` gets each of its lines, and what it raises ends the tool.

    Raises ToolError with the last lines where the tool fails, or says nothing for ``silence``
    seconds; the log is kept.
    """
    lines: list[str] = []
    with subprocess.Popen(
        command, cwd=work, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        errors="replace",
    ) as process:  # fmt: skip
        assert process.stdout is not None
        silent = _Watchdog(process, silence)
        try:
            for line in process.stdout:
                silent.heard()
                lines.append(line)
                watch(line)
        except BaseException:
            process.terminate()
            raise
        finally:
            silent.stop()
    if process.returncode:
        kept = tools.cache_directory("logs") / f"{name}.log"
        kept.write_text("".join(lines))
        tail = "".join(lines[-8:]).rstrip()
        why = (
            f"said nothing for {silence / 60:g} minutes and was ended"
            if silent.barked
            else f"failed (exit code {process.returncode})"
        )
        raise ToolError(f"{name} {why}:\n{tail}\nlog: {kept}")


class _Watchdog(Thread):
    """Ends a process that has said nothing for ``seconds``."""

    def __init__(self, process: subprocess.Popen[str], seconds: float) -> None:
        super().__init__(daemon=True)
        self.process, self.seconds = process, seconds
        self.barked = False
        self._heard = time.monotonic()
        self._stopped = Event()
        self.start()

    def heard(self) -> None:
        """The process has said something."""
        self._heard = time.monotonic()

    def stop(self) -> None:
        """Watch no more."""
        self._stopped.set()

    def run(self) -> None:
        """Wait for the silence, in a thread of its own."""
        while not self._stopped.wait(max(0, self._left())):
            if self._left() <= 0:
                self.barked = True
                self.process.kill()
                return

    def _left(self) -> float:
        return self._heard + self.seconds - time.monotonic()
