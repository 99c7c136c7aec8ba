"""The official Python SDK as client: the way of an event to who listens. Runs in an environment of its own.

Usage: sdk.py ADDRESS MODE ODOO DATABASE, with the key in ODOO_API_KEY; ADDRESS `stdio:PROGRAM` starts the program.
Prints what was checked, one line each.
"""

import asyncio
import json
import os
import sys
import urllib.request
import uuid

import httpx2
from mcp import Client, ResourceUpdatedNotification, StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

KEY = os.environ["ODOO_API_KEY"]


def create_partner(odoo, database, **values):
    """A change in Odoo, with the same key."""
    request = urllib.request.Request(
        f"{odoo}/json/2/res.partner/create",
        json.dumps({"vals_list": [values]}).encode(),
        {"Authorization": f"Bearer {KEY}", "Content-Type": "application/json", "X-Odoo-Database": database},
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())[0]


async def heard_of(client, uri, legacy, change, heard):
    """Whether a change is told of to a client that listens to this resource."""
    if legacy:
        await client.subscribe_resource(uri)
        await asyncio.sleep(0)
        await asyncio.to_thread(change)
        await asyncio.wait_for(heard.wait(), 30)
        await client.unsubscribe_resource(uri)
        return
    async with client.listen(resource_subscriptions=[uri]) as stream:
        assert uri in (stream.honored.resource_subscriptions or ()), stream.honored
        await asyncio.to_thread(change)
        async for _event in stream:
            return


async def story(client, mode, odoo, database):
    """The same for each transport and era."""
    tools = {tool.name for tool in (await client.list_tools()).tools}
    assert len(tools) == 16, tools
    print(f"{mode}: {client.protocol_version}, {len(tools)} tools")
    mark = uuid.uuid4().hex

    async def tool(name, **arguments):
        result = await client.call_tool(name, arguments)
        assert not result.is_error, result.content
        return result.structured_content

    made = await tool(
        "subscribe_events", model="res.partner", event_type="create", domain=[["ref", "=", mark]],
        enrich_fields=["name"], in_session=True, include_own_changes=True,
    )
    cursor = (await tool("poll_events"))["cursor"]
    uri = f"odoo://subscription/{made['id']}/events"
    # the first look of a client that listens is from then on: what comes before is behind the cursor
    changes = iter(range(1000))

    def change():
        create_partner(odoo, database, name=f"SDK {next(changes)}", ref=mark)

    legacy = client.protocol_version < "2026-07-28"

    async def keep_changing():
        while True:
            await asyncio.to_thread(change)
            await asyncio.sleep(1)

    changing = asyncio.create_task(keep_changing())
    try:
        await asyncio.wait_for(heard_of(client, uri, legacy, change, HEARD), 60)
    finally:
        changing.cancel()
    print(f"{mode}: told of a change by {'resources/subscribe' if legacy else 'subscriptions/listen'}")
    read = json.loads((await client.read_resource(uri)).contents[0].text)
    assert read["events"][0]["records"][0]["name"].startswith("SDK ")
    polled = await tool("poll_events", cursor=cursor, subscription_id=made["id"])
    names = {event["records"][0]["name"] for event in polled["events"]}
    assert "SDK 0" in names, f"the first one is there, too: {names}"
    print(f"{mode}: read from the cursor, none left out")
    wrong = await client.call_tool("subscribe_events", {"model": "res.partner", "event_type": "delete"})
    assert wrong.is_error and wrong.content[0].text.startswith("event_type: "), wrong
    print(f"{mode}: a mistake is named: {wrong.content[0].text}")
    await tool("unsubscribe_events", subscription_id=made["id"])


HEARD = asyncio.Event()


async def on_message(message):
    """What the server says by itself, in the older era."""
    if isinstance(message, ResourceUpdatedNotification):
        HEARD.set()


async def main(address, mode, odoo, database):
    """Connects and tells the story."""
    if address.startswith("stdio:"):
        server = StdioServerParameters(command=address[6:], args=["mcp"], env=dict(os.environ))
        async with Client(server, mode=mode, message_handler=on_message) as client:
            return await story(client, f"stdio {mode}", odoo, database)
    async with httpx2.AsyncClient(headers={"Authorization": f"Bearer {KEY}"}, timeout=90) as http:
        transport = streamable_http_client(address, http_client=http)
        async with Client(transport, mode=mode, message_handler=on_message) as client:
            return await story(client, f"http {mode}", odoo, database)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
