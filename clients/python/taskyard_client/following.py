"""A task's timeline as server-sent events (HTML Living Standard, section 9.2.6), resumed where a connection broke; and
the wait for its end. What is here does no I/O: both clients share it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from pydantic import ValidationError

from .errors import ApiAway, ClientError, RateLimited, WaitTimedOut
from .models import Change, Missed, Task, TaskEvent
from .retries import Clock, Retries

E_co = TypeVar("E_co", covariant=True)

# How long a follower goes on asking an API that is away.
_PATIENCE_SECONDS = 60.0
_AGAIN_SECONDS = 0.75
# A stream is not left exactly when the time is over: towards the end `wait` asks instead.
_LAST_SECONDS = 20.0
# A wait that a proxy between does not cut off.
_POLL_SECONDS = 20.0
# How much later than the end of the wait an answer may come.
_LATE_SECONDS = 1.0


@dataclass
class Events:
    """Puts events together out of text as it arrives. The event source of httpx2 does not tell comments, the API's
    heartbeats; and its lines end at form feeds and at U+2028, too, which may stand in what a task says. The kind of an
    event stands in its data, too."""

    id: str | None = None
    data: list[str] = field(default_factory=list)
    rest: str = ""

    def lines(self, text: str) -> list[str]:
        *whole, self.rest = (self.rest + text).split("\n")
        return [line.removesuffix("\r") for line in whole]

    def line(self, line: str) -> tuple[str, str | None] | None:
        """Data and id of the event that ends with this line."""
        if not line:
            done = ("\n".join(self.data), self.id) if self.data else None
            self.id, self.data = None, []
            return done
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            self.data.append(value)
        elif name == "id":
            self.id = value
        return None


class Reader(Protocol[E_co]):
    """Makes something of each line of a stream: an entry for each, None where nothing ends with it."""

    def headers(self) -> dict[str, str]: ...

    def connected(self) -> None:
        """A stream begins."""

    def heard(self, text: str) -> Iterator[E_co]: ...


class Patience:
    """A minute without an answer."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._away_since: float | None = None

    def answered(self) -> None:
        self._away_since = None

    def away(self, error: ClientError) -> None:
        """Raises `error` once the minute is over."""
        now = self._clock()
        self._away_since = now if self._away_since is None else self._away_since
        if now - self._away_since > _PATIENCE_SECONDS:
            raise error


class Following:
    """Where a follower of a timeline stands. `last`: the id of the last event; `is_final`: the task has ended, so that
    one more read brings the rest."""

    def __init__(self, retries: Retries, clock: Clock) -> None:
        self._retries = retries
        self._events = Events()
        self.patience = Patience(clock)
        self.last: str | None = None
        self.is_final = False

    def headers(self) -> dict[str, str]:
        last = {} if self.last is None else {"Last-Event-ID": self.last}
        return {"Accept": "text/event-stream", **last}

    def connected(self) -> None:
        self.patience.answered()
        self._events = Events()

    def heard(self, text: str) -> Iterator[TaskEvent | None]:
        """For each line that ends in `text`, the event that it ends, else None."""
        for line in self._events.lines(text):
            found = self._events.line(line)
            yield None if found is None else self._event(*found)

    def _event(self, data: str, event_id: str | None) -> TaskEvent:
        self.patience.answered()
        self.last = event_id or self.last
        try:
            event = TaskEvent.model_validate_json(data)
        except ValidationError:
            raise ApiAway("The API's stream of events is not JSON.") from None
        return event.model_copy(update={"id": event_id}) if event.id is None and event_id else event

    def saw(self, task: Task) -> None:
        self.is_final = task.is_final

    def pause(self, error: ApiAway | RateLimited | None = None) -> float:
        # Apart from the others that lost their stream.
        return _told(error) + self._retries.jittered(_AGAIN_SECONDS)


