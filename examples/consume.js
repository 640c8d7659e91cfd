// Reads notifications from graphhook's queue, graph.notifications, and acknowledges each one when it is done.
//
//     npm install amqplib
//     node consume.js [AMQP-URL [QUEUE]]

"use strict";
const amqp = require("amqplib");

const url = process.argv[2] ?? "amqp://guest:guest@127.0.0.1:5672/%2f";
const queue = process.argv[3] ?? "graph.notifications";

// The same messageId may come twice. A real consumer makes it a unique key in its database, written together
// with the work; what a process remembers is gone when it ends.
const done = new Set();
const rememberedMax = 100_000;

// The item, or null if this is no JSON object: somebody else may publish to the queue.
// JSON.parse rounds integers above 2^53, such as the sequenceNumber of users and groups.
function parse(content) {
  try {
    const item = JSON.parse(content.toString("utf8"));
    return typeof item === "object" && !Array.isArray(item) ? item : null;
  } catch {
    return null;
  }
}

// Your work. When it throws, the program ends, and the broker gives the message to the next consumer.
async function work(properties, item) {
  if (properties.type === "lifecycle") {
    console.log("lifecycle", item.lifecycleEvent, item.subscriptionId);
  } else if (properties.type === "gap") {
    // Changes may be missing: fetch them by a delta query (docs/gaps.md).
    console.log("gap", item.reason, item.subscriptionId);
  } else {
    console.log("notification", item.changeType, item.resource);
  }
}

async function main() {
  const connection = await amqp.connect(url);
  const channel = await connection.createChannel();
  await channel.prefetch(1); // one after the other: work() is never entered twice at once

  await channel.consume(queue, async (message) => {
    if (message === null) throw new Error(`the queue ${queue} is gone`);
    const { messageId } = message.properties;
    const item = parse(message.content);
    if (done.has(messageId)) {
      console.log("again", messageId);
    } else if (item === null) {
      console.error("skipped", messageId, "no JSON object");
    } else {
      await work(message.properties, item);
      done.add(messageId);
      if (done.size > rememberedMax) done.delete(done.values().next().value);
    }
    channel.ack(message);
  });
}

main();
