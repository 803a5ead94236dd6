"""`make words`: brings the texts of the console's pages into its catalogues. A new text comes without a translation;
one that is not used any more goes."""

import re
from pathlib import Path
from typing import Any

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import read_po, write_po

CONSOLE = Path(__file__).parents[2] / "services" / "console" / "taskyard_console"
LANGUAGES = ("de", "fr", "hu")
_KEYWORDS: dict[str, Any] = {"_": None, "gettext": None, "ngettext": (1, 2), "pgettext": ((1, "c"), 2)}
_METHODS = [("**.py", "python"), ("templates/**.html", "jinja2.ext:babel_extract")]
_OPTIONS = {"templates/**.html": {"trimmed": "true", "silent": "false", "trim_blocks": "true", "lstrip_blocks": "true"}}


def used() -> Catalog:
    """All texts of the pages, without translations."""
    found = Catalog()
    for _file, _line, text, comments, context in extract_from_dir(str(CONSOLE), _METHODS, _OPTIONS, keywords=_KEYWORDS):
        found.add(text, auto_comments=comments, context=context)
    return found


def main() -> None:
    texts = used()
    for language in LANGUAGES:
        path = CONSOLE / "locale" / f"{language}.po"
        with path.open("rb") as file:
            catalogue = read_po(file, locale=language)
        # A guess from a similar text would be taken for a translation.
        catalogue.update(texts, no_fuzzy_matching=True, update_creation_date=False)
        catalogue.obsolete.clear()
        if language == "fr":
            for message in catalogue:
                message.string = _spaced(message.string)
        with path.open("wb") as file:
            write_po(file, catalogue, width=120, no_location=True, omit_header=True, sort_output=True)


def _spaced(text: Any) -> Any:
    """French has a space before these signs, at which no line may end; people type a plain one."""
    if isinstance(text, tuple):
        return tuple(map(_spaced, text))
    narrow = re.sub(r"(?<=\S) (?=[;!?»])|(?<=«) ", "\u202f", text or "")
    return narrow.replace(" :", "\u00a0:")


if __name__ == "__main__":
    main()
