"""Reads a run with httpx-sse and prints a JSON line per event: what a Python user would write after its README.

Usage: httpx_sse_reader.py URL [LAST_EVENT_ID]. Ends at the 204 that follows a run; whoever started it stops it earlier.
"""

import json
import sys
import time

import httpx
from httpx_sse import connect_sse


def read(url: str, last_event_id: str) -> None:
    delay_seconds = 0.0
    with httpx.Client() as client:
        while True:
            try:
                headers = {"Last-Event-ID": last_event_id} if last_event_id else {}
                with connect_sse(client, "GET", url, headers=headers) as source:
                    if source.response.status_code == 204:
                        return
                    source.response.raise_for_status()
                    for event in source.iter_sse():
                        last_event_id = event.id
                        if event.retry is not None:
                            delay_seconds = event.retry / 1000
                        line = {"id": event.id, "event": event.event, "data": event.data}
                        print(json.dumps(line), flush=True)
            except httpx.TransportError:
                # Cut, refused or silent: the log is still there, so ask again from the last id.
                pass
            time.sleep(delay_seconds)


read(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else "")
