"""Run by `benchmarks.frames` with the Python of a checkout: its API, which reports the frames above the first
statement that inserts tasks. Imports nothing of benchmarks: these may belong to another checkout.

Arguments: the folder of the checkout, the file for the report. The rest is for `taskyard-api`.
"""

from __future__ import annotations

import gc
import inspect
import json
import re
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import sqlalchemy as sa

RESPONDER = "Tasks.on_post"
_LOOP = ("/asyncio/runners.py", "/asyncio/events.py", "/asyncio/base_events.py")
_INSERTS_TASKS = re.compile(r"INSERT\s+INTO\s+task\s*(AS\s+t\s*)?\(")


def main() -> None:
    checkout, report = Path(sys.argv[1]), Path(sys.argv[2])
    own = tuple(str(checkout / part) + "/" for part in ("shared", "services"))

    def named(code: CodeType, line: int) -> list[str]:
        if not code.co_filename.startswith(own):
            return []
        return [f"{code.co_qualname} ({Path(code.co_filename).relative_to(checkout)}:{line})"]

    def running() -> list[str]:
        """Our frames that run here, the outermost first, up to the event loop that runs them."""
        found: list[str] = []
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not frame.f_code.co_filename.endswith(_LOOP):
            found += named(frame.f_code, frame.f_lineno)
            frame = frame.f_back
        return found[::-1]

    def responder() -> list[str]:
        """What the responder awaits, itself first. No loop is asked, for none is known here."""
        awaited: Any = next(
            o for o in gc.get_objects() if inspect.iscoroutine(o) and o.cr_code.co_qualname == RESPONDER
        )
        found: list[str] = []
        while inspect.iscoroutine(awaited):
            if awaited.cr_frame is not None:
                found += named(awaited.cr_code, awaited.cr_frame.f_lineno)
            awaited = awaited.cr_await
        return found

    hop = threading.local()
    submit = ThreadPoolExecutor.submit

    def submit_and_remember(pool: ThreadPoolExecutor, call: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        frames = running()

        def called() -> Any:
            hop.frames = frames
            return call(*args, **kwargs)

        return submit(pool, called)

    def before_execute(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if not _INSERTS_TASKS.search(statement) or report.exists():
            return
        awaiting = responder()
        functions = {name.partition(" ")[0] for name in awaiting}
        between = [name for name in getattr(hop, "frames", []) if name.partition(" ")[0] not in functions]
        unfinished = report.with_suffix(".new")
        unfinished.write_text(
            json.dumps({"responder": awaiting, "hand-over to the thread": between, "thread": running()}), "utf-8"
        )
        unfinished.rename(report)

    ThreadPoolExecutor.submit = submit_and_remember  # type: ignore[method-assign, assignment]
    sa.event.listen(sa.Engine, "before_cursor_execute", before_execute)
    sys.argv = ["taskyard-api", *sys.argv[3:]]
    from taskyard_api.cli import main as serve

    serve()


if __name__ == "__main__":
    main()