class Watching:
    """Where a follower of all tasks' changes stands. They are not kept, so a broken stream is begun anew, and that is
    told as `Missed`."""

    def __init__(self, retries: Retries, clock: Clock) -> None:
        self._retries = retries
        self._events = Events()
        self._failures = 0
        self._connections = 0
        self._patience = Patience(clock)

    def headers(self) -> dict[str, str]:
        return {"Accept": "text/event-stream"}

    def connected(self) -> None:
        self._patience.answered()
        self._events = Events()
        self._connections += 1

    def away(self, error: ApiAway | RateLimited) -> None:
        """Raises `error` where there never was a stream, and once a minute is over."""
        if not self._connections:
            raise error
        self._patience.away(error)

    def heard(self, text: str) -> Iterator[Change | Missed | None]:
        """For each line that ends in `text`, what it tells, else None. Every beginning but the first is told."""
        if self._failures:
            self._failures = 0
            yield Missed()
        for line in self._events.lines(text):
            found = self._events.line(line)
            yield None if found is None else _change(found[0])

    def pause(self, error: ApiAway | RateLimited | None = None) -> float:
        """Before the stream is begun anew; growing while nothing is heard."""
        self._failures += 1
        return _told(error) + self._retries.pause(self._failures)


def _change(data: str) -> Change | Missed:
    try:
        missed = Missed.model_validate_json(data)
        return missed if "lost" in missed.model_fields_set else Change.model_validate_json(data)
    except ValidationError:
        raise ApiAway("The API's stream of events is not JSON.") from None


class Waiting:
    """The wait for a task's end: on its stream, and by asking where streams do not come through or the time is nearly
    over. `timeout` None: for as long as it takes."""

    def __init__(self, timeout: float | None, retries: Retries, clock: Clock) -> None:
        self._retries = retries
        self._clock = clock
        self._patience = Patience(clock)
        self._timeout = timeout
        self._deadline = None if timeout is None else clock() + timeout
        self._streams_pass = True
        self._failures = 0
        self._asked_at = 0.0
        self._asked_for = 0.0
        self._seen: Task | None = None

    @property
    def left(self) -> float:
        return _PATIENCE_SECONDS if self._deadline is None else max(0.0, self._deadline - self._clock())

    @property
    def may_stream(self) -> bool:
        return self._streams_pass and (self._deadline is None or self.left > _LAST_SECONDS)

    def ask(self) -> tuple[float, float]:
        """Seconds for which the next read may wait at the API, and after which it is given up."""
        self._asked_at = self._clock()
        self._asked_for = min(_POLL_SECONDS, self.left)
        late = self._retries.seconds if self._deadline is None else min(self._retries.seconds, _LATE_SECONDS)
        return self._asked_for, self._asked_for + late

    def streamed(self, *, heard: bool) -> None:
        """A stream has ended. One without a line, not even a heartbeat, did not come through what is between."""
        self._streams_pass = heard

    def saw(self, task: Task) -> bool:
        """Whether the task is final."""
        self._seen = task
        self._patience.answered()
        if self._clock() - self._asked_at >= self._asked_for / 2:
            self._failures = 0
        return task.is_final

    def away(self, error: ApiAway | RateLimited) -> None:
        """Raises `error` after a minute without an answer. The stream did not come through because there was none."""
        self._streams_pass = True
        self._patience.away(error)

    def pause(self, error: ApiAway | RateLimited | None = None) -> float:
        """Before the next look; growing where looks come back at once. Raises WaitTimedOut."""
        if self._deadline is not None and self.left <= 0:
            raise WaitTimedOut(self._seen, self._timeout or 0.0) from error
        self._failures += 1
        return min(_told(error) + self._retries.pause(self._failures), self.left)


class Pauses:
    """Between looks at a workflow: a tenth of a second at first, growing to one."""

    def __init__(self, timeout: float | None, clock: Clock) -> None:
        self._timeout = timeout
        self._clock = clock
        self._began = clock()
        self._next = 0.1

    def next(self) -> float:
        """Raises WaitTimedOut."""
        pause, self._next = self._next, min(1.0, self._next * 1.5)
        if self._timeout is None:
            return pause
        left = self._began + self._timeout - self._clock()
        if left <= 0:
            raise WaitTimedOut(None, self._timeout, waited_for="The workflow")
        return min(pause, left)


def _told(error: ApiAway | RateLimited | None) -> float:
    """The seconds that the API asked to wait."""
    return 0.0 if error is None or error.retry_after is None else min(error.retry_after, _PATIENCE_SECONDS)
