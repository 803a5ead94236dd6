"""Where files are kept, as TASKYARD_STORAGE_URL says: `file:///var/lib/taskyard/storage`, or `s3://bucket/prefix`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qsl, unquote, urlsplit

_BUCKET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}")
_PREFIX = re.compile(r"(?:[A-Za-z0-9_=-][A-Za-z0-9._=-]*(?:/[A-Za-z0-9_=-][A-Za-z0-9._=-]*)*)?")
_OPTIONS = {"endpoint", "region", "path_style"}
_SHAPE = "must be file:///directory or s3://bucket/prefix, with endpoint, region, path_style as its query"


@dataclass(frozen=True, slots=True)
class Bucket:
    """An S3 bucket, and the prefix of our keys in it: "" or a path that ends in a slash.

    `endpoint` and `region` None: what the standard variables and files of AWS say. `path_style` None: so where the
    endpoint is not one of AWS.
    """

    name: str
    prefix: str
    endpoint: str | None = None
    region: str | None = None
    path_style: bool | None = None


def read_address(url: str) -> Path | Bucket:
    """Raises ValueError, whose message does not repeat the URL."""
    parts = urlsplit(url)
    if parts.scheme == "file" and parts.netloc in {"", "localhost"} and not parts.query:
        path = Path(unquote(parts.path))
        if path.is_absolute():
            return path
    if parts.scheme != "s3" or parts.fragment or not _BUCKET.fullmatch(parts.netloc):
        raise ValueError(_SHAPE)
    prefix = parts.path.strip("/")
    options = dict(parse_qsl(parts.query, strict_parsing=bool(parts.query)))
    if not _PREFIX.fullmatch(prefix) or not _OPTIONS.issuperset(options):
        raise ValueError(_SHAPE)
    endpoint, style = options.get("endpoint"), options.get("path_style")
    if endpoint is not None and urlsplit(endpoint).scheme not in {"http", "https"}:
        raise ValueError("the endpoint must be http://host:port or https://host:port")
    if style not in {None, "true", "false"}:
        raise ValueError("path_style must be true or false")
    return Bucket(
        parts.netloc,
        f"{prefix}/" if prefix else "",
        endpoint=endpoint,
        region=options.get("region"),
        path_style=None if style is None else style == "true",
    )
