"""A receiver in FastAPI that publishes by aio-pika, with confirms: what graphhook is measured beside.

    pip install -r requirements.txt
    CLIENT_STATE=... BROKER=amqp://... EXCHANGE=graph uvicorn receiver:app \
        --port 8443 --ssl-certfile cert.pem --ssl-keyfile key.pem --no-access-log --workers 1

Each part is written as the documentation of its library shows it: one connection and one channel for a process, made in the
application's lifespan, a channel with publisher confirms (they are aio-pika's default), all items of a POST published
together, and their confirms awaited before the answer. JSON is written without blanks, as Graph and JavaScript do, so that
no receiver has longer messages than another. uvicorn comes with its "standard" extras, uvloop and httptools.
"""

import asyncio
import json
import os
from contextlib import asynccontextmanager

import aio_pika
from fastapi import FastAPI, Request, Response
from fastapi.responses import PlainTextResponse

CLIENT_STATE = os.environ["CLIENT_STATE"]


@asynccontextmanager
async def lifespan(app: FastAPI):
    connection = await aio_pika.connect_robust(os.environ["BROKER"])
    async with connection:
        channel = await connection.channel(publisher_confirms=True)
        app.state.exchange = await channel.declare_exchange(
            os.environ["EXCHANGE"], aio_pika.ExchangeType.TOPIC, durable=True
        )
        yield


app = FastAPI(lifespan=lifespan)


def routing_key(item: dict) -> str:
    """notification.message.created, for an item about a message: the last segment of #Microsoft.Graph.Message."""
    odata_type = (item.get("resourceData") or {}).get("@odata.type", "unknown")
    return f"notification.{odata_type.split('.')[-1].lower()}.{item.get('changeType', 'unknown')}"


async def publish(item: dict) -> None:
    message = aio_pika.Message(
        json.dumps(item, ensure_ascii=False, separators=(",", ":")).encode(),
        content_type="application/json",
        message_id=item.get("id"),
        delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
    )
    await app.state.exchange.publish(message, routing_key(item))


@app.post("/graph/notifications")
async def notifications(request: Request) -> Response:
    token = request.query_params.get("validationToken")
    if token:
        return PlainTextResponse(token)
    body = await request.json()
    genuine = [item for item in body["value"] if item.get("clientState") == CLIENT_STATE]
    await asyncio.gather(*(publish(item) for item in genuine))
    return Response(status_code=202)
