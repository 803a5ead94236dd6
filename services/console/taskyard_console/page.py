"""What every page is."""

from __future__ import annotations

from typing import ClassVar

from .access import MANAGE, READ


class Page:
    """A resource of Falcon. `scope`: what reading it takes; `changing`: what its forms take. A public page is shown to
    readers who are not signed in."""

    scope: ClassVar[str] = READ
    changing: ClassVar[str] = MANAGE
    is_public: ClassVar[bool] = False
