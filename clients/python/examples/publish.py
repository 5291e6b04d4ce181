"""Publishes as a service: SWITCHBOARD_GRPC, SWITCHBOARD_API_KEY, SWITCHBOARD_CHANNEL."""

import asyncio
import os

from switchboard_client.service import connect


async def main() -> None:
    async with connect(os.environ["SWITCHBOARD_GRPC"], api_key=os.environ["SWITCHBOARD_API_KEY"]) as hub:
        published = await hub.publisher.publish(os.environ["SWITCHBOARD_CHANNEL"], {"order": 42, "state": "paid"})
        print(f"published at offset {published.position.offset}")


asyncio.run(main())
