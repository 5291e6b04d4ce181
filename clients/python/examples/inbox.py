"""Works off a durable channel: what is not acknowledged comes again. SWITCHBOARD_URL, SWITCHBOARD_TOKEN, SWITCHBOARD_CHANNEL."""

import asyncio
import os

from switchboard_client import Client, Gap, Message


async def main() -> None:
    async with Client(os.environ["SWITCHBOARD_URL"], token=os.environ["SWITCHBOARD_TOKEN"]) as client:
        inbox = client.subscribe(os.environ["SWITCHBOARD_CHANNEL"])
        await inbox.ready()
        for n in range(3):
            await inbox.publish({"task": n})
        async for event in inbox:
            match event:
                case Message(data={"task": n}):
                    print(f"handled {n}")
                    await inbox.ack(event)
                    if n == 2:
                        return
                case Gap():
                    print("history did not reach back to what was acknowledged last: reload")
                    await inbox.ack(event)


asyncio.run(main())
