"""A subscription's life by python-o365, at `graphhook simulate api`.

Takes one JSON object: graph, tenant, app, secret, notificationUrl, clientState. REQUESTS_CA_BUNDLE says whom to believe.
Prints what it saw as one JSON object.
"""

import json
import sys

import requests
from msal import ConfidentialClientApplication
from O365 import Account
from O365.connection import MSGraphProtocol
from O365.utils.token import MemoryTokenBackend

told = json.loads(sys.argv[1])
graph = told["graph"]


class Protocol(MSGraphProtocol):
    """Graph, somewhere else."""

    _protocol_url = f"{graph}/"
    _oauth_scope_prefix = f"{graph}/"


account = Account(
    (told["app"], told["secret"]),
    protocol=Protocol(),
    auth_flow_type="credentials",
    tenant_id=told["tenant"],
    token_backend=MemoryTokenBackend(),
)
# The library knows one login; what asks it is MSAL, and can be given another.
account.con._msal_client = ConfidentialClientApplication(
    client_id=told["app"],
    client_credential=told["secret"],
    authority=f"{graph}/{told['tenant']}",
    token_cache=account.con.token_backend,
    instance_discovery=False,
)
assert account.authenticate(), "no token"

subscriptions = account.subscriptions()
made = subscriptions.create_subscription(
    told["notificationUrl"],
    "users/a@contoso.com/mailFolders('inbox')/messages",
    ["created", "updated"],
    expiration_minutes=60,
    client_state=told["clientState"],
)
listed = [one["id"] for one in subscriptions.list_subscriptions()]
renewed = subscriptions.renew_subscription(made["id"], expiration_minutes=120)
got = subscriptions.get_subscription(made["id"])
sent = requests.post(f"{graph}/simulate/notify", json={"subscription": made["id"]}).json()["sent"]
deleted = subscriptions.delete_subscription(made["id"])
print(
    json.dumps(
        {
            "id": made["id"],
            "listed": listed,
            "prolonged": made["expirationDateTime"] < renewed["expirationDateTime"] == got["expirationDateTime"],
            "sent": sent[0]["status"],
            "deleted": deleted,
            "left": [one["id"] for one in subscriptions.list_subscriptions()],
        }
    )
)
