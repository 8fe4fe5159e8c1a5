from __future__ import annotations

import multiprocessing
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from filelock import FileLock

from demo.standins.hec_endpoint import HecEndpoint
from demo.standins.hec_rules import HecRules
from scorer.delivery.dead_letters import DeadLetters
from scorer.delivery.deliver import deliver
from scorer.delivery.file_sink import FileSink
from scorer.delivery.hec.sink import HecSink
from scorer.delivery.replay import ReplayResult, replay, summed, waiting, written_to
from scorer.delivery.rows import NO_ROWS
from scorer.delivery.sink import Refused
from scorer.wire.errors import BadOption, ConfigurationError
from tests.unit.delivery.builders import TOKEN, changed, make_rows, objects_of

MakeSink = Callable[..., HecSink]


@pytest.fixture
def dead_letters(tmp_path: Path) -> DeadLetters:
    return DeadLetters(tmp_path / "state" / "dead.sqlite")


def refuse(count: int, reason: str = "because") -> list[Refused]:
    return [Refused(make_rows(count), reason)]


def test_letters_are_kept_once_with_their_attempts(dead_letters: DeadLetters) -> None:
    dead_letters.add("hec", refuse(3))
    dead_letters.add("hec", refuse(2, "again"))
    dead_letters.add("file", refuse(1))
    assert dead_letters.counts() == {"file": 1, "hec": 3}
    letters = dead_letters.list("hec")
    assert [(letter.attempts, letter.reason) for letter in letters] == [(2, "again"), (2, "again"), (1, "because")]
    assert [objects_of(letter.rows) for letter in letters if letter.rows] == [[row] for row in objects_of(make_rows(3))]


def test_the_files_are_the_owners_alone(dead_letters: DeadLetters) -> None:
    dead_letters.add("hec", refuse(1))
    with sqlite3.connect(dead_letters.path) as db:
        db.execute("INSERT INTO dead_letters VALUES (99, 's', 'i', '{}', 'r', 0, 0, 1)")
        modes = {stat.S_IMODE(path.stat().st_mode) for path in dead_letters.path.parent.iterdir()}
        db.rollback()
    db.close()
    assert modes == {0o600}


def test_listing_pages_by_number_and_an_absent_store_is_empty(dead_letters: DeadLetters) -> None:
    assert list(dead_letters.list()) == []
    assert dead_letters.counts() == {}
    assert not dead_letters.path.exists()
    dead_letters.add("hec", refuse(5))
    first = dead_letters.list(limit=3)
    rest = dead_letters.list(limit=3, after=first[-1].number)
    assert [letter.qscore_id for letter in (*first, *rest)] == make_rows(5).ids


def test_a_letter_that_died_again_is_not_removed_by_an_older_confirmation(dead_letters: DeadLetters) -> None:
    dead_letters.add("hec", refuse(2))
    seen = dead_letters.list()
    dead_letters.add("hec", refuse(1))
    dead_letters.remove(seen)
    assert [letter.attempts for letter in dead_letters.list()] == [2]


def test_purge_by_sink_and_by_age(dead_letters: DeadLetters) -> None:
    dead_letters.add("hec", refuse(2))
    dead_letters.add("file", refuse(1))
    assert dead_letters.purge(days=1.0) == 0
    assert dead_letters.purge("hec") == 2
    assert dead_letters.counts() == {"file": 1}
    assert dead_letters.purge(days=0.0) == 1


def test_a_file_that_is_no_database_is_named(tmp_path: Path) -> None:
    path = tmp_path / "dead.sqlite"
    path.write_bytes(b"this is not a database" * 100)
    with pytest.raises(ConfigurationError, match=r"dead\.sqlite"):
        DeadLetters(path).add("hec", refuse(1))


