"""Datadog's event search syntax, read into conditions.

    service:(shop OR api) env:production -team:backend version:*v2* @region:us-east-1

A term is `key:value` or `key:(values)`. Terms side by side must all match; `AND`, `OR`, `NOT`, `-` and parentheses
join them. Values may hold `*` and `?`; in quotes, or behind a backslash, every character stands for itself.
What does not belong here: what a key means (see `conditions`).
"""

from dataclasses import dataclass
from typing import Literal, NoReturn

from dora_pipeline.intake.store.conditions import All, Condition, Either, Everything, Not, Pattern, Term, Wildcard

LONGEST_QUERY = 8_192
MOST_TERMS = 500
DEEPEST_NESTING = 50

_OPERATORS: dict[str, Literal["AND", "OR", "NOT"]] = {"AND": "AND", "OR": "OR", "NOT": "NOT"}
_RANGES = ("<", ">", "[", "{")


class SearchSyntaxError(ValueError):
    """A query that cannot be read; the message names the position and what to write."""


def condition(query: str) -> Condition:
    """What a query asks of an event; an empty one asks nothing.

    Keys are service, env, team, version, severity, name, id, `git.commit_sha`, `repository_id` and `change_failure`;
    any other key, and one with `@`, is that of a custom tag. Case matters, also in `AND`, `OR` and `NOT`.
    Raises SearchSyntaxError for bare words, ranges, what is not closed, and for a query that is too long, too deep or
    has too many terms.
    """
    if len(query) > LONGEST_QUERY:
        raise SearchSyntaxError(f"the query has {len(query)} characters; write at most {LONGEST_QUERY}")
    tokens = _tokens(query)
    return _Reader(tokens).whole() if len(tokens) > 1 else Everything()


@dataclass(frozen=True)
class _Token:
    """A part of a query and its place, counted from 0; keys and values have a pattern."""

    kind: Literal["(", ")", "AND", "OR", "NOT", "key", "value", "end"]
    start: int
    end: int
    text: str = ""
    pattern: Pattern = ()


def _refuse(position: int, message: str) -> NoReturn:
    raise SearchSyntaxError(f"the query cannot be read at character {position + 1}: {message}")


def _tokens(query: str) -> list[_Token]:
    tokens: list[_Token] = []
    at = 0
    while at < len(query):
        if query[at].isspace():
            at += 1
            continue
        token = _parenthesis_or_minus(query, at, tokens) or _word(query, at, tokens)
        tokens.append(token)
        at = token.end
    return [*tokens, _Token("end", len(query), len(query))]


def _is_after_key(tokens: list[_Token], at: int) -> bool:
    return bool(tokens) and tokens[-1].kind == "key" and tokens[-1].end == at


def _parenthesis_or_minus(query: str, at: int, tokens: list[_Token]) -> _Token | None:
    if query[at] == "(":
        return _Token("(", at, at + 1)
    if query[at] == ")":
        return _Token(")", at, at + 1)
    if query[at] == "-" and not _is_after_key(tokens, at):
        return _Token("NOT", at, at + 1)
    return None


def _word(query: str, start: int, tokens: list[_Token]) -> _Token:
    """A key with its colon, an operator, or a value."""
    is_value = _is_after_key(tokens, start)
    pieces: list[str | Wildcard] = []
    is_plain = True
    at = start
    while at < len(query) and query[at] not in "()" and not query[at].isspace():
        character = query[at]
        if character == ":" and not is_value and is_plain:
            key = query[start:at]
            if not key or Wildcard.MANY in pieces or Wildcard.ONE in pieces:
                _refuse(start, "a key is missing before the colon; write key:value")
            return _Token("key", start, at + 1, key)
        if character == '"':
            end = _end_of_quotes(query, at)
            pieces.append(_unescaped(query[at + 1 : end]))
            is_plain, at = False, end + 1
        elif character == "\\":
            if at + 1 == len(query):
                _refuse(at, "a backslash stands before nothing; write two for one that is meant")
            pieces.append(query[at + 1])
            is_plain, at = False, at + 2
        else:
            pieces.append(Wildcard(character) if character in "*?" else character)
            at += 1
    text = query[start:at]
    if is_plain and not is_value and text in _OPERATORS:
        return _Token(_OPERATORS[text], start, at)
    if text.startswith(_RANGES):
        _refuse(start, "ranges and comparisons are not known; put the value in quotes if that is what it is")
    return _Token("value", start, at, text, _joined(pieces))


