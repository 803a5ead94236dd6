"""The application: its routes and middleware."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon
import falcon.asgi
from falcon.routing import CompiledRouter

from .lifespan import Lifespan
from .meters import MeasuredPages
from .problems import Problems
from .visits import Visits


class _Router(CompiledRouter):
    """HEAD is answered wherever GET is, by the same handler; Falcon leaves the body out."""

    def map_http_methods(self, resource: object, **options: Any) -> Any:
        found = super().map_http_methods(resource, **options)
        return {**found, "HEAD": found["GET"]} if "GET" in found else found


def create_app(
    routes: Mapping[str, object], measured: MeasuredPages, visits: Visits, lifespan: Lifespan, problems: Problems
) -> falcon.asgi.App[Any, Any]:
    middleware: list[Any] = [measured, visits, lifespan]
    app = falcon.asgi.App(middleware=middleware, router=_Router())
    app.req_options.keep_blank_qs_values = True
    app.req_options.strip_url_path_trailing_slash = True
    app.add_error_handler(falcon.HTTPError, problems.answer)
    app.add_error_handler(Exception, problems.answer)
    for path, page in routes.items():
        app.add_route(path, page)
    return app
