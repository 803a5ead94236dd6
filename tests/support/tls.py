"""One TLS context for the clients of tests, `verify=TLS`. httpx reads the certificates of all authorities for each
client that has none, and for each request without a client: 25 ms of processor time. Nothing here speaks TLS."""

import httpx

TLS = httpx.create_ssl_context()