def test_a_letter_that_cannot_be_read_is_named_and_hides_no_other(
    dead_letters: DeadLetters, hec_sink: MakeSink, endpoint: HecEndpoint
) -> None:
    dead_letters.add("hec", refuse(3))
    with sqlite3.connect(dead_letters.path) as db:
        db.execute("UPDATE dead_letters SET payload = '{\"id\": 7}' WHERE id = 2")
    db.close()
    letters = dead_letters.list()
    assert [letter.rows is None for letter in letters] == [False, True, False]
    assert "it cannot be read: scored row 0: batch_id is dict: Field required" in letters[1].fault
    result = replay(dead_letters, hec_sink())
    assert (result.sent, result.refused, result.left) == (2, 0, 1)
    assert "cannot be read" in result.reason
    assert [letter.number for letter in dead_letters.list()] == [2]


def test_a_sink_is_named_with_or_without_its_namespace(dead_letters: DeadLetters) -> None:
    for name in ("elastic:prod", "elastic:lab", "elastic2", "hec"):
        dead_letters.add(name, refuse(1))
    assert [letter.sink for letter in dead_letters.list("elastic")] == ["elastic:prod", "elastic:lab"]
    assert [letter.sink for letter in dead_letters.list("elastic:lab")] == ["elastic:lab"]
    assert dead_letters.counts("elastic") == {"elastic:lab": 1, "elastic:prod": 1}
    assert dead_letters.counts("elastic:lab") == {"elastic:lab": 1}
    assert dead_letters.purge("elastic") == 2
    assert dead_letters.counts() == {"elastic2": 1, "hec": 1}


def add_some(path: Path, start: int) -> None:
    store = DeadLetters(path)
    for at in range(start, start + 30):
        store.add("hec", [Refused(make_rows(40)[at : at + 1], "concurrent")])


def test_processes_add_at_once_and_nothing_is_lost(dead_letters: DeadLetters) -> None:
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=add_some, args=(dead_letters.path, start)) for start in (0, 10)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert [worker.exitcode for worker in workers] == [0, 0]
    assert dead_letters.counts() == {"hec": 40}
    assert sum(letter.attempts for letter in dead_letters.list()) == 60


def test_deliver_counts_every_row(dead_letters: DeadLetters, hec_sink: MakeSink, endpoint: HecEndpoint) -> None:
    rows = changed(make_rows(6), 2, reason="x" * 30_000)
    result = deliver(rows, hec_sink(), dead_letters, final=False)
    assert (result.ack.batch_id, result.ack.written, result.ack.dead, len(result.unsent)) == ("batch-0001", 5, 1, 0)
    assert [letter.qscore_id for letter in dead_letters.list()] == rows.ids[2:3]
    assert "413" in result.reason


def test_deliver_tries_again_when_the_sink_is_busy(
    dead_letters: DeadLetters, hec_sink: MakeSink, endpoint: HecEndpoint
) -> None:
    endpoint.fail_next(["busy", "close"])
    result = deliver(make_rows(3), hec_sink(), dead_letters, final=False)
    assert (result.ack.written, len(result.unsent), result.reason) == (3, 0, "")
    assert dead_letters.counts() == {}


def test_deliver_leaves_a_named_pause_to_the_caller(
    dead_letters: DeadLetters, hec_sink: MakeSink, endpoint: HecEndpoint
) -> None:
    endpoint.fail_next(["throttled"])
    rows = make_rows(3)
    result = deliver(rows, hec_sink(), dead_letters, final=False)
    assert (result.unsent.ids, result.retry_after, result.ack.written) == (rows.ids, 7.0, 0)
    assert len(endpoint.requests) == 1
    assert deliver(result.unsent, hec_sink(), dead_letters, final=False).ack.written == 3


def test_deliver_for_the_last_time_keeps_what_is_left_with_reason_and_remedy(
    dead_letters: DeadLetters, hec_sink: MakeSink
) -> None:
    result = deliver(make_rows(3), hec_sink(token="wrong"), dead_letters, final=True)
    assert (len(result.unsent), result.ack.dead) == (0, 3)
    letter = dead_letters.list()[0]
    assert "Invalid token" in letter.reason
    assert "hec.token_file" in letter.reason


