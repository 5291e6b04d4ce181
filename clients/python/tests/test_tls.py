"""A hub with certificates of its own, signed by an authority that nobody knows but the test."""

from __future__ import annotations

import ssl
from collections.abc import Iterator

import grpc
import pytest
import trustme

from switchboard_client import Client, Message, SwitchboardError, TransportName
from switchboard_client.service import connect, connect_blocking

from .stage import Control, Stage

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="module")
def stage(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """Its own way to the control API speaks no TLS: what is published is published by the clients."""
    settings: dict[str, object] = {}
    for side, name in (("clients", "localhost"), ("api", "127.0.0.1")):
        own = authority.issue_cert(name)
        for what, blob in (("cert", own.cert_chain_pems[0]), ("key", own.private_key_pem)):
            path = tmp_path_factory.mktemp("tls") / what
            blob.write_to_path(str(path))
            settings[f"{side}.tls_{what}_file"] = str(path)
    running = Stage(settings)
    yield running
    running.end()


def by_name(address: str) -> str:
    """The hub's address for clients, by the name that its certificate has."""
    return f"https://localhost:{address.rsplit(':', 1)[1]}"


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def credentials(authority: trustme.CA) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(authority.cert_pem.bytes())


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_trusted_hub_is_spoken_to_in_tls(
    control: Control, authority: trustme.CA, transport: TransportName
) -> None:
    stage, name = control.stage, f"chat:{transport}"
    token = await control.token(user="ann")
    url = by_name(stage.hub)
    async with (
        Client(url, token=token, transports=[transport], ssl=trusting(authority)) as client,
        connect(stage.grpc, api_key=stage.api_key, credentials=credentials(authority)) as hub,
    ):
        subscription = client.subscribe(name)
        await subscription.ready()
        await hub.publisher.publish(name, "by a service")
        await client.publish(name, "by a client")
        came = [await anext(subscription), await anext(subscription)]
        assert [event.data for event in came if isinstance(event, Message)] == ["by a service", "by a client"]


@pytest.mark.parametrize("transport", ["websocket", "sse"])
async def test_a_hub_that_is_not_trusted_ends_the_client_and_the_error_says_so(
    control: Control, authority: trustme.CA, transport: TransportName
) -> None:
    named = by_name(control.stage.hub)
    for url, trusted in (
        (named, trusting(trustme.CA())),  # signed by another than who is trusted
        (named, None),  # by nobody whom the machine knows
        (named.replace("localhost", "127.0.0.1"), trusting(authority)),  # for another name
    ):
        async with Client(url, token="any", transports=[transport], ssl=trusted) as client:
            with pytest.raises(SwitchboardError, match="certificate is not trusted") as told:
                await client.ready()
            assert (told.value.code, client.state) == ("untrusted", "disconnected")


async def test_a_service_does_not_speak_to_a_hub_that_is_not_trusted(control: Control) -> None:
    stage = control.stage
    async with connect(stage.grpc, api_key=stage.api_key, credentials=credentials(trustme.CA())) as hub:
        with pytest.raises(SwitchboardError, match="CERTIFICATE_VERIFY_FAILED") as told:
            await hub.publisher.publish("chat:1", 1, timeout=2)
    assert told.value.code == "unavailable"


def test_without_an_event_loop_too(stage: Stage, authority: trustme.CA) -> None:
    with connect_blocking(stage.grpc, api_key=stage.api_key, credentials=credentials(authority)) as hub:
        assert hub.publisher.publish("chat:blocking", 1).position.offset == 1
    with (
        connect_blocking(stage.grpc, api_key=stage.api_key, credentials=credentials(trustme.CA())) as hub,
        pytest.raises(SwitchboardError, match="CERTIFICATE_VERIFY_FAILED"),
    ):
        hub.publisher.publish("chat:blocking", 1, timeout=2)
