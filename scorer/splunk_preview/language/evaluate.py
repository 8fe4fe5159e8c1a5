"""Expressions of eval and where: from text to a function of a row.

Precedence, loosest first: OR and XOR, AND, NOT, comparisons, + - and ``.``, * / %, unary minus. (In a search
expression, by contrast, OR binds more tightly than AND: see searching.py.)
"""

from __future__ import annotations

import math
import re

from scorer.splunk_preview.errors import SplError
from scorer.splunk_preview.language.cursor import Cursor
from scorer.splunk_preview.language.functions import Expression, function
from scorer.splunk_preview.language.text import unquote
from scorer.splunk_preview.language.values import Row, RowScope, Value, compare, number, text

_TOKEN = re.compile(
    r"""\s*(?:
        (?P<string>"(?:\\.|[^"\\])*")
      | (?P<field>'[^']+')
      | (?P<number>(?:[0-9]+(?:\.[0-9]+)?)(?![\w]))
      | (?P<operator>==|!=|<=|>=|[-+*/%().,<>=])
      | (?P<word>[A-Za-z_][\w:@]*(?:\.[A-Za-z_]\w*)*)
    )""",
    re.X,
)
_COMPARISONS = ("=", "==", "!=", "<", "<=", ">", ">=")


def compile_expression(source: str) -> Expression:
    """Compile the expression in ``source``; raises SplError for anything that is not one."""
    parser = _ExpressionParser(source)
    expression = parser.either()
    if parser.kind != "end":
        raise SplError(f"{parser.token!r} follows a whole expression: {source.strip()[:80]}")
    return expression


class _ExpressionParser(Cursor):
    """Recursive descent over the tokens of one expression."""

    def __init__(self, source: str) -> None:
        super().__init__(source, _TOKEN, "an expression")

    def _is(self, *operators: str) -> bool:
        return self.kind == "operator" and self.token in operators

    def _word(self, *words: str) -> bool:
        return self.kind == "word" and self.token.upper() in words

    def _expect(self, operator: str) -> None:
        if not self._is(operator):
            raise SplError(f"expected {operator!r}, found {self.token!r}: {self._source.strip()[:80]}")
        self._at += 1

    def either(self) -> Expression:
        left = self._both()
        while self._word("OR", "XOR"):
            exclusive = self._next().upper() == "XOR"
            left = _xor(left, self._both()) if exclusive else _or(left, self._both())
        return left

    def _both(self) -> Expression:
        left = self._negation()
        while self._word("AND"):
            self._at += 1
            left = _and(left, self._negation())
        return left

    def _negation(self) -> Expression:
        if self._word("NOT"):
            self._at += 1
            return _not(self._negation())
        return self._comparison()

    def _comparison(self) -> Expression:
        left = self._sum()
        if self._is(*_COMPARISONS):
            operator, right = self._next(), self._sum()
            return lambda scope: compare(left(scope), operator, right(scope))
        if self._word("IN"):
            self._at += 1
            self._expect("(")
            return function("in", [left, *self._arguments()])
        if self._word("LIKE"):
            self._at += 1
            return function("like", [left, self._sum()])
        return left

    def _sum(self) -> Expression:
        left = self._product()
        while self._is("+", "-", "."):
            left = _arithmetic(left, self._next(), self._product())
        return left

    def _product(self) -> Expression:
        left = self._unary()
        while self._is("*", "/", "%"):
            left = _arithmetic(left, self._next(), self._unary())
        return left

    def _unary(self) -> Expression:
        if self._is("-"):
            self._at += 1
            return _arithmetic(lambda _scope: 0, "-", self._unary())
        return self._atom()

    def _atom(self) -> Expression:
        kind, token = self.kind, self._next()
        if kind == "string":
            return _constant(unquote(token))
        if kind == "number":
            return _constant(number(token))
        if kind == "field":
            return _field(token[1:-1])
        if (kind, token) == ("operator", "("):
            inner = self.either()
            self._expect(")")
            return inner
        if kind == "word" and self._is("("):
            self._at += 1
            return function(token, self._arguments())
        if kind == "word" and token.upper() not in ("AND", "OR", "XOR", "NOT", "IN", "LIKE"):
            return _constant(token.lower() == "true") if token.lower() in ("true", "false") else _field(token)
        raise SplError(f"{token!r} cannot stand there: {self._source.strip()[:80]}")

    def _arguments(self) -> list[Expression]:
        """Arguments up to and including the closing parenthesis."""
        arguments: list[Expression] = []
        while not self._is(")"):
            arguments.append(self.either())
            if not self._is(")"):
                self._expect(",")
                if self._is(")"):
                    raise SplError(f"an argument is missing after a comma: {self._source.strip()[:80]}")
        self._at += 1
        return arguments


def _constant(value: Value) -> Expression:
    return lambda _scope: value


def _field(name: str) -> Expression:
    return lambda scope: scope.row.get(name)


def _not(inner: Expression) -> Expression:
    def negated(scope: RowScope) -> Value:
        value = inner(scope)
        return None if value is None else value is not True

    return negated


def _and(left: Expression, right: Expression) -> Expression:
    def both(scope: RowScope) -> Value:
        a, b = left(scope), right(scope)
        if a is False or b is False:
            return False
        return True if a is True and b is True else None

    return both


def _or(left: Expression, right: Expression) -> Expression:
    def either(scope: RowScope) -> Value:
        a, b = left(scope), right(scope)
        if a is True or b is True:
            return True
        return False if a is False and b is False else None

    return either


def _xor(left: Expression, right: Expression) -> Expression:
    return lambda scope: (left(scope) is True) != (right(scope) is True)


def _arithmetic(left: Expression, operator: str, right: Expression) -> Expression:
    return lambda scope: arithmetic(left(scope), operator, right(scope))


def arithmetic(left: Value, operator: str, right: Value) -> Value:
    """Compute: ``.`` joins texts, ``+`` does where neither is a number; null where a side is null or no number."""
    if left is None or right is None:
        return None
    if operator == ".":
        return text(left) + text(right)
    a, b = number(left), number(right)
    if a is None or b is None:
        return text(left) + text(right) if operator == "+" and a is None and b is None else None
    if operator in "/%" and b == 0:
        return None
    return _calculate(a, operator, b)


def _calculate(a: float, operator: str, b: float) -> Value:
    if operator == "+":
        return a + b
    if operator == "-":
        return a - b
    if operator == "*":
        return a * b
    return a / b if operator == "/" else math.fmod(a, b)


def evaluate(expression: Expression, row: Row, now: float) -> Value:
    """Compute the expression's value on one row."""
    return expression(RowScope(row, now))
