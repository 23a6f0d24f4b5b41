"""The throw-away process that computes without end. Run as a script by `chaos.faults._process_limits`; its arguments
are the processor it is bound to and its parent's process id.

It goes when the last write end of the pipe on its standard input closes, which the kernel does for whatever ends the
process that holds it, and when its parent is no longer the one it had.
"""

from __future__ import annotations

import os
import select
import sys


def main() -> None:
    """Compute, and look now and then whether it is time to go."""
    cpu, parent = map(int, sys.argv[1:])
    os.sched_setaffinity(0, {cpu})
    while not select.select([0], [], [], 0)[0] and os.getppid() == parent:
        for _ in range(200_000):  # some ten milliseconds
            pass


if __name__ == "__main__":
    main()
