"""How large a body may be, in proportion to the rows that it is declared to hold: asked before it is read."""

from __future__ import annotations

from scorer.wire.errors import BodyTooLarge
from scorer.wire.names import MAX_BODY_BYTES, MEDIA_ARROW

#: Bytes that every body may have, however few its rows: a header of many columns, a document of one row.
BASE_BYTES = 1024 * 1024
#: Bytes a row of text. Sixty-four features and all context columns take about 1,500 where every cell is long.
ROW_BYTES = 2 * 1024
#: Bytes of a whole body of text: 670 for each of 50,000 rows. A row of `lateral` has 60, one with its context 120.
MAX_TEXT_BYTES = 32 * 1024 * 1024
#: Bytes a row of an Arrow stream, which may carry copied fields of a document (``qscore_fields``).
ARROW_ROW_BYTES = 16 * 1024


def body_limit(rows: int, media_type: str) -> int:
    """Give the bytes that a body of so many declared rows may have.

    ``media_type``: of the request, parameters allowed; what is not Arrow counts as text.
    """
    if media_type.split(";", 1)[0].strip().lower() == MEDIA_ARROW:
        return min(MAX_BODY_BYTES, BASE_BYTES + ARROW_ROW_BYTES * rows)
    return min(MAX_TEXT_BYTES, BASE_BYTES + ROW_BYTES * rows)


def check_length(length: int, rows: int, media_type: str) -> None:
    """Raise BodyTooLarge where a body of ``length`` bytes is too large for its declared rows."""
    most = body_limit(rows, media_type)
    if length > most:
        raise BodyTooLarge(
            "the body has %d bytes; %d are possible for %d rows" % (length, most, rows),
            "Send fewer rows at a time, and only the columns that the model's card names.",
        )
