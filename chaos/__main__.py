"""``python -m chaos``: the same as the console script ``trio-pool-chaos``."""

from __future__ import annotations

import sys

from .cli._main import main

if __name__ == "__main__":
    sys.exit(main())
