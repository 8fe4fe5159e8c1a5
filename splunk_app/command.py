"""`| qscore`: the search command's conversation with splunkd, from getinfo to the last chunk.

A fault of the searcher (an option, a model's name) stops the search with one sentence, as splunklib does it: an ERROR
in the inspector and exit status 1. A fault of the gateway or of its set-up never does: the rows come back with an empty
score and a status, and one warning says what to do.
"""

from __future__ import annotations

import contextlib
import os
import sys
from typing import Any, BinaryIO, Dict, List, Mapping, Optional, Tuple

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

from scorer.wire.card import ModelCard
from scorer.wire.client import GatewayClient
from scorer.wire.errors import BadInput, NonsenseReply, QScoreError, UnknownModel
from splunk_app import passwords
from splunk_app.conf import AppSettings
from splunk_app.frames import Frame, ProtocolFault, Reply, read_frame, write_reply
from splunk_app.gateway import ChunkScores, Patience, ScoringSession, not_scored, wanted_columns
from splunk_app.options import CommandOptions, check_fields, own_names
from splunk_app.request import assemble, paste_rows
from splunk_app.table import ChunkTable

EXIT_STOPPED = 1  # the searcher has been told why, through the inspector
EXIT_PROTOCOL = 2  # stdin is not splunkd; one line on stderr says what came
_CARD_TIMEOUT = 10.0  # seconds; a card is a few kilobytes

#: What stops a search: the searcher can put it right, and another chunk would fail alike.
_SEARCHERS_FAULT = (BadInput, UnknownModel)

Message = Tuple[str, str]

_SWITCH_SECONDS = 0.0005
_F_SETPIPE_SZ = 1031  # the fcntl module names it from Python 3.10 on
_PIPE_BYTES = 1 << 20


def main(app_dir: str, environ: Mapping[str, str]) -> int:
    """Serve one search on stdin and stdout; returns the exit status."""
    stdin, stdout = sys.stdin.buffer, sys.stdout.buffer
    _widen(stdin)
    _widen(stdout)
    # One thread cuts a chunk while others post: a reply or a body that is ready shall not wait for its turn for long.
    sys.setswitchinterval(_SWITCH_SECONDS)
    # Whatever prints must not get between two frames.
    sys.stdout = sys.stderr
    try:
        return serve(stdin, stdout, app_dir, environ.get("SPLUNK_HOME"))
    except ProtocolFault as fault:
        sys.stderr.write("qscore: %s\n" % fault)
        return EXIT_PROTOCOL
    except BrokenPipeError:
        # The search was finalised or cancelled. Nothing can be flushed any more, at exit neither.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
        return 0


def _widen(stream: BinaryIO) -> None:
    """Let a pipe hold a megabyte instead of 64 KB: a chunk of some megabytes then takes a few switches, not a hundred.

    Linux alone knows the call; elsewhere, on files and where the limit is lower, all stays as it is.
    """
    if fcntl is not None:
        with contextlib.suppress(OSError, ValueError):
            fcntl.fcntl(stream.fileno(), _F_SETPIPE_SZ, _PIPE_BYTES)


def serve(stdin: BinaryIO, stdout: BinaryIO, app_dir: str, splunk_home: Optional[str]) -> int:
    """Hold the conversation with splunkd; raises ProtocolFault and BrokenPipeError."""
    first = read_frame(stdin)
    if first is None:
        raise ProtocolFault("the input is empty; this script is run by Splunk as the search command qscore")
    if first.action != "getinfo":
        raise ProtocolFault("expected the action getinfo, got %r" % first.action[:40])
    search = Search(app_dir, splunk_home)
    code, reply = _guarded(search.getinfo, first, {"type": "stateful"})
    write_reply(stdout, reply)
    while code == 0:
        frame = read_frame(stdin)
        if frame is None:
            break
        if frame.action != "execute":
            raise ProtocolFault("expected the action execute, got %r" % frame.action[:40])
        code, reply = _guarded(search.execute, frame, {"finished": True})
        write_reply(stdout, reply)
    search.close()
    return code


def _guarded(step: Any, frame: Frame, stopped: Dict[str, Any]) -> Tuple[int, Reply]:
    """A step's reply, or the reply that stops the search with one sentence."""
    try:
        return 0, step(frame)
    except QScoreError as error:
        return EXIT_STOPPED, Reply(stopped, (("ERROR", "qscore: " + error.sentence()),))
    except Exception as error:
        trace = error.__traceback__
        while trace is not None and trace.tb_next is not None:
            trace = trace.tb_next
        line = trace.tb_lineno if trace is not None else 0
        sys.stderr.write("qscore: internal fault, %s at line %d: %s\n" % (type(error).__name__, line, error))
        sentence = "qscore met an internal fault (%s). See search.log of this job." % type(error).__name__
        return EXIT_STOPPED, Reply(stopped, (("ERROR", sentence),))


