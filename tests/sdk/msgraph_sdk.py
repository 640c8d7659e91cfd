"""A subscription's life by the Microsoft Graph SDK for Python, at `graphhook simulate api`.

Takes one JSON object: graph, tenant, app, secret, notificationUrl, clientState. REQUESTS_CA_BUNDLE and SSL_CERT_FILE say
whom to believe. Prints what it saw as one JSON object.
"""

import asyncio
import json
import sys
from datetime import datetime, timedelta, timezone
from urllib.parse import urlsplit

import requests
from azure.identity import ClientSecretCredential
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph import GraphServiceClient
from msgraph.generated.models.subscription import Subscription
from msgraph.graph_request_adapter import GraphRequestAdapter

told = json.loads(sys.argv[1])
graph = told["graph"]


def client():
    credential = ClientSecretCredential(
        told["tenant"], told["app"], told["secret"], authority=graph, disable_instance_discovery=True
    )
    provider = AzureIdentityAuthenticationProvider(
        credential, scopes=[f"{graph}/.default"], allowed_hosts=[urlsplit(graph).hostname]
    )
    adapter = GraphRequestAdapter(provider)
    adapter.base_url = f"{graph}/v1.0"
    return GraphServiceClient(request_adapter=adapter)


def ahead(minutes):
    return datetime.now(timezone.utc) + timedelta(minutes=minutes)


async def main():
    subscriptions = client().subscriptions
    made = await subscriptions.post(
        Subscription(
            change_type="created,updated",
            notification_url=told["notificationUrl"],
            resource="/users/a@contoso.com/mailFolders('inbox')/messages",
            expiration_date_time=ahead(60),
            client_state=told["clientState"],
        )
    )
    listed = [one.id for one in (await subscriptions.get()).value]
    one = subscriptions.by_subscription_id(made.id)
    renewed = await one.patch(Subscription(expiration_date_time=ahead(120)))
    await one.reauthorize.post()
    got = await one.get()
    sent = requests.post(f"{graph}/simulate/notify", json={"subscription": made.id}).json()["sent"]
    await one.delete()
    left = [one.id for one in (await subscriptions.get()).value]
    return {
        "id": made.id,
        "listed": listed,
        "prolonged": made.expiration_date_time < renewed.expiration_date_time == got.expiration_date_time,
        "sent": sent[0]["status"],
        "deleted": True,
        "left": left,
    }


print(json.dumps(asyncio.run(main())))