def _end_of_quotes(query: str, start: int) -> int:
    at = start + 1
    while at < len(query) and query[at] != '"':
        at += 2 if query[at] == "\\" else 1
    if at >= len(query):
        _refuse(start, "the quotes are not closed; write a quote at the end of the value")
    return at


def _unescaped(text: str) -> str:
    characters = iter(text)
    return "".join(next(characters) if character == "\\" else character for character in characters)


def _joined(pieces: list[str | Wildcard]) -> Pattern:
    joined: list[str | Wildcard] = []
    for piece in pieces:
        former = joined[-1] if joined else None
        if isinstance(piece, str) and isinstance(former, str):
            joined[-1] = former + piece
        elif not (piece is Wildcard.MANY and former is Wildcard.MANY):
            joined.append(piece)
    return tuple(joined)


class _Reader:
    """Reads tokens from left to right; `key` is that of the parentheses around, None where there is none."""

    def __init__(self, tokens: list[_Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._terms = 0

    def whole(self) -> Condition:
        found = self._either(None, 0)
        if self._next.kind != "end":
            _refuse(self._next.start, "this parenthesis closes none; take it away")
        return found

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        self._at += 1
        return self._tokens[self._at - 1]

    def _either(self, key: str | None, depth: int) -> Condition:
        parts = [self._all(key, depth)]
        while self._next.kind == "OR":
            self._take()
            parts.append(self._all(key, depth))
        return parts[0] if len(parts) == 1 else Either(tuple(parts))

    def _all(self, key: str | None, depth: int) -> Condition:
        parts = [self._one(key, depth)]
        while self._next.kind not in ("OR", ")", "end"):
            if self._next.kind == "AND":
                self._take()
            parts.append(self._one(key, depth))
        return parts[0] if len(parts) == 1 else All(tuple(parts))

    def _one(self, key: str | None, depth: int) -> Condition:
        token = self._take()
        if depth > DEEPEST_NESTING:
            _refuse(token.start, f"parentheses and NOT go {DEEPEST_NESTING} deep at most")
        if token.kind == "NOT":
            return Not(self._one(key, depth + 1))
        if token.kind == "(":
            found = self._either(key, depth + 1)
            if self._take().kind != ")":
                _refuse(token.start, "this parenthesis is not closed; write ) at its end")
            return found
        if token.kind == "key":
            return self._of_key(token, key, depth)
        if token.kind == "value":
            return self._term(token, key)
        place = "the query ends" if token.kind == "end" else f"{token.kind} stands"
        _refuse(token.start, f"{place} where a term is missing; write key:value")

    def _of_key(self, token: _Token, outer: str | None, depth: int) -> Condition:
        if outer is not None:
            _refuse(token.start, f'a key stands among the values of {outer}; put the value in quotes: "a:b"')
        if self._next.start != token.end or self._next.kind not in ("(", "value"):
            _refuse(token.start, f"{token.text}: has no value; write it right behind the colon, as in key:value")
        return self._one(token.text, depth)

    def _term(self, token: _Token, key: str | None) -> Condition:
        if key is None:
            if token.pattern == (Wildcard.MANY,):
                return Everything()
            _refuse(
                token.start, f"{token.text[:80]} has no key; write one before it, such as service:{token.text[:80]}"
            )
        if not any(piece.strip() if isinstance(piece, str) else piece for piece in token.pattern):
            _refuse(token.start, f"the value is empty; write -{key}:* for events without {key}")
        self._terms += 1
        if self._terms > MOST_TERMS:
            _refuse(token.start, f"a query has at most {MOST_TERMS} values; ask in several queries")
        return Term(key, token.pattern)
