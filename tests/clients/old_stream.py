"""Follows a job as clients from 0.1 to 0.37 do, and says what they would have been told.

The loop is theirs: after any end but an orderly one they come back, after ever more seconds, and
each message but the first of a connection begins their patience anew.
"""

import json
import sys
import time

import websocket

RETRIES, BACKOFF, LONGEST = 5, 0.5, 8.0


class Following:
    """One client."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.told: list[object] = []
        self.connects = self.retry = 0
        self.is_open = False
        self.error: object = None
        self.code: int | None = None

    def on_message(self, _app: object, message: str) -> None:
        if self.is_open:
            self.told.append(json.loads(message))
            self.retry = 0
        self.is_open = True

    def on_error(self, _app: object, error: object) -> None:
        self.error = error

    def on_close(self, _app: object, code: int, _message: str) -> None:
        self.code = code

    def follow(self) -> bool:
        """Whether it came to an orderly end."""
        while self.retry <= RETRIES:
            self.is_open, self.error, self.code = False, None, None
            self.connects += 1
            handlers = {"on_error": self.on_error, "on_close": self.on_close}
            websocket.WebSocketApp(self.url, on_message=self.on_message, **handlers).run_forever(
                ping_interval=60, ping_timeout=10
            )
            if self.code == 1000 and self.error is None:
                return True
            self.retry += 1
            time.sleep(
                min(LONGEST, BACKOFF * 2 ** (self.retry - 1)) if self.retry <= RETRIES else 0
            )
        return False


following = Following(sys.argv[1])
ended = following.follow()
print(json.dumps({"ended": ended, "told": following.told, "connects": following.connects}))
