"""A receiver in flask, after the one that python-o365 documents, to be tried by `graphhook simulate conformance`.

    pip install -r requirements.txt
    PORT=8443 TLS_CERTIFICATE=cert.pem TLS_KEY=key.pem python3 receiver.py

What is answered, and why, is as in O365/python-o365, examples/subscriptions_example.py at c708579d, and on the page of its
documentation about subscriptions: a validationToken comes back as plain text; anything else is taken for JSON, printed
and answered with 202. What is no JSON counts as an empty object, and no clientState is looked at: the original gives one to
Graph with the subscription and compares it with nothing. So it needs none here.

Left out: the pages that make, renew and delete subscriptions, and the account that they need. Different: certificate, key and
port come from the environment, and flask runs without its debugger and without the second process that reloads the code.
"""

import os

from flask import Flask, request

app = Flask(__name__)


@app.post("/webhook")
def webhook():
    token = request.args.get("validationToken")
    if token:
        return token, 200, {"Content-Type": "text/plain"}
    body = request.get_json(silent=True) or {}
    print("received", body, flush=True)
    return "", 202


if __name__ == "__main__":
    app.run(
        port=int(os.environ.get("PORT", "8443")),
        ssl_context=(os.environ["TLS_CERTIFICATE"], os.environ["TLS_KEY"]),
    )
