"""Text from outside as a terminal may show it: no escape sequences, no control characters, no changed direction."""

from __future__ import annotations


def printable(text: str, longest: int = 300) -> str:
    """Cut a text to one line of at most ``longest`` characters."""
    return _clean(text[:longest]).strip()


def printable_lines(text: str) -> str:
    """Keep lines and tabs of a text, and replace every other character that a terminal would act on by a space."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else " " for c in text)


def _clean(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
