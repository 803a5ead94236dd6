"""People and targets in the shape that organisers of citizens' assemblies use: made here, the same in every run."""

import csv
import io
import random
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

FEATURES = {
    "gender": {"female": 0.5, "male": 0.48, "other": 0.02},
    "age": {"16-29": 0.2, "30-44": 0.25, "45-59": 0.3, "60+": 0.25},
    "area": {"north": 0.35, "east": 0.25, "south": 0.2, "west": 0.2},
    "education": {"primary": 0.2, "secondary": 0.45, "tertiary": 0.35},
}

Person = dict[str, str]
Target = dict[str, str]


def people(count: int = 200, seed: int = 1) -> list[Person]:
    """Every fourth person lives at the address of the one before."""
    drawn = random.Random(seed)
    return [
        {
            "id": f"p{n:04}",
            "name": f"Person {n}",
            "email": f"p{n}@example.org",
            "street": f"Street {n - 1 if n % 4 == 3 else n}",
            "zip": "1000",
            **{f: drawn.choices(list(shares), list(shares.values()))[0] for f, shares in FEATURES.items()},
        }
        for n in range(count)
    ]


def targets(number: int, slack: float = 0.1) -> list[Target]:
    """Quotas around the shares of the population, `slack` of the panel wide to both sides."""
    return [
        {
            "feature": feature,
            "value": value,
            "min": str(max(0, int(number * (share - slack)))),
            "max": str(int(number * (share + slack)) + 1),
        }
        for feature, shares in FEATURES.items()
        for value, share in shares.items()
    ]


def as_csv(rows: Iterable[Mapping[str, Any]]) -> bytes:
    rows = list(rows)
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode()


def of_csv(content: bytes) -> list[Person]:
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def unmet(panel: Iterable[Person], quotas: Iterable[Target]) -> list[str]:
    """The quotas that a panel misses, counted without the library."""
    panel = list(panel)
    missed = []
    for quota in quotas:
        found = Counter(person[quota["feature"]] for person in panel)[quota["value"]]
        if not int(quota["min"]) <= found <= int(quota["max"]):
            missed.append(f"{quota['feature']}/{quota['value']}: {found} of {quota['min']}..{quota['max']}")
    return missed
