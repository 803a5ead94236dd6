"""Regular expressions in linear time, for patterns and lines that strangers send.

`re` tries one way after the other: `(a+)+$` on thirty letters keeps it busy for minutes, inside C code that
holds the GIL. Here all ways are followed at once (Thompson, "Regular expression search algorithm", CACM
1968), and the sets of places met on the way become states of an automaton, built as far as it is needed
(Cox, "Regular Expression Matching Can Be Simple And Fast", 2007). A character costs one look-up in a
dictionary; a line may be of any length and come in pieces, since nothing but the state is kept.

The syntax is that of `re`, whose own parser reads it. What cannot be had in linear time is refused:
backreferences, lookaround, possessive and atomic groups.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import reduce
from operator import getitem
from re import _constants as _op  # type: ignore[attr-defined]
from re import _parser  # type: ignore[attr-defined]
from typing import Any

MAX_LENGTH = 300
MAX_PLACES = 1_500
# Some 10 MB of dictionaries; beyond it the automaton is built anew from where the line stands.
_MAX_STEPS = 100_000
_MAX_STATES = 2_000

_Test = Callable[[str], bool]

_CATEGORIES = {
    _op.CATEGORY_DIGIT: r"\d",
    _op.CATEGORY_NOT_DIGIT: r"\D",
    _op.CATEGORY_SPACE: r"\s",
    _op.CATEGORY_NOT_SPACE: r"\S",
    _op.CATEGORY_WORD: r"\w",
    _op.CATEGORY_NOT_WORD: r"\W",
}
_START, _END = {_op.AT_BEGINNING, _op.AT_BEGINNING_STRING}, {_op.AT_END, _op.AT_END_STRING}
_WORD_EDGE = {_op.AT_BOUNDARY: True, _op.AT_NON_BOUNDARY: False}
_NO_CHARACTER = ""  # before the first and after the last one


class PatternRefused(ValueError):
    """The pattern is not a regular expression, or none that can be matched safely; the message says why."""


@dataclass(slots=True)
class _Place:
    """Passes one character (`test`), or goes on without one where `condition` holds."""

    test: _Test | None = None
    condition: Callable[[str, str], bool] | None = None
    onward: list[int] = field(default_factory=list)


class Pattern:
    """A compiled pattern. Not for several threads at once: the automaton grows while it is used."""

    def __init__(self, source: str) -> None:
        """Raises PatternRefused."""
        if len(source) > MAX_LENGTH:
            raise PatternRefused(f"the pattern is longer than {MAX_LENGTH} characters")
        self._places: list[_Place] = []
        self._accept = self._place(_Place())
        try:
            parsed = _parser.parse(source)
            self._first = self._sequence(parsed, self._accept, parsed.state.flags)
        # FutureWarning, where warnings are errors: `[[` may mean something else one day.
        except (re.error, FutureWarning) as e:
            raise PatternRefused(f"not a regular expression: {e}") from None
        except (RecursionError, OverflowError):
            raise PatternRefused("the pattern is nested too deeply or repeats too often") from None
        self._states: dict[tuple[frozenset[int], str], _State] = {}
        self._steps = 0
        self._found = _State(self, frozenset(), "", found=True)
        self.start = self._state(frozenset({self._first}), _NO_CHARACTER)

    def search(self, line: str) -> bool:
        """Whether the pattern matches somewhere in the line."""
        return self.holds(self.advance(self.start, line))

    def advance(self, state: _State, text: str) -> _State:
        """The state after `text`, one piece of a line; a line begins with `start`."""
        # All of it in C: an interpreted loop takes twice as long.
        return reduce(getitem, text, state)

    def holds(self, state: _State) -> bool:
        """Whether a line that ends here matched."""
        if state.found:
            return True
        return self._accept in self._reached(state.places, state.before, _NO_CHARACTER)

    # Following

    def _step(self, state: _State, character: str) -> _State:
        if state.found:
            return state
        reached = self._reached(state.places, state.before, character)
        if self._accept in reached:
            return self._remember(state, character, self._found)
        onward = {self._first}  # a match may begin at any character
        for n in reached:
            place = self._places[n]
            if place.test is not None and place.test(character):
                onward.update(place.onward)
        return self._remember(state, character, self._state(frozenset(onward), character))

    def _remember(self, state: _State, character: str, onward: _State) -> _State:
        self._steps += 1
        if self._steps > _MAX_STEPS or len(self._states) > _MAX_STATES:
            for old in self._states.values():
                old.clear()
            self._found.clear()
            self._states = {(s.places, s.before): s for s in (self.start, onward) if not s.found}
            self._steps = 0
        state[character] = onward
        return onward

    def _state(self, places: frozenset[int], before: str) -> _State:
        # Of the character before only this matters: whether there was one, and whether it belongs to a word.
        before = before and ("w" if _is_word(before) else " ")
        key = (places, before)
        state = self._states.get(key)
        if state is None:
            state = self._states[key] = _State(self, places, before)
        return state

    def _reached(self, places: Iterable[int], before: str, after: str) -> set[int]:
        """All places to be had from these without passing a character, between `before` and `after`."""
        reached: set[int] = set()
        waiting = list(places)
        while waiting:
            n = waiting.pop()
            if n in reached:
                continue
            place = self._places[n]
            if place.test is None:
                if place.condition is not None and not place.condition(before, after):
                    continue
                waiting.extend(place.onward)
            reached.add(n)
        return reached

    # Building, from the end to the beginning: each part knows where it leads

    def _place(self, place: _Place) -> int:
        if len(self._places) >= MAX_PLACES:
            raise PatternRefused("the pattern is too large: its repetitions multiply")
        self._places.append(place)
        return len(self._places) - 1

    def _sequence(self, items: Any, then: int, flags: int) -> int:
        for operation, argument in reversed(list(items)):
            then = self._item(operation, argument, then, flags)
        return then

    def _item(self, operation: Any, argument: Any, then: int, flags: int) -> int:
        if operation is _op.SUBPATTERN:
            _, added, removed, inner = argument
            return self._sequence(inner, then, (flags | added) & ~removed)
        if operation is _op.BRANCH:
            return self._place(_Place(onward=[self._sequence(way, then, flags) for way in argument[1]]))
        if operation in (_op.MAX_REPEAT, _op.MIN_REPEAT):  # greedy or not: both match the same lines
            return self._repeat(argument, then, flags)
        if operation is _op.AT:
            return self._place(_Place(condition=_condition(argument), onward=[then]))
        return self._place(_Place(test=_test(operation, argument, flags), onward=[then]))

    def _repeat(self, argument: Any, then: int, flags: int) -> int:
        least, most, inner = argument
        if most is _op.MAXREPEAT:
            loop = self._place(_Place())
            self._places[loop].onward += [self._sequence(inner, loop, flags), then]
            entry = loop
        else:
            entry = then
            for _ in range(most - least):
                entry = self._place(_Place(onward=[self._sequence(inner, entry, flags), then]))
        for _ in range(least):
            # A place of its own for each round: what repeats nothing must not go round for ever.
            entry = self._place(_Place(onward=[self._sequence(inner, entry, flags)]))
        return entry


class _State(dict[str, "_State"]):
    """A set of places, with the state that follows each character met so far."""

    __slots__ = ("before", "found", "owner", "places")

    def __init__(self, owner: Pattern, places: frozenset[int], before: str, *, found: bool = False) -> None:
        super().__init__()
        self.owner = owner
        self.places = places
        self.before = before
        self.found = found

    def __missing__(self, character: str) -> _State:
        return self.owner._step(self, character)


def _is_word(character: str) -> bool:
    return character == "_" or character.isalnum()


def _condition(where: Any) -> Callable[[str, str], bool]:
    if where in _START:
        return lambda before, _: not before
    if where in _END:
        return lambda _, after: not after
    edge = _WORD_EDGE[where]
    return lambda before, after: ((before == "w") != (bool(after) and _is_word(after))) is edge


def _test(operation: Any, argument: Any, flags: int) -> _Test:
    if operation is _op.ANY:
        return lambda _: True  # a line has no line feed
    if operation in (_op.LITERAL, _op.NOT_LITERAL):
        inside = _one_of([(_op.LITERAL, argument)], flags)
        return inside if operation is _op.LITERAL else _negated(inside)
    if operation is _op.IN:
        negated = argument[0][0] is _op.NEGATE
        inside = _one_of(argument[1:] if negated else argument, flags)
        return _negated(inside) if negated else inside
    raise PatternRefused(
        "backreferences, lookahead, lookbehind, conditions, possessive and atomic groups are not supported"
    )


def _one_of(items: Any, flags: int) -> _Test:
    """A character class, written out again for `re`: a single character is matched at once."""
    parts = []
    for operation, argument in items:
        if operation is _op.LITERAL:
            parts.append(_escaped(argument))
        elif operation is _op.RANGE:
            parts.append(f"{_escaped(argument[0])}-{_escaped(argument[1])}")
        else:
            parts.append(_CATEGORIES[argument])
    match = re.compile(f"[{''.join(parts)}]", flags & (re.IGNORECASE | re.ASCII)).match
    return lambda character: match(character) is not None


def _escaped(code: int) -> str:
    return f"\\U{code:08x}"


def _negated(test: _Test) -> _Test:
    return lambda character: not test(character)
