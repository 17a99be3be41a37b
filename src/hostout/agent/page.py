"""Asks a URL as this host sees it, past any proxy.

What does not belong here: how long that may take, and what follows (``health.py``).
"""

from __future__ import annotations

import http.client
import urllib.error
import urllib.request
from typing import Any


def wrong(url: str, timeout: float) -> str:
    """Nothing where it answers 2xx or 3xx (which is not followed), else what is wrong; seconds for each wait."""
    try:
        # a little more than the alarm, so that it is always that which says so
        with _opener().open(url, timeout=timeout + 1) as response:
            return "" if 200 <= response.status < 400 else f"HTTP status {response.status}"
    except urllib.error.HTTPError as error:
        return "" if 300 <= error.code < 400 else f"HTTP status {error.code}"
    except urllib.error.URLError as error:
        return str(error.reason)
    except (OSError, http.client.HTTPException, ValueError) as error:
        return str(error) or type(error).__name__


class _Stay(urllib.request.HTTPRedirectHandler):
    """Somewhere else is an answer; it may not be reachable from here."""

    def redirect_request(self, *args: Any, **kwargs: Any) -> None:
        """Never."""


def _opener() -> urllib.request.OpenerDirector:
    return urllib.request.build_opener(urllib.request.ProxyHandler({}), _Stay)
