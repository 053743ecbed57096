"""Waiting for conditions, never for time to pass."""

import time


def wait_until(condition, what, seconds, every=0.1):
    """The first true value of `condition()`; TimeoutError after `seconds`."""
    give_up = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > give_up:
            raise TimeoutError(f"waited {seconds} s for {what}")
        time.sleep(every)
