"""How the page of a report looks: on a screen of any width, light or dark, and on paper.

The colours are those of Okabe and Ito, which people who see fewer colours tell apart too, a little lighter on dark
ground. Nothing is said by colour alone.
"""

from __future__ import annotations

from typing import Final

STYLE: Final = """\
:root {
  color-scheme: light dark;
  --ground: #f6f6f3; --card: #ffffff; --line: #dfdfd8; --grid: #e9e9e3; --ink: #1d2126; --soft: #5b636d;
  --ok: #0072b2; --failed: #c2410c; --kill: #1d2126; --freeze: #0284c7; --latency: #a8479a; --amber: #b45309;
  --good: #00785a; --good-ground: #e3f4ee; --bad: #b3320a; --bad-ground: #fdebe4; --open: #8a5a00;
  --open-ground: #fdf3dc; --life: #d7dfe6; --busy: #5d7f9e; --recovery: #d97706; --flight: #9fb4c7; --tag-ink: #ffffff;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #121417; --card: #1b1e23; --line: #31363d; --grid: #292d33; --ink: #e9ebee; --soft: #a3abb5;
    --ok: #56b4e9; --failed: #ff8f5a; --kill: #e9ebee; --freeze: #38bdf8; --latency: #e08fd0; --amber: #f0b445;
    --good: #3fd0a2; --good-ground: #12302a; --bad: #ff8f6b; --bad-ground: #3a1d14; --open: #f0bd55;
    --open-ground: #352a12; --life: #39424c; --busy: #7ba3c7; --recovery: #f5a524; --flight: #4b6177;
    --tag-ink: #121417;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "DejaVu Sans", sans-serif;
}
main { max-width: 1264px; margin: 0 auto; padding: 20px 32px 56px; }
h1, h2, h3 { line-height: 1.25; margin: 0; text-wrap: balance; }
h1 { font-size: 34px; letter-spacing: -0.01em; }
h2 { font-size: 22px; margin: 44px 0 6px; }
h3 { font-size: 16px; margin: 0 0 6px; }
p { margin: 0 0 10px; max-width: 76ch; }
pre {
  font: 13px/1.5 ui-monospace, "SFMono-Regular", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  margin: 6px 0 0; padding: 10px 12px; background: var(--ground); border: 1px solid var(--line); border-radius: 6px;
  white-space: pre-wrap; overflow-wrap: anywhere; }
a { color: var(--ok); }
.about { color: var(--soft); font-size: 14px; margin: 0 0 14px; max-width: none; }
.soft { color: var(--soft); }
.card { background: var(--card); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; }
.verdict { display: flex; gap: 20px; align-items: center; border-radius: 12px; padding: 24px 26px; border: 1px solid; }
.verdict svg { flex: none; width: 68px; height: 68px; }
.verdict p { margin: 6px 0 0; font-size: 17px; }
.verdict .word { font-size: 14px; font-weight: 700; letter-spacing: 0.08em; margin: 0; }
.verdict.pass { background: var(--good-ground); border-color: var(--good); }
.verdict.fail { background: var(--bad-ground); border-color: var(--bad); }
.verdict.unknown { background: var(--open-ground); border-color: var(--open); }
.pass .word, .good { color: var(--good); }
.fail .word, .bad { color: var(--bad); }
.unknown .word, .open { color: var(--open); }
.pass .badge { stroke: var(--good); }
.fail .badge { stroke: var(--bad); }
.unknown .badge { stroke: var(--open); }
.badge { fill: none; stroke-width: 5; stroke-linecap: round; stroke-linejoin: round; }
.story { display: grid; grid-template-columns: repeat(3, 1fr); gap: 16px; margin-top: 16px; }
.story h2, .alarm h2 { margin: 0 0 8px; font-size: 19px; }
.story p:last-child { margin-bottom: 0; }
.tiles { display: grid; grid-template-columns: repeat(5, 1fr); gap: 16px; margin: 16px 0 0; }
.tiles div { padding: 14px 16px; }
.tiles dt { color: var(--soft); font-size: 14px; line-height: 1.4; }
.tiles dd { margin: 0; font-size: 27px; font-weight: 650; letter-spacing: -0.01em; font-variant-numeric: tabular-nums; }
.tiles div { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.alarm { border-left: 6px solid var(--bad); margin-top: 16px; }
.alarm ul { margin: 6px 0 0; padding-left: 20px; }
.alarm li { margin: 6px 0; overflow-wrap: anywhere; }
figure { margin: 12px 0 0; }
figure.card { padding: 14px 16px; }
.picture { display: block; width: 100%; height: auto; font-size: 12px; }
.picture text { fill: var(--soft); font-variant-numeric: tabular-nums; }
.picture .panel { fill: var(--ink); font-weight: 600; stroke: var(--card); stroke-width: 4px; paint-order: stroke;
  stroke-linejoin: round; }
.picture .row { fill: var(--ink); }
.picture .incarnation { font-size: 10.5px; }
.narrow, .medium { display: none; }
.grid { stroke: var(--grid); }
.axis { stroke: var(--soft); }
.stopped { stroke: var(--soft); stroke-dasharray: 1 4; stroke-linecap: round; stroke-width: 1.5; }
.ok { fill: var(--ok); fill-opacity: 0.6; }
path.ok.dots { fill: none; stroke: var(--ok); stroke-opacity: 0.6; stroke-width: 3; stroke-linecap: round; }
.failed { fill: none; stroke: var(--failed); stroke-width: 2; stroke-linecap: round; }
.cut { fill: none; stroke: var(--soft); stroke-width: 1.5; }
.lost { fill: var(--failed); }
.flight { fill: var(--flight); }
.life { fill: var(--life); }
.starting { fill: var(--amber); }
.busy { fill: none; stroke: var(--busy); stroke-width: 10; }
.stripes { stroke: var(--freeze); stroke-width: 1.8; }
.specks { fill: var(--latency); }
.band { fill-opacity: 0.11; }
.band.freeze { fill: var(--freeze); }
.band.latency { fill: var(--latency); }
.held { fill: var(--card); fill-opacity: 0.85; stroke-width: 1; }
.freeze .held { stroke: var(--freeze); }
.latency .held { stroke: var(--latency); }
.strike { fill: none; stroke-width: 1.3; stroke-dasharray: 4 3; }
.kill .strike { stroke: var(--kill); stroke-opacity: 0.65; }
.freeze .strike { stroke: var(--freeze); }
.latency .strike { stroke: var(--latency); }
.kill .tag { fill: var(--kill); }
.freeze .tag { fill: var(--freeze); }
.latency .tag { fill: var(--latency); }
.picture .name { fill: var(--tag-ink); font-weight: 700; }
.death { fill: var(--card); stroke: var(--kill); stroke-width: 1.5; }
.dead { stroke: var(--kill); stroke-width: 1.8; fill: none; }
.recovery { fill: var(--recovery); }
.detected { fill: none; stroke: var(--kill); stroke-width: 2; stroke-linecap: round; }
.replied { fill: var(--ok); }
.restored { fill: none; stroke: var(--recovery); stroke-width: 2.2; }
.curve { fill: none; stroke-width: 2.2; stroke-linejoin: round; }
.curve.latency { stroke: var(--ok); }
.curve.service { stroke: var(--recovery); stroke-dasharray: 5 4; }
.legend { display: flex; flex-wrap: wrap; gap: 6px 20px; margin: 12px 0 0; padding: 0; list-style: none;
  font-size: 14px; color: var(--soft); }
.legend li { display: flex; gap: 7px; align-items: center; }
.legend svg { flex: none; }
.pair { display: grid; grid-template-columns: 1fr 1fr; gap: 16px; align-items: start; margin-top: 12px; }
.pair > * { min-width: 0; margin-top: 0; }
table { border-collapse: collapse; width: 100%; font-size: 15px; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--soft); font-size: 14px; padding-bottom: 6px; }
th { text-align: left; font-weight: 600; color: var(--soft); font-size: 13px; vertical-align: bottom; }
th, td { padding: 7px 14px 7px 0; border-bottom: 1px solid var(--line); }
td { vertical-align: top; overflow-wrap: break-word; }
th.number, td.number { text-align: right; }
td.number, td.state { white-space: nowrap; }
tbody th { color: var(--ink); font-size: 15px; vertical-align: top; }
tr:last-child td, tr:last-child th { border-bottom: 0; }
.table { margin-top: 16px; overflow-x: auto; }
pre + p { margin-top: 14px; }
details { margin-top: 12px; }
summary { cursor: pointer; color: var(--ok); }
dl.words { display: grid; grid-template-columns: minmax(120px, 190px) 1fr; gap: 6px 20px; margin: 12px 0 0; }
dl.words dt { font-weight: 600; }
dl.words dd { margin: 0; overflow-wrap: anywhere; }
footer { margin-top: 40px; color: var(--soft); font-size: 14px; }
@media (max-width: 1080px) {
  .wide { display: none; }
  .medium { display: block; }
  .tiles { grid-template-columns: repeat(3, 1fr); }
  .pair { grid-template-columns: 1fr; }
}
@media (max-width: 780px) { .story { grid-template-columns: 1fr; } }
@media (max-width: 640px) {
  main { padding: 12px 14px 40px; }
  h1 { font-size: 25px; }
  h2 { font-size: 20px; margin-top: 34px; }
  .medium { display: none; }
  .narrow { display: block; }
  .card { padding: 14px; }
  figure.card { padding: 10px 8px; }
  .verdict { gap: 14px; padding: 16px; align-items: flex-start; }
  .verdict svg { width: 44px; height: 44px; }
  .verdict p { font-size: 16px; }
  .verdict .word { font-size: 13px; }
  .tiles { grid-template-columns: 1fr 1fr; gap: 10px; }
  .tiles div:last-child:nth-child(odd) { grid-column: 1 / -1; }
  .tiles dd { font-size: 23px; }
  .stack thead { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
  .stack, .stack tbody, .stack tr { display: block; }
  .stack tr { padding: 8px 0; border-bottom: 1px solid var(--line); }
  .stack tr:last-child { border-bottom: 0; }
  .stack th, .stack td, .stack td.number { display: flex; gap: 12px; justify-content: space-between; padding: 2px 0;
    border: 0; white-space: normal; text-align: right; }
  .stack th, .stack caption { display: block; text-align: left; }
  .stack td.state { justify-content: flex-start; }
  .stack td.state::before { content: none; }
  .stack td::before { content: attr(data-label); color: var(--soft); text-align: left; flex: none; }
  .stack td.long { display: block; text-align: left; }
  .stack td.long::before { content: none; }
  dl.words { grid-template-columns: 1fr; gap: 0; }
  dl.words dd { margin-bottom: 10px; }
}
@media print {
  :root { --ground: #ffffff; --card: #ffffff; }
  body { font-size: 12px; }
  main { padding: 0; }
  .card, figure, tr, .verdict { break-inside: avoid; }
  h2 { break-after: avoid; }
  summary { display: none; }
}
"""
"""The style sheet; it stands in the page, which needs nothing from anywhere else."""
