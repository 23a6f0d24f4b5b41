"""What a run comes to: the verdict, what each checker found, and the numbers, as in ``results.json``.

Times are in seconds. All of it is plain, frozen data.
"""

from __future__ import annotations

from .checking._finding import Finding, Judgement, Witness
from .checking._metrics import Numbers
from .checking._objectives import Judged, Unit
from .checking._quantiles import Quantile, Spread
from .checking._recovery import Missed, Occurrence, Victim
from .checking._results import Exit, Results, Steady, read_results

__all__ = [
    "Exit",
    "Finding",
    "Judged",
    "Judgement",
    "Missed",
    "Numbers",
    "Occurrence",
    "Quantile",
    "Results",
    "Spread",
    "Steady",
    "Unit",
    "Victim",
    "Witness",
    "read_results",
]
