"""Random tables through the built app's command: every field of every row comes back, in order, with its own score."""

from __future__ import annotations

import csv
import io

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorer.wire.names import OUTPUT_COLUMNS
from tests.acceptance.conftest import InstalledApp
from tests.acceptance.scripted_gateway import ScriptedGateway

_CELLS = st.text(alphabet=st.one_of(st.sampled_from('",\n\r$; \tà日'), st.characters(codec="utf-8")), max_size=6)
_NAMES = st.sampled_from(["logons", "failures", "__mv_logons", "user", "_raw", "a b", 'q"uote', "com,ma", "日"])


@st.composite
def chunks(draw: st.DrawFn) -> list[list[str]]:
    names = draw(st.lists(_NAMES, min_size=1, max_size=6, unique=True))
    rows = draw(st.lists(st.lists(_CELLS, min_size=len(names), max_size=len(names)), min_size=1, max_size=5))
    return [names, *rows]


def written(rows: list[list[str]], ending: str) -> bytes:
    def cell(text: str) -> str:
        return '"' + text.replace('"', '""') + '"' if not text or set(text) & set('",\r\n') else text

    return "".join(",".join(map(cell, row)) + ending for row in rows).encode()


def test_any_table(app: InstalledApp, gateway: ScriptedGateway) -> None:
    with app.open() as process:
        process.getinfo(["model=lateral"], **app.searchinfo)

        @settings(max_examples=80, deadline=None, suppress_health_check=list(HealthCheck))
        @given(chunks(), st.sampled_from(["\n", "\r\n"]))
        def check(rows: list[list[str]], ending: str) -> None:
            answer = process.execute(written(rows, ending))
            back = list(csv.reader(io.StringIO(answer.body.decode(), newline="")))
            assert back[0] == rows[0] + list(OUTPUT_COLUMNS)
            assert [row[: len(rows[0])] for row in back[1:]] == rows[1:]
            assert [row[-1] for row in back[1:]] == ["ok"] * (len(rows) - 1)
            sent = gateway.requests[-1]
            wanted = [name for name in rows[0] if name in ("logons", "failures", "__mv_logons")]
            if wanted:
                assert list(sent.header) == wanted
                cells = [[row[rows[0].index(name)] for name in wanted] for row in rows[1:]]
                assert [list(row) for row in sent.rows] == cells

        check()
        assert process.finish() == (0, "", b"")
