"""The tables that chaos prints, as Markdown."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from .faults import Faults
from .load import Load
from .plant import Plant
from .verdict import Verdict


def tables(
    faults: Faults, recoveries: Mapping[str, float], verdict: Verdict, load: Load, plant: Plant
) -> Iterator[str]:
    journal = faults.journal
    longest = dict(recoveries)
    if journal.followed_seconds:
        longest["kill -9 a scheduler"] = max(journal.followed_seconds)
    yield ""
    yield "| fault | times | longest recovery, s |"
    yield "| --- | ---: | ---: |"
    for name in faults.menu:
        seconds = f"{longest[name]:.1f}" if name in longest else ""
        yield f"| {name} | {journal.injected[name]} | {seconds} |"
    rate = verdict.doubled / verdict.effects_seen if verdict.effects_seen else 0.0
    yield ""
    yield "| | |"
    yield "| --- | ---: |"
    yield f"| tasks submitted over HTTP | {verdict.submitted} |"
    yield f"| final, with those that tasks submitted | {verdict.final} |"
    yield f"| lost | {len(verdict.lost)} |"
    yield f"| ended wrong | {len(verdict.wrong)} |"
    yield f"| effects doubled | {verdict.doubled} of {verdict.effects_seen} ({rate:.2%}) |"
    yield f"| innocent, and failed with `crash_limit` | {verdict.crash_limited} |"
    yield f"| longest without an accepted submit | {load.longest_pause[0]:.1f} s |"
    yield f"| requests repeated | {load.repeated} |"
    yield f"| processes started | {plant.starts} |"
    yield f"| all final after the last fault | {verdict.settled_seconds:.1f} s |"
    yield ""
