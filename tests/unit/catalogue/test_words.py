"""Words of errors: plain names are substituted, and nothing in a template or a value is run, read or allocated."""

from typing import Any

import pytest

from taskyard.catalogue.words import (
    TemplateRefused,
    Told,
    Vocabulary,
    check_language,
    check_template,
    render,
    sentence_to_store,
    told,
)

OURS = Vocabulary(
    {"refused": {"en": "{who} refused {what}.", "de": "{who} hat {what} abgelehnt."}},
    {"recipient": {"en": "the recipient", "de": "den Empfänger"}, "only_english": {"en": "this"}},
)


@pytest.mark.parametrize(
    "template",
    ["{0.__class__}", "{x!r}", "{x:>1000000}", "{x[0]}", "{x.y}", "{}", "{0}", "{x", "x}", "{ x }", "{{x}", "{x}}",
     "{" * 3, "{é}", "{x\n}", "a" * 1001, "{x}" * 21],
)  # fmt: skip
def test_a_template_with_anything_but_plain_names_is_refused(template: str) -> None:
    with pytest.raises(TemplateRefused):
        check_template(template)
    with pytest.raises(TemplateRefused):
        render(template, {"x": 1})


def test_plain_names_and_doubled_braces_are_taken() -> None:
    assert check_template("{{{a}}} of {b_2}") == {"a", "b_2"}
    assert render("{{{a}}} of {b}", {"a": 1, "b": "{a}"}) == "{1} of {a}", "a value is no template"


def test_a_long_value_is_cut_and_booleans_are_words_of_json() -> None:
    made = render("{a}", {"a": "x" * 501})
    assert made is not None
    assert len(made) == 500
    assert made.endswith("…")
    assert render("{a} {b}", {"a": True, "b": 0.5}) == "true 0.5"


@pytest.mark.parametrize("values", [{}, {"who": "It"}, {"who": "It", "what": None}])
def test_a_missing_value_leaves_the_stored_sentence(values: dict[str, Any]) -> None:
    assert render("{who} {what}", values) is None
    assert told("refused", values, [OURS], "de") is None
    assert sentence_to_store("refused", values, OURS) == "refused"


@pytest.mark.parametrize(
    ("language", "what", "sentence"),
    [
        ("de", {"phrase": "recipient"}, "Gmail hat den Empfänger abgelehnt."),
        ("de-AT", {"phrase": "recipient"}, "Gmail hat den Empfänger abgelehnt."),
        ("DE_at", "das", "Gmail hat das abgelehnt."),
        ("en", {"phrase": "recipient"}, "Gmail refused the recipient."),
        ("fr", "x", None),
        ("de", {"phrase": "only_english"}, None),
        ("de", {"phrase": "unknown"}, None),
        ("de", ["x"], None),
    ],
)
def test_a_reader_gets_words_and_phrases_of_the_language_or_the_stored_sentence(
    language: str, what: Any, sentence: str | None
) -> None:
    made = told("refused", {"who": "Gmail", "what": what}, [OURS], language)
    assert made == (None if sentence is None else Told(sentence, language[:2].lower()))


def test_an_unknown_code_and_a_template_from_before_the_check_leave_the_stored_sentence() -> None:
    assert told("other", {}, [OURS], "en") is None
    assert told("a", {"x": 1}, [Vocabulary({"a": {"en": "{x!r}"}})], "en") is None


def test_what_one_vocabulary_cannot_say_the_next_one_does() -> None:
    type_s = Vocabulary({"expired": {"de": "Der Gutschein {voucher} ist abgelaufen."}})
    platform = Vocabulary({"expired": {"de": "Nicht fertig bis {time}."}}, {"noon": {"de": "Mittag"}})
    assert told("expired", {"voucher": 7}, [type_s, platform], "de") == ("Der Gutschein 7 ist abgelaufen.", "de")
    assert told("expired", {"time": {"phrase": "noon"}}, [type_s, platform], "de") == ("Nicht fertig bis Mittag.", "de")


def test_the_stored_sentence_is_english_else_in_the_first_language_there_is_else_the_code() -> None:
    assert sentence_to_store("refused", {"who": "It", "what": {"phrase": "recipient"}}, OURS) == (
        "It refused the recipient."
    )
    assert sentence_to_store("a", {}, Vocabulary({"a": {"hu": "Nem.", "de": "Nein."}})) == "Nem."
    assert sentence_to_store("b", {}, OURS) == "b"


@pytest.mark.parametrize("tag", ["", "e", "de-", "-de", "d" * 9, "de-" + "a" * 40, "de/AT", "dé", "de-ÄT"])
def test_what_is_no_language_tag_is_refused(tag: str) -> None:
    check_language("zh-Hant-TW")
    with pytest.raises(ValueError, match="language"):
        check_language(tag)
