"""The same without an event loop, as in a Django view: SWITCHBOARD_GRPC, SWITCHBOARD_API_KEY, SWITCHBOARD_CHANNEL."""

import os

from switchboard_client.service import connect_blocking

with connect_blocking(os.environ["SWITCHBOARD_GRPC"], api_key=os.environ["SWITCHBOARD_API_KEY"]) as hub:
    channel = os.environ["SWITCHBOARD_CHANNEL"]
    published = hub.publisher.publish(channel, {"order": 42, "state": "paid"})
    print(f"published at offset {published.position.offset}")
    [count] = hub.presence.count([channel])
    print(f"{count.members} members")
