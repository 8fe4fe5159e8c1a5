"""A hash-chained record: whatever is done to it afterwards is found, and a crash is told apart from it."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st

from scorer.chain import CONTENT_BYTES, TORN, Chain, ChainBroken, Entry, Head, canonical
from scorer.wire.errors import BadOption, ConfigurationError

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**60), 2**60)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
#: Each entry is flushed, and a disk takes its time for that.
MEMORY = Path("/dev/shm")  # noqa: S108
CONTENTS = st.lists(st.dictionaries(st.text(max_size=8), JSON, max_size=4), min_size=3, max_size=8)


@contextmanager
def chain_of(contents: list[dict[str, Any]], file_bytes: int) -> Iterator[Chain]:
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        chain = Chain(Path(folder) / "record", file_bytes)
        for content in contents:
            chain.append(content)
        yield chain


def files(chain: Chain) -> list[Path]:
    return sorted(chain.folder.glob("*.jsonl"))


def lines(chain: Chain) -> list[tuple[Path, int]]:
    """Every line, as its file and its place there."""
    return [(path, n) for path in files(chain) for n in range(path.read_bytes().count(b"\n"))]


def put(path: Path, changed: list[bytes]) -> None:
    path.write_bytes(b"".join(changed))


@settings(max_examples=40, deadline=None)
@given(CONTENTS, st.sampled_from([1, 700, 10**6]))
def test_what_was_appended_is_read_and_verified(contents: list[dict[str, Any]], file_bytes: int) -> None:
    with chain_of(contents, file_bytes) as chain:
        found = list(chain.entries())
        assert [entry.content for entry in found if isinstance(entry, Entry)] == contents
        assert [entry.number for entry in found] == list(range(1, len(contents) + 1))
        verified = chain.verify(known=chain.head())
        assert (verified.first, verified.head, verified.torn) == (1, chain.head(), 0)
        for entry in found:
            assert isinstance(entry, Entry)
            assert chain.verify(known=entry.head).head == chain.head()
        assert all(path.stat().st_mode & 0o777 == 0o600 for path in files(chain))


@settings(max_examples=40, deadline=None)
@given(CONTENTS, st.sampled_from([1, 10**6]), st.data())
def test_any_changed_byte_is_found_where_it_is(
    contents: list[dict[str, Any]], file_bytes: int, data: st.DataObject
) -> None:
    with chain_of(contents, file_bytes) as chain:
        places = lines(chain)
        number = data.draw(st.integers(0, len(places) - 1))
        path, place = places[number]
        changed = path.read_bytes().splitlines(keepends=True)
        line = bytearray(changed[place])
        at = data.draw(st.integers(0, len(line) - 2))
        line[at] = data.draw(st.integers(0, 255).filter(lambda byte: byte not in (line[at], 10)))
        changed[place] = bytes(line)
        put(path, changed)
        with pytest.raises(ChainBroken) as broken:
            chain.verify()
        assert broken.value.number == number + 1


@settings(max_examples=40, deadline=None)
@given(CONTENTS, st.sampled_from([1, 10**6]), st.data())
def test_an_entry_forged_with_a_right_hash_is_found(
    contents: list[dict[str, Any]], file_bytes: int, data: st.DataObject
) -> None:
    with chain_of(contents, file_bytes) as chain, chain_of([*contents[:-1], {"forged": 1}], 10**6) as other:
        known = chain.head()
        number = data.draw(st.integers(0, len(contents) - 1))
        path, place = lines(chain)[number]
        changed = path.read_bytes().splitlines(keepends=True)
        changed[place] = files(other)[0].read_bytes().splitlines(keepends=True)[number]
        put(path, changed)
        with pytest.raises(ChainBroken) as broken:
            chain.verify(known)
        assert broken.value.number in (number + 1, number + 2)


@settings(max_examples=40, deadline=None)
@given(CONTENTS, st.sampled_from([1, 10**6]), st.data())
def test_a_removed_entry_is_found(contents: list[dict[str, Any]], file_bytes: int, data: st.DataObject) -> None:
    with chain_of(contents, file_bytes) as chain:
        known, places = chain.head(), lines(chain)
        number = data.draw(st.integers(0, len(places) - 1))
        path, place = places[number]
        left = path.read_bytes().splitlines(keepends=True)
        del left[place]
        put(path, left)
        with pytest.raises(ChainBroken) as broken:
            chain.verify(known)
        assert broken.value.number == number + 1


@settings(max_examples=40, deadline=None)
@given(CONTENTS, st.data())
def test_two_exchanged_entries_are_found(contents: list[dict[str, Any]], data: st.DataObject) -> None:
    with chain_of(contents, 10**6) as chain:
        (path,) = files(chain)
        changed = path.read_bytes().splitlines(keepends=True)
        one, other = sorted(data.draw(st.lists(st.integers(0, len(changed) - 1), min_size=2, max_size=2, unique=True)))
        changed[one], changed[other] = changed[other], changed[one]
        put(path, changed)
        with pytest.raises(ChainBroken) as broken:
            chain.verify()
        assert broken.value.number == one + 1


@settings(max_examples=40, deadline=None)
@given(CONTENTS, st.sampled_from([1, 10**6]), st.data())
def test_an_end_that_was_cut_off_is_found_given_a_head(
    contents: list[dict[str, Any]], file_bytes: int, data: st.DataObject
) -> None:
    with chain_of(contents, file_bytes) as chain:
        known = chain.head()
        kept = data.draw(st.integers(0, len(contents) - 1))
        for path, place in reversed(lines(chain)[kept:]):
            left = path.read_bytes().splitlines(keepends=True)[:place]
            put(path, left)
            if not left:
                path.unlink()
        assert chain.verify().head.number == kept  # nothing shows it by itself
        with pytest.raises(ChainBroken) as broken:
            chain.verify(known)
        assert broken.value.number == kept + 1


@settings(max_examples=40, deadline=None)
@given(CONTENTS, st.sampled_from([1, 10**6]), st.data())
def test_a_crash_in_the_middle_of_a_line_is_not_tampering(
    contents: list[dict[str, Any]], file_bytes: int, data: st.DataObject
) -> None:
    with chain_of(contents, file_bytes) as chain:
        path = files(chain)[-1]
        whole = path.read_bytes()
        last = whole.splitlines(keepends=True)[-1]
        cut = data.draw(st.integers(1, len(last) - 1))
        path.write_bytes(whole[:-cut])
        verified = chain.verify()
        assert (verified.head.number, verified.torn) == (len(contents) - 1, len(last) - cut)
        chain.append({"after": "the crash"})
        found = [entry.content for entry in chain.entries() if isinstance(entry, Entry)]
        assert found[:-2] == contents[:-1]
        assert (found[-2]["event"], found[-2]["bytes"]) == (TORN, len(last) - cut)
        assert found[-1] == {"after": "the crash"}
        assert chain.verify(chain.head()).torn == 0


def test_a_line_cut_in_the_middle_of_the_record_is_tampering(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "record", 1)
    for number in range(3):
        chain.append({"n": number})
    first = files(chain)[0]
    first.write_bytes(first.read_bytes()[:-5])
    with pytest.raises(ChainBroken, match="entry 1 was changed"):
        chain.verify()


@pytest.mark.parametrize("rest", [b"", b"\n", b"{}\n", b"[1]\n", b"\x00" * 300_000, b"[" * 60_000 + b"\n"])
def test_an_append_after_a_spoiled_end_is_refused_or_goes_on(tmp_path: Path, rest: bytes) -> None:
    chain = Chain(tmp_path / "record")
    chain.append({"n": 1})
    path = files(chain)[0]
    path.write_bytes(path.read_bytes() + rest)
    if not rest:
        assert chain.append({"n": 2}).number == 2
        return
    before = path.read_bytes()
    with pytest.raises(ChainBroken, match="entry was changed"):
        chain.append({"n": 2})
    assert path.read_bytes() == before


def test_an_empty_file_that_a_crash_left_is_written_to(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "record", 1)
    chain.append({"n": 1})
    (chain.folder / "000000000002.jsonl").touch(0o600)
    assert chain.append({"n": 2}).number == 2
    assert [path.stat().st_size > 0 for path in files(chain)] == [True, True]
    assert chain.verify().head.number == 2


def test_older_files_may_be_moved_away_when_their_head_is_kept(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "record", 1)
    heads = [chain.append({"n": number}) for number in range(4)]
    for path in files(chain)[:2]:
        path.unlink()
    with pytest.raises(ChainBroken, match="entry 3 stands where entry 1 belongs"):
        chain.verify()
    assert chain.verify(known=heads[3], after=heads[1]).first == 3
    with pytest.raises(ChainBroken, match="entry 3 does not follow on entry 2"):
        chain.verify(after=Head(2, "0" * 63 + "1"))
    with pytest.raises(BadOption, match="lies before"):
        chain.verify(known=heads[0], after=heads[1])


def test_threads_and_processes_write_one_chain(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from scorer.chain import Chain\n"
        "for n in range(20): Chain(Path(sys.argv[1]), 2000).append({'from': sys.argv[2], 'n': n})"
    )
    others = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path / "record"), name]) for name in "ab"]
    chain = Chain(tmp_path / "record", 2000)
    with ThreadPoolExecutor(4) as pool:
        heads = list(pool.map(lambda n: chain.append({"from": "here", "n": n}), range(40)))
    assert [other.wait(60) for other in others] == [0, 0]
    assert chain.verify(max(heads, key=lambda head: head.number)).head.number == 80
    assert len(files(chain)) > 3


def test_a_record_without_entries_has_a_head(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "nowhere")
    assert (chain.head(), chain.verify().head, list(chain.entries())) == (Head(), Head(), [])
    with pytest.raises(ChainBroken, match="ends with entry 0"):
        chain.verify(Head(1, "a" * 64))


@pytest.mark.parametrize(
    "content", [{"x": "a" * CONTENT_BYTES}, {"x": float("nan")}, {"x": object()}, {"x": b"bytes"}], ids=repr
)
def test_what_no_line_can_hold_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    chain = Chain(tmp_path / "record")
    with pytest.raises(ValueError):
        chain.append(content)
    assert not chain.folder.exists()


def test_the_longest_content_is_read_again(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "record")
    content = {"x": "a" * (CONTENT_BYTES - len(canonical({"x": ""})))}
    assert chain.verify(chain.append(content)).head.number == 1
    assert chain.append({}).number == 2


def test_a_record_that_cannot_be_written_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="cannot be written"):
        Chain(tmp_path / "file" / "record").append({})
    open_to_all = tmp_path / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    with pytest.raises(ConfigurationError, match=r"can be written by others \(mode 777\)"):
        Chain(open_to_all).append({})


def test_a_record_that_another_process_holds_is_not_waited_for_without_end(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "record", patience=0.2)
    chain.append({"n": 1})
    with FileLock(chain.folder / ".lock"):
        for add in (lambda: chain.append({"n": 2}), chain.check):
            with pytest.raises(ConfigurationError, match=r"held by another process for 0\.2 s"):
                add()
    assert chain.append({"n": 2}).number == 2


def test_a_full_disk_leaves_the_record_whole(tmp_path: Path) -> None:
    chain = Chain(tmp_path / "record")
    chain.append({"n": 1})
    code = (
        "import resource, signal, sys; from pathlib import Path; from scorer.chain import Chain\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "chain = Chain(Path(sys.argv[1]))\n"
        "size = next(chain.folder.glob('*.jsonl')).stat().st_size\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (size + 100, size + 100))\n"
        "chain.append({'n': 'a' * 500})"
    )
    done = subprocess.run([sys.executable, "-c", code, str(chain.folder)], capture_output=True, text=True, check=False)
    assert "cannot be written: File too large" in done.stderr
    assert chain.verify().torn == 0
    assert chain.append({"n": 2}).number == 2


@pytest.mark.parametrize("text", ["", "1", "1:", "x:" + "0" * 64, "1:" + "g" * 64, "-1:" + "0" * 64, "1:" + "0" * 65])
def test_a_head_is_read_as_it_is_printed(text: str) -> None:
    head = Head(7, "ab" * 32)
    assert Head.parse(f"{head}\n") == head
    with pytest.raises(BadOption, match="no head"):
        Head.parse(text)


def test_the_chain_loads_neither_redis_nor_numpy() -> None:
    code = "import sys, scorer.chain; print(sorted({'numpy', 'redis', 'celery'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
