"""Cron expressions in words: as Taskyard reads them, in each language of the console."""

from __future__ import annotations

import pytest

from taskyard_console.cron_words import cron_words


@pytest.mark.parametrize(
    ("language", "said"),
    [
        ("en", "At 08:30, Monday through Friday"),
        ("de", "Um 08:30, Montag bis Freitag"),
        ("fr", "À 08:30, de lundi à vendredi"),
        ("hu", "08:30, hétfő-péntek"),
    ],
)
def test_times_and_days_are_said_in_the_readers_language(language: str, said: str) -> None:
    assert cron_words("30 8 * * 1-5", language) == said
    assert cron_words("30  8 * * Mon-Fri", language) == said


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("0 0 last * *", "At 00:00, on the last day of the month"),
        ("0 9 2nd fri * *", "At 09:00, on the second Friday of the month"),
        ("0 9 last sun 3 *", "At 09:00, on the last Sunday of the month, only in March"),
        ("0 0 1 * mon", "At 00:00, on day 1 of the month, or on Monday"),
        ("0 0 * * 7", "At 00:00, only on Sunday"),
    ],
)
def test_rules_for_days_are_said_as_taskyard_means_them(expression: str, said: str) -> None:
    assert cron_words(expression, "en") == said


@pytest.mark.parametrize("language", ["de", "fr"])
@pytest.mark.parametrize("expression", ["5/10 * * * *", "0 3/6 * * *", "0 8 * * */2"])
def test_what_the_library_does_not_say_in_a_language_has_no_words_there(language: str, expression: str) -> None:
    assert cron_words(expression, language) is None
    assert cron_words("*/10 * * * *", language)


@pytest.mark.parametrize("expression", ["0 0 */2 * 1", "0 0 1 * */7", "0 0 last,15 * *", "* * * *", "<b>", ""])
def test_what_would_be_said_wrongly_has_no_words(expression: str) -> None:
    assert cron_words(expression, "en") is None
