"""Says hello in a channel, and hears it: SWITCHBOARD_URL, SWITCHBOARD_TOKEN, SWITCHBOARD_CHANNEL."""

import asyncio
import os

from switchboard_client import Client, Gap, Message


async def main() -> None:
    # In production, `get_token=` asks your own server, which signs tokens or has the hub issue them.
    async with Client(os.environ["SWITCHBOARD_URL"], token=os.environ["SWITCHBOARD_TOKEN"]) as client:
        chat = client.subscribe(os.environ["SWITCHBOARD_CHANNEL"])
        await chat.ready()
        for text in ("hello", "goodbye"):
            await chat.publish({"text": text})
        async for event in chat:
            match event:
                case Message(data={"text": text}, sender=sender):
                    print(f"{sender.user if sender else 'a service'}: {text}")
                    if text == "goodbye":
                        return
                case Gap():
                    print("something may have been missed: reload")


asyncio.run(main())
