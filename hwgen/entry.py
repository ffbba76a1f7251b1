"""Where the program begins: an interruption while it is imported ends it as quietly as a later one.

What is imported before ``main`` is called is as little as can be, for nothing meets an interruption
there.
"""

from __future__ import annotations


def main() -> int:
    """Run the command line on the program's arguments. Returns its exit code."""
    try:
        from .cli import main as run

        return run()
    except KeyboardInterrupt:  # while it was imported; later ones the command line meets itself
        import signal

        signal.signal(signal.SIGINT, signal.SIG_IGN)
        from .cli import interrupted

        return interrupted()
