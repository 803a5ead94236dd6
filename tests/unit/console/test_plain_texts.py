"""Texts without values are constants of a template; those with values are looked up as before."""

from __future__ import annotations

from jinja2 import Environment

from taskyard_console.plain_texts import plain_texts


def rendered(source: str, **values: object) -> str:
    looked_up: list[str] = []

    def translate(text: str) -> str:
        looked_up.append(text)
        return {"Queue": "Warteschlange", "all of it: 100 %%": "alles: 100 %%"}.get(text, text)

    environment = Environment(extensions=["jinja2.ext.i18n", plain_texts(translate)], autoescape=True)
    environment.install_gettext_callables(translate, lambda one, many, n: one, newstyle=True)  # type: ignore[attr-defined]
    template = environment.from_string(source)
    looked_up.clear()
    text = template.render(**values)
    return f"{text}|{len(looked_up)}"


def test_a_text_without_values_is_not_looked_up_while_a_page_is_made() -> None:
    assert rendered('{{ _("Queue") }}') == "Warteschlange|0"
    assert rendered('{% set titles = {"queue": _("Queue")} %}{{ titles.queue ~ "!" }}') == "Warteschlange!|0"
    assert rendered('{{ _("all of it: 100 %%") }}') == "alles: 100 %|0"


def test_what_has_values_is_looked_up_and_they_are_escaped() -> None:
    assert rendered('{{ _("of %(who)s", who=name) }}', name="<b>") == "of &lt;b&gt;|1"
    assert rendered("{{ gettext(name) }}", name="Queue") == "Warteschlange|1"
    assert rendered("{{ _(name) }}", name="Queue") == "Warteschlange|1"
