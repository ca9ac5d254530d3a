"""Claims end for tunnels that are not up in time; large networks are granted; peers are claims."""

from ipaddress import IPv4Address, IPv4Network, summarize_address_range
from typing import Any

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

import vpnportal.fields

HOLDING = ("queued", "applying", "live", "fallback")


def keep_what_is_held(apps: Any, schema_editor: Any) -> None:
    """Grant what accounts hold already, and write the claims of peers.

    `claims_until` stays empty: a tunnel that was applied before keeps its claims.
    """
    claim = apps.get_model("vpnportal", "RemoteClaim")
    grant = apps.get_model("vpnportal", "NetworkGrant")
    held = claim.objects.filter(revision__outcome__in=HOLDING)
    rows = held.values_list("revision__tunnel__account", "first", "last").distinct()
    grants = (
        grant(account_id=account, network=network)
        for account, first, last in rows.iterator()
        if needs_grant(network := network_of(first, last))
    )
    grant.objects.bulk_create(grants, batch_size=500)
    peers = apps.get_model("vpnportal", "Revision").objects.filter(outcome__in=HOLDING)
    claims = []
    for revision, peer in peers.values_list("pk", "remote_peer").iterator():
        address = int(IPv4Address(peer))
        claims.append(claim(revision_id=revision, first=address, last=address, is_peer=True))
    claim.objects.bulk_create(claims, batch_size=500)


def forget_peers(apps: Any, schema_editor: Any) -> None:
    """Delete the claims of peers, which the migration before does not know."""
    apps.get_model("vpnportal", "RemoteClaim").objects.filter(is_peer=True).delete()


def network_of(first: int, last: int) -> IPv4Network:
    """Return the network from the first to the last address."""
    (network,) = summarize_address_range(IPv4Address(first), IPv4Address(last))
    return network


def needs_grant(network: IPv4Network) -> bool:
    """Return True for a network that Apply now refuses without a grant."""
    return network.is_global or network.prefixlen < 8


class Migration(migrations.Migration):
    dependencies = [
        ("vpnportal", "0017_marks"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="NetworkGrant",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("network", vpnportal.fields.NetworkField(max_length=18)),
                ("granted_at", models.DateTimeField(auto_now_add=True)),
            ],
        ),
        migrations.AddField(
            model_name="remoteclaim",
            name="is_peer",
            field=models.BooleanField(default=False),
        ),
        migrations.AddField(
            model_name="tunnel",
            name="claims_until",
            field=models.DateTimeField(editable=False, null=True),
        ),
        migrations.AlterField(
            model_name="remoteclaim",
            name="first",
            field=models.BigIntegerField(),
        ),
        migrations.AddIndex(
            model_name="remoteclaim",
            index=models.Index(models.F("first"), models.F("last"), name="claims_by_address"),
        ),
        migrations.AddField(
            model_name="networkgrant",
            name="account",
            field=models.ForeignKey(
                on_delete=django.db.models.deletion.CASCADE,
                related_name="network_grants",
                to="vpnportal.account",
            ),
        ),
        migrations.AddField(
            model_name="networkgrant",
            name="granted_by",
            field=models.ForeignKey(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddConstraint(
            model_name="networkgrant",
            constraint=models.UniqueConstraint(
                models.F("account"),
                models.F("network"),
                name="one_grant_per_network",
                violation_error_message="This account has this grant already.",
            ),
        ),
        migrations.RunPython(keep_what_is_held, forget_peers),
    ]
