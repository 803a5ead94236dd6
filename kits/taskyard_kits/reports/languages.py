"""How a report writes words, numbers and times in a language."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from .periods import Period
from .texts import TEXTS

_NO_BREAK = "\N{NO-BREAK SPACE}"
# In place of a value that there is not.
NONE = "\N{EN DASH}"


@dataclass(frozen=True, slots=True)
class Language:
    """`day`, `moment` and so on are patterns of `strftime` without names of months, whose language is the process's."""

    tag: str
    thousands: str
    decimal: str
    day: str
    short_day: str
    month: str
    moment: str

    def say(self, text: str, **values: object) -> str:
        """One of TEXTS. Its templates are ours; the values are never read as templates."""
        return TEXTS[text][self.tag].format(**values)

    def number(self, value: int) -> str:
        return f"{value:,}".replace(",", self.thousands)

    def short_number(self, value: float) -> str:
        """For axes: 1.5k, 20M."""
        for size, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
            if value >= size:
                return f"{value / size:g}".replace(".", self.decimal) + sign
        return f"{value:g}".replace(".", self.decimal)

    def seconds(self, value: float | None) -> str:
        """A duration to about three digits; of none a dash."""
        if value is None:
            return NONE
        if value < 100:
            text = f"{value:.3f}" if value < 1 else f"{value:.2f}" if value < 10 else f"{value:.1f}"
            return text.replace(".", self.decimal) + f"{_NO_BREAK}s"
        minutes, rest = divmod(round(value), 60)
        if minutes < 60:
            return f"{minutes}{_NO_BREAK}min {rest}{_NO_BREAK}s"
        hours, minutes = divmod(minutes, 60)
        days, hours = divmod(hours, 24)
        return f"{days}{_NO_BREAK}d {hours}{_NO_BREAK}h" if days else f"{hours}{_NO_BREAK}h {minutes}{_NO_BREAK}min"

    def at(self, moment: datetime, period: Period) -> str:
        return f"{moment.astimezone(period.zone):{self.moment}}"

    def buckets(self, period: Period) -> list[str]:
        """What stands below the bars of a chart."""
        pattern = {"hour": "%H:%M", "day": self.short_day, "month": self.month}[period.step]
        return [f"{at.astimezone(period.zone):{pattern}}" for at in period.bounds]


ENGLISH = Language("en", ",", ".", "%Y-%m-%d", "%m-%d", "%Y-%m", "%Y-%m-%d %H:%M")
_ALL = {
    language.tag: language
    for language in (
        ENGLISH,
        Language("de", ".", ",", "%d.%m.%Y", "%d.%m.", "%m.%Y", "%d.%m.%Y %H:%M"),
        Language("fr", _NO_BREAK, ",", "%d/%m/%Y", "%d/%m", "%m/%Y", "%d/%m/%Y %H:%M"),
        Language("hu", _NO_BREAK, ",", "%Y. %m. %d.", "%m. %d.", "%Y. %m.", "%Y. %m. %d. %H:%M"),
    )
}


def language_of(tag: str) -> Language:
    """`de-AT` is read as `de`; English where there is no translation."""
    return _ALL.get(tag.replace("_", "-").partition("-")[0].lower(), ENGLISH)
