// A receiver in express that publishes by amqplib, with confirms: what graphhook is measured beside.
//
//     npm ci
//     PORT=8443 TLS_CERTIFICATE=cert.pem TLS_KEY=key.pem CLIENT_STATE=... BROKER=amqp://... EXCHANGE=graph node receiver.js
//
// WORKERS says how many processes there are; over one, they share the port by node:cluster. Each part is written as the
// documentation of its library shows it: one connection and one confirm channel for a process, all items of a POST published
// together, waitForConfirms() before the answer. The messages are persistent, and otherwise have what amqplib gives them.
"use strict";
const cluster = require("node:cluster");
const fs = require("node:fs");
const https = require("node:https");
const amqplib = require("amqplib");
const express = require("express");

const { env } = process;

// notification.message.created, for an item about a message: the last segment of #Microsoft.Graph.Message.
function routingKey(item) {
  const resourceType = item.resourceData?.["@odata.type"]?.split(".").pop().toLowerCase() ?? "unknown";
  return `notification.${resourceType}.${item.changeType ?? "unknown"}`;
}

function receiver(channel) {
  const app = express();
  app.use(express.json({ limit: "4mb" }));
  app.post("/graph/notifications", async (req, res) => {
    const token = req.query.validationToken;
    if (token) return res.type("text/plain").send(token);
    for (const item of req.body.value) {
      if (item.clientState !== env.CLIENT_STATE) continue;
      channel.publish(env.EXCHANGE, routingKey(item), Buffer.from(JSON.stringify(item)), {
        persistent: true,
        contentType: "application/json",
        messageId: item.id,
      });
    }
    await channel.waitForConfirms();
    res.status(202).end();
  });
  return app;
}

async function serve() {
  const connection = await amqplib.connect(env.BROKER);
  const channel = await connection.createConfirmChannel();
  await channel.assertExchange(env.EXCHANGE, "topic", { durable: true });
  const identity = { cert: fs.readFileSync(env.TLS_CERTIFICATE), key: fs.readFileSync(env.TLS_KEY) };
  const server = https.createServer(identity, receiver(channel));
  server.listen(Number(env.PORT), "127.0.0.1", () => console.log(`listening on ${server.address().port}`));
}

const workers = Number(env.WORKERS ?? 1);
if (cluster.isPrimary && workers > 1) {
  for (let i = 0; i < workers; i++) cluster.fork();
} else {
  serve();
}
