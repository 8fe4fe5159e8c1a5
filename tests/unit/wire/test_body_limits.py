"""What a body may hold for the rows that it declares."""

from __future__ import annotations

import pytest

from scorer.wire.errors import BodyTooLarge
from scorer.wire.limits import BASE_BYTES, body_limit, check_length
from scorer.wire.names import MAX_BODY_BYTES, MAX_ROWS, MEDIA_ARROW, MEDIA_CSV, MEDIA_JSON

MEDIA = (MEDIA_CSV, MEDIA_JSON, MEDIA_ARROW)


@pytest.mark.parametrize("media", MEDIA)
def test_more_rows_may_have_more_bytes_up_to_an_end(media: str) -> None:
    limits = [body_limit(rows, media) for rows in range(0, MAX_ROWS + 1, 500)]
    assert limits == sorted(limits)
    assert limits[0] == BASE_BYTES
    assert len(set(limits)) > 5
    assert limits[-1] <= MAX_BODY_BYTES


def test_fifty_thousand_rows_of_text_may_not_have_as_much_as_a_stream() -> None:
    assert body_limit(MAX_ROWS, MEDIA_CSV) == body_limit(MAX_ROWS, MEDIA_JSON) == MAX_BODY_BYTES // 2


def test_parameters_of_a_media_type_change_nothing() -> None:
    assert body_limit(900, f"{MEDIA_ARROW.upper()}; charset=utf-8") == body_limit(900, MEDIA_ARROW)


@pytest.mark.parametrize("media", MEDIA)
def test_one_byte_too_many_is_refused_with_the_numbers(media: str) -> None:
    most = body_limit(3, media)
    check_length(most, 3, media)
    with pytest.raises(BodyTooLarge, match=rf"{most + 1} bytes; {most} are possible for 3 rows"):
        check_length(most + 1, 3, media)
