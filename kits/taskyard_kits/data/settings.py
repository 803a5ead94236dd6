"""The settings of the data kit: what may be called."""

from __future__ import annotations

from taskyard.settings_groups import OutboundSettings


class DataSettings(OutboundSettings):
    pass
