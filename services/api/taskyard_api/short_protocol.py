"""The connection of ordinary submits, which do not come to the parser (short_way.py)."""

from __future__ import annotations

from typing import Any

from uvicorn.protocols.http.httptools_impl import STATUS_LINE

from .bounds import BoundedProtocol
from .short_way import UnderWay

_CLOSE = b"connection: close\r\n"


class ShortProtocol(BoundedProtocol):
    def __init__(self, config: Any, *more: Any, **named: Any) -> None:
        super().__init__(config, *more, **named)
        self._way = config.short_way

    def data_received(self, data: bytes) -> None:
        before: Any = self.cycle
        if self._way is None or not self._is_between_requests:
            super().data_received(data)
            return
        submit = self._way.begin(data, self)
        if submit is not None:
            self._unset_keepalive_if_required()
            self._heard = True
            self.cycle, self.scope = submit, submit.scope
            return
        super().data_received(data)
        if self.cycle is not before and self._is_read:
            self._way.learn(data, self.cycle)

    def answer(self, submit: UnderWay, status: int, headers: bytes, body: bytes) -> None:
        """`headers` without those that all answers have."""
        submit.response_complete = True
        if self.transport.is_closing():
            return
        common = self._way.common_headers(self.server_state.default_headers)
        if _CLOSE in common:
            submit.keep_alive = False
        elif not submit.keep_alive:
            common += _CLOSE
        transport: Any = self.transport
        transport.send(b"".join((STATUS_LINE[status], common, headers, b"\r\n", body)))
        if not submit.keep_alive:
            self.transport.close()
        self.on_response_complete()

    @property
    def _is_between_requests(self) -> bool:
        """Whether all that came was answered, and the parser expects the beginning of a head."""
        cycle: Any = self.cycle
        if cycle is None:
            is_between = self.scope is None
        else:
            is_between = cycle.response_complete and self._is_read
        limit = self.config.limit_concurrency
        has_room = limit is None or len(self.connections) < limit
        return is_between and has_room and not self._ended and not self.flow.write_paused

    @property
    def _is_read(self) -> bool:
        """Whether the last request has come as a whole, and nothing behind it."""
        cycle: Any = self.cycle
        return cycle is not None and cycle.scope is self.scope and not cycle.more_body
