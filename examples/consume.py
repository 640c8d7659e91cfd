"""Reads notifications from graphhook's queue, graph.notifications, and acknowledges each one when it is done.

    pip install pika
    python3 examples/consume.py [AMQP-URL [QUEUE]]
"""

import collections
import json
import sys

import pika

URL = sys.argv[1] if len(sys.argv) > 1 else "amqp://guest:guest@127.0.0.1:5672/%2f"
QUEUE = sys.argv[2] if len(sys.argv) > 2 else "graph.notifications"

# The same message_id may come twice. A real consumer makes it a unique key in its database, written together
# with the work; what a process remembers is gone when it ends.
done = collections.OrderedDict()
REMEMBERED_MAX = 100_000


def parse(body):
    """The item, or None if this is no JSON: somebody else may publish to the queue."""
    try:
        return json.loads(body)
    except ValueError:
        return None


def work(properties, item):
    """Your work. An exception ends the program, and the broker gives the message to the next consumer."""
    if properties.type == "lifecycle":
        print("lifecycle", item.get("lifecycleEvent"), item.get("subscriptionId"), flush=True)
    elif properties.type == "gap":
        # Changes may be missing: fetch them by a delta query (docs/gaps.md).
        print("gap", item.get("reason"), item.get("subscriptionId"), flush=True)
    else:
        print("notification", item.get("changeType"), item.get("resource"), flush=True)


def main():
    with pika.BlockingConnection(pika.URLParameters(URL)) as connection:
        channel = connection.channel()
        channel.basic_qos(prefetch_count=50)
        for method, properties, body in channel.consume(QUEUE):
            if properties.message_id in done:
                print("again", properties.message_id, flush=True)
            elif not isinstance(item := parse(body), dict):
                print("skipped", properties.message_id, "no JSON object", file=sys.stderr, flush=True)
            else:
                work(properties, item)
                done[properties.message_id] = None
                if len(done) > REMEMBERED_MAX:
                    done.popitem(last=False)
            channel.basic_ack(method.delivery_tag)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
