"""What a started stack says of itself: where everything is, and how to send a first task."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from taskyard_dev import layout, web
from taskyard_dev.console import Console
from taskyard_dev.layout import Plan
from taskyard_dev.service import Service

FIRST_TASK = '{"name": "diagnostics.echo", "params": {"value": "hello"}}'


def introduce(
    url: str,
    key: str,
    plan: Plan,
    services: Sequence[Service],
    data: Mapping[str, Path],
    *,
    mails: str,
    seconds: float,
    console: Console,
) -> None:
    say, bold = console.say, console.bold
    # A process of its own, whose second is not to fall between two lines.
    link = web.link(services[-1].environment, key) if plan.has_console else ""
    say()
    say(bold(f"Taskyard is up, after {seconds:.1f} s."))
    say(f"  API      {url}, described in {url}/openapi.json")
    if link:
        say(f"  console  {web.address(link)}; this signs in, once, within five minutes:")
        say(f"           {link}")
    for service in services:
        say(f"  metrics  {layout.metrics_url(service)} of {service.name}")
    say(f"  mails    {mails}")
    say(f"  secrets  {plan.dev_env}")
    for server, directory in data.items():
        if not directory.is_relative_to(plan.data_dir.resolve()):
            # Under root only: the server runs as another account, which can't reach a closed directory.
            say(f"  data     of {server}: {directory}, linked from {plan.data_dir}")
    say("\nSubmit a first task:\n")
    say(f"  curl -sS {url}/api/v1/tasks -H 'Authorization: Bearer {key}' \\")
    say(f"    -H 'Content-Type: application/json' -d '{FIRST_TASK}'")
    say("\nCtrl-C stops everything; the data stays.\n")
