// A receiver in express, after Microsoft's Node sample, to be tried by `graphhook simulate conformance`.
//
//     npm ci
//     PORT=8443 TLS_CERTIFICATE=cert.pem TLS_KEY=key.pem SUBSCRIPTION_CLIENT_STATE=... node receiver.js
//
// What is answered, and when it fails, is as in microsoftgraph/nodejs-webhooks-sample at eab34b1d: app.js, routes/listen.js,
// routes/lifecycle.js, helpers/tokenHelper.js and helpers/certHelper.js. Its names of variables are kept, and so is what
// looks odd: == for the clientState, a reduce() that throws where there is nothing to reduce, no case for what is no item.
//
// Left out: sign-in, sessions, pages, sockets to browsers, and what is asked of Graph before the answer: the message itself, the
// renewal. There is no database of subscriptions, so each one counts as known. Different: TLS, which the original leaves to
// a tunnel; JWKS_URI, for tokens of somebody else than Microsoft; the page for errors is express's own, under the same status.
"use strict";
const crypto = require("node:crypto");
const fs = require("node:fs");
const https = require("node:https");
const express = require("express");
const promiseRouter = require("express-promise-router");
const jwt = require("jsonwebtoken");
const jwksClient = require("jwks-rsa");

const { env } = process;
const keys = jwksClient({ jwksUri: env.JWKS_URI ?? "https://login.microsoftonline.com/common/discovery/v2.0/keys" });

// Whether signature, audience, issuer and times are right. Who the token was made for is not asked.
function isTokenValid(token) {
  const getKey = (header, done) =>
    keys.getSigningKey(header.kid).then((key) => done(null, key.getPublicKey()), done);
  const wanted = { audience: [env.OAUTH_CLIENT_ID], issuer: [`https://sts.windows.net/${env.OAUTH_TENANT_ID}/`] };
  return new Promise((resolve) => jwt.verify(token, getKey, wanted, (error) => resolve(!error)));
}

// The resource, or nothing where the signature is wrong. Throws when the key does not fit.
function open({ data, dataKey, dataSignature }) {
  const key = crypto.privateDecrypt(fs.readFileSync(env.PRIVATE_KEY_PATH, "utf8"), Buffer.from(dataKey, "base64"));
  if (crypto.createHmac("sha256", key).update(data, "base64").digest("base64") !== dataSignature) return undefined;
  const decipher = crypto.createDecipheriv("aes-256-cbc", key, key.subarray(0, 16));
  return JSON.parse(decipher.update(data, "base64", "utf8") + decipher.final("utf8"));
}

// Where the original asks Graph for the message, and shows it in a browser.
function work(item) {
  const found = item.encryptedContent ? open(item.encryptedContent) : item.resourceData.id;
  console.log("received", found);
}

// Answers the handshake, if this is one.
function shakesHands(req, res) {
  const token = req.query && req.query.validationToken;
  if (token) res.set("Content-Type", "text/plain").send(token);
  return Boolean(token);
}

const listen = promiseRouter();
listen.post("/", async (req, res) => {
  if (shakesHands(req, res)) return;
  console.log(JSON.stringify(req.body, null, 2));
  let valid = true;
  if (req.body.validationTokens) {
    const verdicts = await Promise.all(req.body.validationTokens.map(isTokenValid));
    valid = verdicts.reduce((one, other) => one && other);
  }
  if (valid) {
    for (let i = 0; i < req.body.value.length; i++) {
      const item = req.body.value[i];
      if (item.clientState == env.SUBSCRIPTION_CLIENT_STATE) work(item);
    }
  }
  res.status(202).end();
});

const lifecycle = promiseRouter();
lifecycle.post("/", async (req, res) => {
  if (shakesHands(req, res)) return;
  console.log(JSON.stringify(req.body, null, 2));
  for (let i = 0; i < req.body.value.length; i++) {
    const item = req.body.value[i];
    if (item.clientState === env.SUBSCRIPTION_CLIENT_STATE) console.log("received", item.lifecycleEvent);
  }
  res.status(202).end();
});

const app = express();
app.use(express.json());
app.use(express.urlencoded({ extended: false }));
app.use("/listen", listen);
app.use("/lifecycle", lifecycle);

const identity = { cert: fs.readFileSync(env.TLS_CERTIFICATE), key: fs.readFileSync(env.TLS_KEY) };
const server = https.createServer(identity, app);
server.listen(Number(env.PORT ?? 8443), "127.0.0.1", () => {
  console.log(`listening on https://127.0.0.1:${server.address().port}`);
});
