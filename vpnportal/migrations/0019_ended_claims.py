"""Delete the claims that ended: they are no longer read, and there is one set for each apply."""

from typing import Any

from django.db import migrations
from django.db.models import Q

HOLDING = ("queued", "applying", "live", "fallback")


def delete_ended(apps: Any, schema_editor: Any) -> None:
    """Delete the claims of revisions that hold nothing. A revision that was up may still."""
    ended = ~Q(revision__outcome__in=HOLDING)
    was_up = Q(revision__outcome="failed", revision__first_up_at__isnull=False)
    claims = apps.get_model("vpnportal", "RemoteClaim").objects
    claims.filter(ended).exclude(was_up).delete()


class Migration(migrations.Migration):
    dependencies = [("vpnportal", "0018_claims")]

    operations = [migrations.RunPython(delete_ended, migrations.RunPython.noop)]
