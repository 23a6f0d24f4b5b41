"""The throw-away process that holds memory. Run as a script by `chaos._memory`; its arguments are the size in
bytes and its parent's process id.

It goes, also in the middle of filling, when the last write end of the pipe on its standard input closes, which the
kernel does for whatever ends the process that holds it. Another process that this one forked would hold it too, so it
looks now and then whether its parent is still the one it had. It protects the machine from itself: it cannot take more
than it was told to, and should memory run out the kernel picks it first.

Only the standard library: it runs without site-packages, to start in ten milliseconds.
"""

from __future__ import annotations

import mmap
import os
import resource
import select
import sys

PAGE = os.sysconf("SC_PAGE_SIZE")
BLOCK = 1 << 20  # filled between two looks at the pipe: a tenth of a millisecond
SLACK = 32 << 20  # for what the interpreter itself may still take; its own size is counted apart


def pages(field: int) -> int:
    """Return a field of this process's ``statm`` in bytes: 0 is all it has mapped, 1 what of it is resident."""
    with open("/proc/self/statm", "rb") as file:
        return int(file.read().split()[field]) * PAGE


def orphaned(parent: int, seconds: float) -> bool:
    """Return whether it is time to go, having waited for that so long at the most."""
    return bool(select.select([0], [], [], seconds)[0]) or os.getppid() != parent


def main() -> None:
    """Fill so much memory, say how much is resident, and wait for the end."""
    size, parent = map(int, sys.argv[1:])
    with open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    limit = pages(0) + size + SLACK
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    # Private: shared memory would be charged to the machine's tmpfs and counted elsewhere.
    memory = mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    noise = os.urandom(BLOCK)  # zeros might be shared or compressed away
    for position in range(0, size, BLOCK):
        if orphaned(parent, 0):
            return
        step = min(BLOCK, size - position)
        memory[position : position + step] = noise[:step]
    # Ready at once: whoever reads this takes the memory as held.
    os.write(1, b"holds %d\n" % pages(1))
    while not orphaned(parent, 1.0):  # a second is what an orphan may last
        pass


if __name__ == "__main__":
    main()
