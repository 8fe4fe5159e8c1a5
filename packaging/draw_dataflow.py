"""Draws docs/dataflow.svg, the path of a row through the processes, from the tables below.

Run `make drawing` after a change here or a rename of what a step names; a test compares the file with what this
script makes, and imports every name. Coordinates are in SVG user units, y downwards.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from itertools import pairwise
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "docs" / "dataflow.svg"

SPLUNK, ELASTIC, BOTH = "splunk", "elastic", "both"
OURS, QUEUE, THEIRS = "ours", "queue", "theirs"


@dataclass(frozen=True)
class Band:
    """One process, or a server that is not ours: columns ``left`` to ``right`` and rows ``top`` to ``bottom`` of the
    grid, all inclusive."""

    title: str
    process: str
    kind: str
    left: int
    right: int
    top: int
    bottom: int


@dataclass(frozen=True)
class Step:
    """One box at ``(column, row)`` of the grid. ``where``: `module:name`, or words for what is no code of ours."""

    label: str
    where: str
    column: int
    row: int
    path: str
    mark: str = ""

    @property
    def is_code(self) -> bool:
        """Tell whether ``where`` names something that can be imported."""
        return ":" in self.where


@dataclass(frozen=True)
class Arrow:
    """A line through ``points``, each ``(column, row, side)``: a side of that cell's box, or `gap` (the middle of the
    gap below it) or `gutter` (the free strip right of the last column)."""

    path: str
    points: tuple[tuple[int, int, str], ...]
    both_ways: bool = False


BANDS = (
    Band("Search head", "splunkd", THEIRS, 0, 1, 0, 0),
    Band("Search head", "process: the command | qscore", OURS, 0, 1, 1, 2),
    Band("Gateway", "process: HTTPS", OURS, 0, 1, 3, 4),
    Band("Elasticsearch", "your cluster", THEIRS, 2, 3, 0, 0),
    Band("Connector", "process: qscore elastic run", OURS, 2, 3, 1, 4),
    Band("Queue", "process: Valkey or Redis", QUEUE, 0, 3, 5, 5),
    Band("Worker", "process: one batch at a time", OURS, 0, 3, 6, 7),
    Band("Queue", "the same server again", QUEUE, 0, 3, 8, 8),
    Band("Delivery", "process: writes to the sinks", OURS, 0, 3, 9, 10),
    Band("Index", "Splunk", THEIRS, 0, 1, 11, 11),
    Band("Index", "Elasticsearch", THEIRS, 2, 3, 11, 11),
)

STEPS = (
    Step("the search's results", "a chunk, as CSV", 1, 0, SPLUNK),
    Step("cut to the model's fields", "splunk_app.request:select", 1, 1, SPLUNK, "1"),
    Step("post, check the reply", "scorer.wire.client:GatewayClient.score", 1, 2, SPLUNK, "2"),
    Step("check key, size, options", "scorer.service.gateway.request_checks:score_request", 1, 3, SPLUNK, "3"),
    Step("onto the queue, unparsed", "scorer.service.queue.submit:Submitter.put", 1, 4, SPLUNK, "4"),
    Step("a batch to score", "scorer.service.queue.jobs:ScoreJob", 1, 5, BOTH, "5"),
    Step("take a batch", "scorer.service.worker.scoring:ScoringWorker.run", 1, 6, BOTH, "6"),
    Step("columns, defects by row", "scorer.scoring.decode:decode", 2, 6, BOTH, "7"),
    Step("inputs become features", "scorer.rows.transform:derive", 3, 6, BOTH, "8"),
    Step("score: quantum and twin", "scorer.scoring.score:score", 3, 7, BOTH, "9"),
    Step("shape rows to write", "scorer.delivery.scored:scored_rows", 2, 7, BOTH, "10"),
    Step("format ten columns", "scorer.scoring.encode:encode_reply", 1, 7, SPLUNK, "11"),
    Step("the reply", "scorer.service.queue.jobs:WorkerReply", 0, 5, SPLUNK, "12"),
    Step("wait for the reply", "scorer.service.queue.exchange:Exchange.wait_reply", 0, 4, SPLUNK, "13"),
    Step("paste onto the chunk", "splunk_app.request:paste_rows", 0, 2, SPLUNK, "14"),
    Step("answer splunkd", "splunk_app.frames:write_reply", 0, 1, SPLUNK, "15"),
    Step("rows, ten columns more", "each in its place", 0, 0, SPLUNK),
    Step("rows under their key", "scorer.service.queue.jobs:DeliveryJob", 2, 8, BOTH, "16"),
    Step("what is left comes again", "scorer.service.queue.submit:Submitter.put_again", 1, 8, BOTH, "19"),
    Step("take a part", "scorer.service.worker.delivering:DeliveryWorker.run", 2, 9, BOTH, "17"),
    Step("send, count every row", "scorer.delivery.deliver:deliver", 1, 9, BOTH, "18"),
    Step("events, indexed fields", "scorer.delivery.hec.sink:HecSink", 0, 10, SPLUNK, "20"),
    Step("keep what no sink takes", "scorer.delivery.dead_letters:DeadLetters", 1, 10, BOTH, "20"),
    Step("documents, each once", "scorer.delivery.elastic.sink:ElasticSession.send", 2, 10, BOTH, "20"),
    Step("settle; last part tells", "scorer.service.queue.exchange:Exchange.settle_part", 3, 10, ELASTIC, "F"),
    Step("score events", "macros, rule, notable events", 0, 11, SPLUNK),
    Step("logs-qscore.scores-*", "Kibana's rules, dashboard", 2, 11, BOTH),
    Step("documents arrive", "logs-*", 2, 0, ELASTIC),
    Step("state document", "owner, epoch, checkpoint", 3, 0, ELASTIC),
    Step("lead a source", "elastic_connector.lead.lease:Lease", 3, 1, ELASTIC, "A"),
    Step("read in order of arrival", "elastic_connector.read.events:EventReader", 2, 1, ELASTIC, "B"),
    Step("documents become rows", "elastic_connector.read.documents:EventShaper", 2, 2, ELASTIC, "C"),
    Step("note the batch's place", "elastic_connector.lead.ledger:Ledger.add", 2, 3, ELASTIC, "D"),
    Step("onto the queue, as Arrow", "elastic_connector.lead.batches:Sender.send", 2, 4, ELASTIC, "E"),
    Step("the acknowledgement", "scorer.rows.acknowledgement:Acknowledgement", 3, 5, ELASTIC, "G"),
    Step("take it", "elastic_connector.lead.batches:Sender.wait_outcome", 3, 4, ELASTIC, "H"),
    Step("tick it off, in order", "elastic_connector.lead.ledger:Ledger.acknowledge", 3, 3, ELASTIC, "I"),
    Step("move the checkpoint", "elastic_connector.lead.lease_keeper:LeaseKeeper", 3, 2, ELASTIC, "J"),
)


def _along(path: str, column: int, *rows: int) -> tuple[Arrow, ...]:
    """Make arrows along one column, from each of ``rows`` to the next, downwards or upwards."""
    sides = ("bottom", "top") if rows[0] < rows[-1] else ("top", "bottom")
    return tuple(Arrow(path, ((column, one, sides[0]), (column, other, sides[1]))) for one, other in pairwise(rows))


ARROWS = (
    *_along(SPLUNK, 1, 0, 1, 2, 3, 4, 5),
    *_along(BOTH, 1, 5, 6),
    Arrow(BOTH, ((1, 6, "right"), (2, 6, "left"))),
    Arrow(BOTH, ((2, 6, "right"), (3, 6, "left"))),
    *_along(BOTH, 3, 6, 7),
    Arrow(BOTH, ((3, 7, "left"), (2, 7, "right"))),
    Arrow(SPLUNK, ((2, 7, "left"), (1, 7, "right"))),
    Arrow(SPLUNK, ((1, 7, "left"), (0, 7, "centre"), (0, 5, "bottom"))),
    *_along(SPLUNK, 0, 5, 4, 2, 1, 0),
    *_along(BOTH, 2, 7, 8, 9),
    Arrow(BOTH, ((2, 9, "left"), (1, 9, "right"))),
    Arrow(BOTH, ((1, 9, "top"), (1, 8, "bottom"))),
    Arrow(BOTH, ((1, 8, "right"), (2, 8, "left"))),
    Arrow(ELASTIC, ((1, 9, "bottom"), (1, 9, "gap"), (3, 9, "gap"), (3, 10, "top"))),
    Arrow(SPLUNK, ((1, 9, "bottom"), (1, 9, "gap"), (0, 9, "gap"), (0, 10, "top"))),
    Arrow(BOTH, ((1, 9, "bottom"), (1, 9, "gap"), (2, 9, "gap"), (2, 10, "top"))),
    *_along(BOTH, 1, 9, 10),
    *_along(SPLUNK, 0, 10, 11),
    *_along(BOTH, 2, 10, 11),
    Arrow(ELASTIC, ((3, 10, "right"), (3, 10, "gutter"), (3, 5, "gutter"), (3, 5, "right"))),
    *_along(ELASTIC, 3, 5, 4, 3, 2, 1),
    Arrow(ELASTIC, ((3, 1, "top"), (3, 0, "bottom")), both_ways=True),
    Arrow(ELASTIC, ((3, 1, "left"), (2, 1, "right"))),
    *_along(ELASTIC, 2, 0, 1, 2, 3, 4),
    Arrow(ELASTIC, ((2, 4, "bottom"), (2, 5, "centre"), (1, 5, "right"))),
)

LEGEND = (
    (SPLUNK, "Splunk: 1 to 15; with write=true 16 to 20 too"),
    (ELASTIC, "Elastic: A to E, 5 to 10, 16 to 20, F to J"),
    (BOTH, "on both paths"),
)
_ALT = (
    "Path of a row. Splunk: the search command cuts a chunk to the model's columns and posts it to the gateway, which"
    " puts it on the queue; a worker scores it; the reply comes back over the queue and is pasted onto the chunk."
    " Elastic: the connector reads documents, puts batches on the same queue and moves its checkpoint when they are"
    " acknowledged. Rows to write go over the queue to the delivery process, and from there to the index of Splunk or"
    " of Elasticsearch."
)

WIDTH, MARGIN, BOX, BOX_HEIGHT = 920, 10, 198, 54
#: Left edge of each column; the free strip right of the last one is the gutter.
_COLUMNS = (21, 236, 475, 691)
_GUTTER = 900
_TOP = 44
_HEADER, _PADDING, _ROW_GAP, _BAND_GAP = 26, 10, 16, 16
#: Advance of one character, as a share of the font's size.
_MONO = 0.602

_STYLE = """
svg{--paper:#ffffff;--ink:#1f2328;--soft:#59636e;--ours:#f6f8fa;--queue:#fff6e0;--theirs:#ffffff;--edge:#9aa4af;
--splunk:#0b62c4;--elastic:#087a5c;--both:#7d3fb8;--box:#ffffff}
@media (prefers-color-scheme:dark){svg{--paper:#0d1117;--ink:#e6edf3;--soft:#9aa5b1;--ours:#161b22;--queue:#2b2413;
--theirs:#0d1117;--edge:#57606a;--splunk:#6cb2ff;--elastic:#4fd0a5;--both:#cda2f5;--box:#0d1117}}
text{font-family:system-ui,-apple-system,"Segoe UI","DejaVu Sans",sans-serif;fill:var(--ink)}
.mono{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace;fill:var(--soft)}
.name{font-weight:600;fill:var(--ink)}.title{font-size:14px;font-weight:700}.soft{font-size:12px;fill:var(--soft)}
.label{font-size:12.5px;font-weight:600}.mark{font-size:10px;font-weight:700;fill:var(--paper);text-anchor:middle}
.band{stroke:var(--edge);stroke-width:1.5}.ours{fill:var(--ours)}.queue{fill:var(--queue)}
.theirs{fill:var(--theirs);stroke-dasharray:5 4}
.box{fill:var(--box);stroke-width:1.2}.line{fill:none;stroke-width:1.8}
.box.splunk,.line.splunk{stroke:var(--splunk)}.box.elastic,.line.elastic{stroke:var(--elastic)}
.box.both,.line.both{stroke:var(--both)}
.disc.splunk,.head.splunk{fill:var(--splunk)}.disc.elastic,.head.elastic{fill:var(--elastic)}
.disc.both,.head.both{fill:var(--both)}
""".strip()


def _row_tops() -> tuple[float, ...]:
    """Find the top of each row's boxes: a row that begins a band lies below that band's header."""
    starts, ends = {band.top for band in BANDS}, {band.bottom for band in BANDS}
    tops, y = [], float(_TOP)
    for row in range(1 + max(step.row for step in STEPS)):
        if row in starts:
            y += _HEADER
        tops.append(y)
        y += BOX_HEIGHT + (_PADDING + _BAND_GAP if row in ends else _ROW_GAP)
    return tuple(tops)


_ROWS = _row_tops()
HEIGHT = _ROWS[-1] + BOX_HEIGHT + _PADDING + MARGIN


def _band(band: Band) -> Iterator[str]:
    left = MARGIN if band.left == 0 else _COLUMNS[band.left] - 11
    right = WIDTH - MARGIN if band.right == 3 else _COLUMNS[band.right] + BOX + 11
    top, bottom = _ROWS[band.top] - _HEADER, _ROWS[band.bottom] + BOX_HEIGHT + _PADDING
    size = f'x="{left}" y="{top:g}" width="{right - left}" height="{bottom - top:g}"'
    yield f'<rect class="band {band.kind}" {size} rx="8"/>'
    yield f'<text class="title" x="{left + 11}" y="{top + 18:g}">{escape(band.title)}</text>'
    # Right of the first column's arrows, so that no line runs through the words.
    beside = _COLUMNS[band.left] + BOX / 2 + 11
    yield f'<text class="soft" x="{beside:g}" y="{top + 18:g}">{escape(band.process)}</text>'


def _mono(text: str, x: float, y: float, room: float, kind: str = "mono") -> str:
    """Write code, smaller where it would be wider than ``room``."""
    size = min(10.5, room / (_MONO * len(text)))
    return f'<text class="{kind}" x="{x:g}" y="{y:g}" font-size="{size:.4g}">{escape(text)}</text>'


def _step(step: Step) -> Iterator[str]:
    x, y = _COLUMNS[step.column], _ROWS[step.row]
    yield f'<rect class="box {step.path}" x="{x}" y="{y:g}" width="{BOX}" height="{BOX_HEIGHT}" rx="5"/>'
    yield f'<text class="label" x="{x + 8}" y="{y + 17:g}">{escape(step.label)}</text>'
    module, _, name = step.where.rpartition(":")
    if step.is_code:
        yield _mono(module, x + 8, y + 32, BOX - 16)
        yield _mono(name, x + 8, y + 46, BOX - 34, "mono name")
    else:
        yield f'<text class="soft" x="{x + 8}" y="{y + 35:g}">{escape(step.where)}</text>'
    if step.mark:
        yield f'<circle class="disc {step.path}" cx="{x + BOX - 12}" cy="{y + 43:g}" r="8.5"/>'
        yield f'<text class="mark" x="{x + BOX - 12}" y="{y + 46.6:g}">{escape(step.mark)}</text>'


def _point(column: int, row: int, side: str) -> tuple[float, float]:
    x, y = _COLUMNS[column], _ROWS[row]
    middle, centre = x + BOX / 2, y + BOX_HEIGHT / 2
    return {
        "top": (middle, y),
        "bottom": (middle, y + BOX_HEIGHT),
        "left": (x, centre),
        "right": (x + BOX, centre),
        "centre": (middle, centre),
        "gap": (middle, y + BOX_HEIGHT + _ROW_GAP / 2),
        "gutter": (_GUTTER, centre),
    }[side]


def _head(path: str, before: tuple[float, float], tip: tuple[float, float]) -> str:
    """Draw an arrow's head at ``tip``, along a line that comes from ``before``."""
    (x, y), (dx, dy) = tip, (tip[0] - before[0], tip[1] - before[1])
    ux, uy = (0 if dx == 0 else dx / abs(dx), 0 if dy == 0 else dy / abs(dy))
    base = (x - 7 * ux, y - 7 * uy)
    corners = (tip, (base[0] - 4 * uy, base[1] + 4 * ux), (base[0] + 4 * uy, base[1] - 4 * ux))
    return f'<polygon class="head {path}" points="{" ".join(f"{px:g},{py:g}" for px, py in corners)}"/>'


def _arrow(arrow: Arrow) -> Iterator[str]:
    points = [_point(*point) for point in arrow.points]
    yield f'<polyline class="line {arrow.path}" points="{" ".join(f"{x:g},{y:g}" for x, y in points)}"/>'
    yield _head(arrow.path, points[-2], points[-1])
    if arrow.both_ways:
        yield _head(arrow.path, points[1], points[0])


def _legend() -> Iterator[str]:
    x = MARGIN + 2.0
    for path, text in LEGEND:
        yield f'<circle class="disc {path}" cx="{x + 7:g}" cy="20" r="7"/>'
        yield f'<text class="soft" x="{x + 20:g}" y="24">{escape(text)}</text>'
        x += 42 + 6.3 * len(text)


def drawing(steps: Sequence[Step] = STEPS) -> str:
    """Make the whole SVG, the same text each time."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT:g}" role="img" aria-labelledby="t d">',
        f'<title id="t">The path of a row through qscore</title><desc id="d">{escape(_ALT)}</desc>',
        f"<style>{_STYLE}</style>",
        f'<rect width="{WIDTH}" height="{HEIGHT:g}" fill="var(--paper)"/>',
        *_legend(),
        *(part for band in BANDS for part in _band(band)),
        *(part for arrow in ARROWS for part in _arrow(arrow)),
        *(part for step in steps for part in _step(step)),
        "</svg>",
    ]
    return "\n".join(parts) + "\n"


if __name__ == "__main__":
    TARGET.write_text(drawing(), encoding="utf-8")
    print(f"{TARGET.name}: {len(STEPS)} steps")
