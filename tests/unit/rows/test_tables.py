"""Files of events and rows: every format, and every way in which a file can be broken."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scorer.rows.files import memory_of_arrow, read_table, write_table
from scorer.wire.errors import BadTrainingData

LINES = b'a,b\r\n007,"x, ""y""\nz"\r\n,2\r\n'


def test_csv_cells_stay_text(tmp_path: Path) -> None:
    path = tmp_path / "e.csv"
    path.write_bytes(b"\xef\xbb\xbf" + LINES)
    assert read_table(path).to_pydict() == {"a": ["007", None], "b": ['x, "y"\nz', "2"]}


def test_gzip_is_known_by_its_bytes(tmp_path: Path) -> None:
    for name in ("e.csv.gz", "e.csv"):
        (tmp_path / name).write_bytes(gzip.compress(LINES))
        assert read_table(tmp_path / name).num_rows == 2


def test_nested_json_gets_dotted_names(tmp_path: Path) -> None:
    path = tmp_path / "e.ndjson.gz"
    lines = [{"source": {"ip": "1.2.3.4"}, "event": {"code": 4624}}, {"source": {"ip": None}}]
    path.write_bytes(gzip.compress("\n".join(json.dumps(line) for line in lines).encode()))
    assert read_table(path).to_pydict() == {"source.ip": ["1.2.3.4", None], "event.code": [4624, None]}


def test_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"s": [{"t": 1}]}), tmp_path / "e.parquet")
    assert read_table(tmp_path / "e.parquet").to_pydict() == {"s.t": [1]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("e.csv", b"", "not what its name says"),
        ("e.csv", b"a,b\n", "no rows"),
        ("e.csv", b"a,a\n1,2\n", "two columns called 'a'"),
        ("e.csv", b"a,b\n1\n", "not what its name says"),
        ("e.csv", b"a\n\xff\xfe\n", "not what its name says"),
        ("e.ndjson", b'{"a": 1}\n{"a": ', "not what its name says"),
        ("e.ndjson", b'{"a": 1}\n{"a": "x"}\n', "not what its name says"),
        ("e.parquet", b"PAR1 no", "not what its name says"),
        ("e.csv.gz", b"\x1f\x8b\x08\x00cut", "cannot be read"),
        ("e.xlsx", b"PK", "unknown ending"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadTrainingData, match=message):
        read_table(tmp_path / name)


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadTrainingData, match="cannot be read"):
        read_table(tmp_path / "none.csv")


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200), name=st.sampled_from(["f.csv", "f.ndjson", "f.parquet", "f.csv.gz"]))
def test_any_bytes_give_a_table_or_a_named_error(tmp_path: Path, content: bytes, name: str) -> None:
    (tmp_path / name).write_bytes(content)
    try:
        rows = read_table(tmp_path / name).num_rows
    except BadTrainingData:
        return
    assert rows > 0


def test_arrow_reads_from_memory_of_its_own() -> None:
    """Its threads let go of it late: were it Python's, a command that ends in that moment would be aborted."""
    content = bytearray(LINES)
    source = memory_of_arrow(content)
    content.clear()  # raises BufferError where anybody still looks at it
    assert source.read() == LINES


@pytest.mark.parametrize("name", ["r.csv", "r.csv.gz", "r.parquet"])
def test_what_is_written_reads_back(tmp_path: Path, name: str) -> None:
    table = pa.table({"user": ["a,b", 'c"d', "e\nf", "plain"], "n": ["1", "2", "3", "4"]})
    write_table(table, tmp_path / "new" / name)
    assert read_table(tmp_path / "new" / name).equals(table)


def test_plain_values_are_written_without_quotes(tmp_path: Path) -> None:
    write_table(pa.table({"user": ["a"], "n": [1.0]}), tmp_path / "r.csv")
    assert (tmp_path / "r.csv").read_bytes() == b"user,n\na,1\n"


def test_writing_to_an_unknown_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadTrainingData, match=r"cannot write r\.txt"):
        write_table(pa.table({"n": [1]}), tmp_path / "r.txt")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("in the way")
    for path in (tmp_path / "folder.csv", tmp_path / "file" / "rows.csv"):
        with pytest.raises(BadTrainingData, match="cannot write"):
            write_table(pa.table({"a": [1]}), path)
