"""Texts without values, translated when a template is compiled: each language has templates of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from jinja2.ext import Extension
from jinja2.lexer import Token, TokenStream

_CALL = ["name", "lparen", "string", "rparen"]


class PlainTexts(Extension):
    """`_("Queue")` becomes its translation, as a constant: a list of fifty rows would look it up hundreds of times.
    What has values, `_("%(count)s rows", count=...)`, is left to Jinja's own extension."""

    translate: Callable[[str], str]

    def filter_stream(self, stream: TokenStream) -> Iterator[Token]:
        tokens, at = [*stream], 0
        while at < len(tokens):
            call = tokens[at : at + len(_CALL)]
            if [token.type for token in call] == _CALL and call[0].value == "_":
                line, text = call[2].lineno, self.translate(call[2].value)
                # As Jinja's: a format, whose percent signs are doubled, and no text of others that has to be escaped.
                yield Token(line, "string", text % {})
                yield Token(line, "pipe", "|")
                yield Token(line, "name", "safe")
                at += len(_CALL)
            else:
                yield tokens[at]
                at += 1


def plain_texts(translate: Callable[[str], str]) -> type[Extension]:
    """The extension for an environment of one language."""
    return type("PlainTexts", (PlainTexts,), {"translate": staticmethod(translate)})
