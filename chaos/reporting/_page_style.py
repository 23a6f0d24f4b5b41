"""What the page's pictures add to the style sheet; the ground, the cards and the tables are those of all our pages."""

from __future__ import annotations

from typing import Final

PAGE_STYLE: Final = """\
:root { --wire: #a8479a; --other: #8a6d00; --p95: #0072b2; --p99: #7a5fb5; --max: #8b9097; --answered: #a9c8dd; }
@media (prefers-color-scheme: dark) {
  :root { --wire: #e08fd0; --other: #e3c04a; --p95: #56b4e9; --p99: #b9a4ea; --max: #7d848d; --answered: #35566b; }
}
@media (min-width: 641px) { .tiles { grid-template-columns: repeat(auto-fit, minmax(150px, 1fr)); } }
path.failed.dots { stroke-width: 1.3; stroke-opacity: 0.55; }
.verdict .reasons { margin: 8px 0 0; padding-left: 20px; font-size: 15px; }
.verdict .reasons li { overflow-wrap: anywhere; }
.unmeasured { fill: var(--ink); fill-opacity: 0.045; }
.phase { stroke: var(--line); }
.picture .phase-name { font-style: italic; }
.band.wire { fill: var(--wire); }
.band.other { fill: var(--other); }
.bars { stroke: var(--other); stroke-width: 2; }
.specks { fill: var(--wire); }
.hatch { stroke: var(--failed); stroke-width: 1.4; }
.sudden .strike { stroke: var(--kill); stroke-opacity: 0.55; }
.wire .strike { stroke: var(--wire); }
.other .strike { stroke: var(--other); }
.sudden .tag { fill: var(--kill); }
.wire .tag { fill: var(--wire); }
.other .tag { fill: var(--other); }
.wire .held { stroke: var(--wire); }
.other .held, .sudden .held { stroke: var(--other); }
path.ok.dots { stroke-width: 3.2; }
.drop { fill: none; stroke: var(--failed); stroke-width: 1.2; }
.quantile { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
.quantile.p50 { stroke: var(--good); stroke-width: 2.4; }
.quantile.p95 { stroke: var(--p95); }
.quantile.p99 { stroke: var(--p99); stroke-dasharray: 6 3; }
.quantile.max { stroke: var(--max); stroke-dasharray: 2 3; }
.answered { fill: var(--answered); }
.failing { fill: var(--failed); }
.dropped { fill: none; stroke: var(--failed); stroke-width: 1.2; }
.offered { fill: none; stroke: var(--ink); stroke-width: 1.2; }
.queued { fill: none; stroke: var(--recovery); stroke-width: 1.8; }
.range { stroke: none; fill-opacity: 0.2; }
.range.success { fill: var(--good); }
.range.slowness { fill: var(--ok); }
.middle { fill: none; stroke-width: 2.2; stroke-linejoin: round; stroke-linecap: round; }
.middle.success { stroke: var(--good); }
.middle.slowness { stroke: var(--ok); }
.struck { stroke: var(--kill); stroke-width: 1.6; stroke-dasharray: 4 3; fill: none; }
.moment { stroke: var(--recovery); stroke-width: 1.2; fill: none; }
.picture .moment-name { fill: var(--ink); font-size: 11.5px; }
.picture .moment-name, .picture .row { stroke: var(--card); stroke-width: 3px; paint-order: stroke; }
.good-bar { fill: var(--ok); fill-opacity: 0.75; }
.bad-bar { fill: var(--failed); }
.cut-bar { fill: none; stroke: var(--soft); }
.lifeline { stroke: var(--line); stroke-width: 1.5; }
.arrow { fill: none; stroke: var(--ok); stroke-width: 1.8; }
.arrow.bad-step { stroke: var(--failed); }
.event { fill: var(--ok); }
.event.bad-step { fill: var(--failed); }
.picture .row.bad-step { fill: var(--failed); font-weight: 600; }
.charts { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; margin-top: 12px; }
.charts > figure { min-width: 0; margin: 0; }
.charts > figure:only-child { grid-column: 1 / -1; }
section > h3 { margin-top: 20px; }
@media (min-width: 641px) { .demands td:nth-child(4) { white-space: nowrap; } }
dl.faults dt { font-weight: 600; margin-top: 8px; }
dl.faults dd { margin: 0; overflow-wrap: anywhere; }
dl.faults .soft { font-size: 14px; }
@media (max-width: 1080px) { .charts { grid-template-columns: 1fr; } }
@media (max-width: 640px) { .stack td:empty { display: none; } }
"""
"""The rest of the style sheet."""