class Search:
    """The state of one search in one run of the script.

    getinfo has no side effects: splunkd may ask several scripts.
    """

    def __init__(self, app_dir: str, splunk_home: Optional[str]) -> None:
        self._app_dir = app_dir
        self._splunk_home = splunk_home
        self._info: Mapping[str, Any] = {}
        self._options = CommandOptions(model="")
        self._card: Optional[ModelCard] = None
        self._session: Optional[ScoringSession] = None
        self._connecting = Patience(_CARD_TIMEOUT)
        self._failure: Optional[QScoreError] = None
        self._warned = False
        self._greeted = False
        self._skew = ""
        self._chunk = 0
        self._rows = 0
        self._problems: Dict[str, int] = {}

    def close(self) -> None:
        if self._session is not None:
            self._session.close()

    def getinfo(self, frame: Frame) -> Reply:
        """Answer with the command's type and the fields that it asks for."""
        info = frame.metadata.get("searchinfo")
        self._info = info if isinstance(info, dict) else {}
        self._options = CommandOptions.parse(self._info.get("args", []))
        self._try_connecting()
        if self._card is None:
            # The gateway may be back by the first chunk: every field is asked for, so that its model finds its own.
            return Reply({"type": "stateful", "required_fields": ["*"]})
        columns = wanted_columns(self._card, self._options)
        return Reply({"type": "stateful", "required_fields": list(own_names(self._options.fields, columns))})

    def execute(self, frame: Frame) -> Reply:
        """Answer with one chunk and its scores."""
        table = ChunkTable.read(frame.body)
        scores = self._scores(table)
        self._chunk += 1
        self._rows += len(table)
        for code, rows in scores.problems.items():
            self._problems[code] = self._problems.get(code, 0) + rows
        messages = self._messages(scores, frame.finished)
        return Reply({"finished": frame.finished}, tuple(messages), assemble(table, scores.pieces))

    def _scores(self, table: ChunkTable) -> ChunkScores:
        if not len(table):
            return ChunkScores([])
        if self._session is None:
            self._try_connecting()
        if self._session is None:
            why = self._failure or NonsenseReply("no model card came", "Run `qscore status` on the gateway's host.")
            line = not_scored(self._options.model, self._options.score.version, why)
            return ChunkScores([paste_rows(table, 0, len(table), [line] * len(table))], {}, why)
        return self._session.score(str(self._info.get("sid", "")), self._chunk, table)

    def _try_connecting(self) -> None:
        """Read settings, key and card. What the searcher must put right is raised; what not is kept as the failure."""
        allowed = min(self._connecting.allowed(), self._options.timeout)
        try:
            settings = AppSettings.read(self._app_dir, self._splunk_home)
            key = self._read_key(settings, min(allowed, passwords.TIMEOUT))

            def connect() -> GatewayClient:
                return GatewayClient(settings.url, key, settings.ca_file, self._options.timeout, settings.server_name)

            card = self._read_card(settings, key, allowed)
            check_fields(self._options.fields, card.name, card.required_fields + card.context_fields)
        except _SEARCHERS_FAULT:
            raise
        except QScoreError as error:
            self._connecting.note(failed=True)
            self._failure = error
            return
        self._card, self._failure = card, None
        self._session = ScoringSession(self._options, card, connect, settings.parallel)

    def _read_key(self, settings: AppSettings, allowed: float) -> str:
        uri, session = str(self._info.get("splunkd_uri", "")), str(self._info.get("session_key", ""))
        return passwords.read_key(uri, session, settings.splunkd_ca, settings.realm, settings.username, allowed)

    def _read_card(self, settings: AppSettings, key: str, allowed: float) -> ModelCard:
        with GatewayClient(settings.url, key, settings.ca_file, allowed, settings.server_name) as client:
            card = client.card(self._options.model, self._options.score.version)
        if card.name != self._options.model:
            raise NonsenseReply("the gateway sent the card of %s" % card.name[:60], "Run `qscore status` on its host.")
        return card

    def _messages(self, scores: ChunkScores, finished: bool) -> List[Message]:
        messages: List[Message] = []
        if self._card is not None and self._card.starter and not self._greeted:
            self._greeted = True
            messages.append(("INFO", _starter(self._card)))
        if scores.failure is not None and not self._warned:
            self._warned = True
            messages.append(("WARN", "qscore: rows came back without scores: " + scores.failure.sentence()))
        if self._session is not None and self._session.skew and not self._skew:
            self._skew = self._session.skew
            messages.append(("WARN", "qscore: " + self._skew))
        if finished and self._problems:
            messages.append(("WARN", _summary(self._problems, self._rows)))
        return messages


def _starter(card: ModelCard) -> str:
    return (
        "qscore: model %s %s was trained on generated rows. Its scores show how qscore works; train on your own data "
        "with `qscore train` before acting on them." % (card.name, card.version)
    )


def _summary(problems: Mapping[str, int], rows: int) -> str:
    counts = ", ".join("%s %d" % (code, problems[code]) for code in sorted(problems))
    return "qscore: of %d rows, some have a problem: %s. qscore_status says on each row what it is." % (rows, counts)
