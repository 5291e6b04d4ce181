"""A client of one transport made of well-known packages: listen.py TRANSPORT CHANNEL COUNT.

Prints {"open": ...}, then {"message": ...} for each of COUNT messages; then publishes {"from": TRANSPORT} itself and prints the
message that comes of it. The token is in SWITCHBOARD_TOKEN, the hub's address in SWITCHBOARD_HUB.
"""

import json
import os
import sys

import httpx
import httpx_sse
from websockets.sync.client import connect

HUB = os.environ["SWITCHBOARD_HUB"]
HEADERS = {"Authorization": "Bearer " + os.environ["SWITCHBOARD_TOKEN"]}
TRANSPORT, CHANNEL, COUNT = sys.argv[1], sys.argv[2], int(sys.argv[3])


def say(**fields):
    print(json.dumps(fields), flush=True)


def publish():
    return {"id": 1, "publish": {"channel": CHANNEL, "data": {"from": TRANSPORT}}}


def sse(client):
    """`httpx-sse`."""
    with httpx_sse.connect_sse(client, "GET", f"{HUB}/v1/sse?channel={CHANNEL}", headers=HEADERS) as source:
        for event in source.iter_sse():
            if event.data:
                yield {event.event: json.loads(event.data)}


def poll(client):
    """`httpx` alone."""
    answer = client.get(f"{HUB}/v1/poll?channel={CHANNEL}", headers=HEADERS).raise_for_status().json()
    while True:
        yield from answer["frames"]
        query = {"channel": CHANNEL, "key": answer["key"], "cursor": answer["cursor"], "wait": 10}
        answer = client.get(f"{HUB}/v1/poll", params=query, headers=HEADERS).raise_for_status().json()


def follow(frames, client):
    key, heard = None, 0
    for frame in frames:
        [(kind, body)] = frame.items()
        if kind == "open":
            key = body.pop("key", None)
        if kind == "subscribed":
            say(open=body)
        if kind == "message":
            say(message=body)
            heard += 1
            if heard == COUNT:
                if key:
                    client.post(f"{HUB}/v1/commands", params={"key": key}, content=json.dumps(publish())).raise_for_status()
                else:
                    yield publish()
            if heard > COUNT:
                return


def over_websocket():
    """`websockets`, which offers permessage-deflate by itself."""
    address = HUB.replace("http", "ws", 1) + f"/v1/ws?channel={CHANNEL}"
    subprotocols = ["switchboard.v1.json"]
    with connect(address, additional_headers=HEADERS, subprotocols=subprotocols, proxy=None) as socket:
        extensions = [extension.name for extension in socket.protocol.extensions]
        say(negotiated={"extensions": extensions, "subprotocol": socket.subprotocol})
        for command in follow((json.loads(text) for text in socket), None):
            socket.send(json.dumps(command))


with httpx.Client(trust_env=False, timeout=30) as client:
    if TRANSPORT == "websocket":
        over_websocket()
    else:
        for _ in follow((sse if TRANSPORT == "sse" else poll)(client), client):
            pass
