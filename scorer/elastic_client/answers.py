"""JSON of Elasticsearch's answers, in which documents stand as they were once sent."""

from __future__ import annotations

import re
from typing import Any

from elastic_transport import OrjsonSerializer, SerializationError

#: Escapes in the order in which they stand: a surrogate pair, half of one (group 1), any other, such as a backslash.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)", re.DOTALL
)


class AnswerSerializer(OrjsonSerializer):
    """Reads what Elasticsearch takes and Unicode does not: half a surrogate pair, as "\\ud800", in a text.

    It becomes U+FFFD. Else one such document, which anybody can make who chooses a user name, would hold up its source.
    """

    def loads(self, data: bytes) -> Any:
        """Read an answer. Raises SerializationError for what is no JSON otherwise either."""
        try:
            return super().loads(data)
        except SerializationError:
            text = data.decode("utf-8", "replace").encode()
            return super().loads(_ESCAPE.sub(lambda found: rb"\ufffd" if found[1] else found[0], text))