def test_delivering_nothing_touches_nothing(
    dead_letters: DeadLetters, hec_sink: MakeSink, endpoint: HecEndpoint
) -> None:
    result = deliver(NO_ROWS, hec_sink(), dead_letters, final=True, batch_id="b-1")
    assert (result.ack.batch_id, result.ack.written) == ("b-1", 0)
    assert endpoint.requests == []
    assert not dead_letters.path.exists()


def test_replay_removes_only_what_was_confirmed(
    dead_letters: DeadLetters, hec_sink: MakeSink, endpoint: HecEndpoint
) -> None:
    rows = changed(make_rows(4), 1, reason="x" * 30_000)
    dead_letters.add("hec", [Refused(rows, "was down")])
    seen: list[int] = []
    result = replay(dead_letters, hec_sink(), seen.append)
    assert (result.sent, result.refused, result.left) == (3, 1, 0)
    assert seen == [4]
    assert [(letter.qscore_id, letter.attempts) for letter in dead_letters.list()] == [(rows.ids[1], 2)]
    assert {event["fields"]["qscore_id"] for event in endpoint.events} == {rows.ids[i] for i in (0, 2, 3)}


def test_replay_stops_when_the_sink_does(dead_letters: DeadLetters, hec_sink: MakeSink, endpoint: HecEndpoint) -> None:
    dead_letters.add("hec", refuse(4))
    endpoint.rules = HecRules("another")
    result = replay(dead_letters, hec_sink(token=TOKEN))
    assert (result.sent, result.left) == (0, 4)
    assert "Invalid token" in result.reason
    assert dead_letters.counts() == {"hec": 4}


def test_two_replays_do_not_run_at_once(dead_letters: DeadLetters, hec_sink: MakeSink) -> None:
    dead_letters.add("hec", refuse(1))
    with (
        FileLock(f"{dead_letters.path}.replay.lock"),
        pytest.raises(BadOption, match="another replay"),
    ):
        replay(dead_letters, hec_sink())


@pytest.mark.parametrize(
    ("sink", "elastic", "names"),
    [
        ("hec", False, ("hec",)),
        ("hec", True, ("hec", "elastic")),
        ("none", True, ("elastic",)),
        ("none", False, ("none",)),
        ("elastic", True, ("elastic",)),
    ],
)
def test_elasticsearch_is_written_to_where_it_is_set(sink: str, elastic: bool, names: tuple[str, ...]) -> None:
    assert written_to(sink, elastic) == names


def test_letters_wait_by_the_sinks_that_are_named(dead_letters: DeadLetters) -> None:
    for name, count in (("hec", 3), ("elastic:prod", 2), ("elastic:lab", 1), ("file", 1)):
        dead_letters.add(name, refuse(count))
    assert list(waiting(dead_letters, ("hec", "elastic")).items()) == [
        ("elastic:lab", 1),
        ("elastic:prod", 2),
        ("hec", 3),
    ]


def test_replays_add_up_and_keep_the_first_reason() -> None:
    results = [ReplayResult(2, 0, 0, "all taken"), ReplayResult(1, 1, 0, "wrong"), ReplayResult(0, 0, 4, "busy")]
    assert summed(results) == ReplayResult(3, 1, 4, "wrong")
    assert summed(results[:1]) == ReplayResult(2, 0, 0)


def test_a_file_that_cannot_be_written_leaves_rows_unsent(tmp_path: Path, dead_letters: DeadLetters) -> None:
    (tmp_path / "taken").write_text("a file where a folder should be")
    rows = make_rows(2)
    result = deliver(
        rows, FileSink(tmp_path / "taken" / "events.ndjson", ""), dead_letters, final=False, retry_budget=0.1
    )
    assert result.unsent.ids == rows.ids
    assert "cannot be written" in result.reason
