"""The operations that `test_races.py` lets two threads do at once."""

from __future__ import annotations

from django.utils import timezone

from tests.fake_gateway import FakeGateway
from tests.integration import race_preparations as rows
from tests.integration.race_preparations import Operation
from tests.integration.race_scene import SHARED, UNUSED
from vpnportal import models, services
from vpnportal.domain.planning.sa_status import SaStatus
from vpnportal.models import AddressPool, Revision, Role, Subnet, Tunnel
from vpnportal.reconciler import (
    address_release,
    epochs,
    key_rotation,
    revision_outcomes,
    sa_status_store,
    trials,
)

EDITS = (
    Operation("edit", lambda s, t, _: services.edit(t, "dpd_seconds", 30, s.ada)),
    Operation(
        "edit_fields",
        lambda s, t, _: services.edit_fields(t, {"notes": "n", "preshared_key": "k"}, s.ada),
    ),
    Operation("set_preshared_key", lambda s, t, _: services.set_preshared_key(t, "new", s.ada)),
    Operation("generate_preshared_key", lambda s, t, _: services.generate_preshared_key(t, s.ada)),
    Operation("reveal_preshared_key", lambda s, t, _: services.reveal_preshared_key(t, s.ada)),
    Operation(
        "record_key_reveals",
        lambda s, t, _: services.record_key_reveals([s.neighbour.pk, s.tunnel.pk], s.ada),
    ),
    Operation("add_remote_subnet", lambda s, t, _: services.add_remote_subnet(t, UNUSED, s.ada)),
    Operation(
        "remove_remote_subnet",
        lambda s, t, subnet: services.remove_remote_subnet(t, subnet.pk, s.ada),
        lambda s, t: s.subnet(SHARED),
    ),
    Operation(
        "add_shared_subnet",
        lambda s, t, _: services.add_remote_subnet(t, SHARED, s.ada),
        lambda s, t: rows.without_shared(t, s),
    ),
    Operation(
        "make_customer_subnet", lambda s, t, _: services.make_customer_subnet(s.account, UNUSED)
    ),
    Operation(
        "attach_customer_subnet",
        lambda s, t, subnet: services.attach_customer_subnet(t, subnet, s.ada),
        rows.unused_subnet,
    ),
    Operation(
        "delete_customer_subnet",
        lambda s, t, subnet: services.delete_customer_subnet(subnet),
        rows.unused_subnet,
    ),
    Operation(
        "attach_subnet",
        lambda s, t, _: services.attach_subnet(t, s.offered, s.ada),
        answers=(Subnet.DoesNotExist,),
    ),
    Operation(
        "detach_subnet",
        lambda s, t, _: services.detach_subnet(t, s.offered, s.ada),
        lambda s, t: services.attach_subnet(t, s.offered, s.ada),
    ),
    Operation(
        "set_translations",
        lambda s, t, row: services.set_translations(
            t,
            [services.TranslationRow(row.as_value().internal, row.as_value().customer, "x")],
            s.ada,
        ),
        rows.translation,
    ),
    Operation(
        "add_translations",
        lambda s, t, row: services.add_translations(
            t,
            [
                services.TranslationRow(row.as_value().internal + 1, row.as_value().customer + 1),
            ],
            s.ada,
        ),
        rows.translation,
    ),
    Operation(
        "edit_translations",
        lambda s, t, row: services.edit_translations(
            t, {row.pk: services.TranslationEdit(name="y")}, s.ada
        ),
        rows.translation,
        (models.AddressTranslation.DoesNotExist,),
    ),
    Operation(
        "remove_translation",
        lambda s, t, row: services.remove_translation(t, row.pk, s.ada),
        rows.translation,
        (models.AddressTranslation.DoesNotExist,),
    ),
    Operation(
        "request_import",
        lambda s, t, changes: services.request_import(t, changes, s.ada),
        rows.changes,
    ),
    Operation(
        "run_import_step", lambda s, t, pk: services.run_import_step(pk), rows.unfinished_import
    ),
    Operation("discard", lambda s, t, _: services.discard(t, s.ada)),
    Operation("revert_field", lambda s, t, _: services.revert_field(t, "phase_two_group", s.ada)),
    Operation(
        "restore",
        lambda s, t, revision: services.restore(t, revision, s.ada),
        lambda s, t: t.revisions.get(number=1),
    ),
    Operation("undo", lambda s, t, _: services.undo(t, s.ada), rows.discarded),
    Operation(
        "use_learned_values",
        lambda s, t, probe: services.use_learned_values(t, probe, s.ada),
        rows.probe,
    ),
    Operation(
        "fill_missing_digests",
        lambda s, t, _: services.fill_missing_digests(),
        lambda s, t: Tunnel.objects.update(draft_digest=""),
    ),
)
HELD = (
    Operation(
        "keep_gateways",
        lambda s, t, _: services.keep_gateways([t.pk], s.ada),
        lambda s, t: rows.held(s, t),
    ),
    Operation(
        "take_backups",
        lambda s, t, _: services.take_backups([t.pk], s.ada),
        lambda s, t: rows.held(s, t),
    ),
    Operation(
        "forget_gateway",
        lambda s, t, _: services.forget_gateway(s.concentrator),
        lambda s, t: rows.held(s, t),
    ),
    Operation(
        "set_envelope_key",
        lambda s, t, key: services.set_envelope_key(s.concentrator, key),
        rows.new_key,
    ),
    Operation(
        "note_joined",
        lambda s, t, key: services.note_joined(s.concentrator.name, key, timezone.now()),
        rows.new_key,
    ),
    Operation("note_removed", lambda s, t, _: services.note_removed(s.concentrator.name)),
    Operation(
        "add_concentrator",
        lambda s, t, _: services.add_concentrator(
            s.concentrator.name, "", "", "", [(AddressPool.Kind.STATIC_NAT, "10.150.0.0/24")]
        ),
    ),
    Operation("compare", lambda s, t, _: epochs.compare(s.concentrator, None, {t.pk: None})),
)
COMMANDS = (
    Operation(
        "begin_rotation",
        lambda s, t, _: services.begin_rotation(t, 7, s.ada),
        rows.with_new_key,
    ),
    Operation("end_rotation", lambda s, t, _: services.end_rotation(t, s.ada, True), rows.rotating),
    Operation("cancel_rotation", lambda s, t, _: services.cancel_rotation(t, s.ada), rows.rotating),
    Operation("end_due_rotations", lambda s, t, _: services.end_due_rotations(), rows.rotating),
    Operation(
        "choose_other_key",
        lambda s, t, _: key_rotation.choose_other_key(t.pk, timezone.now()),
        rows.rotating,
    ),
    Operation("apply", lambda s, t, _: services.apply(t, s.ada)),
    Operation("apply_with_trial", lambda s, t, _: services.apply(t, s.ada, services.Trial(5))),
    Operation("apply_over_expired", lambda s, t, _: services.apply(t, s.ada), rows.expired),
    Operation("connect", lambda s, t, _: services.connect(t, s.ada)),
    Operation("disconnect", lambda s, t, _: services.disconnect(t, s.ada)),
    Operation("disconnect_trial", lambda s, t, _: services.disconnect(t, s.ada), rows.due_trial),
    Operation("reconnect", lambda s, t, _: services.reconnect(t, s.ada)),
    Operation("rekey", lambda s, t, _: services.rekey(t, s.ada)),
    Operation(
        "start_probe",
        lambda s, t, _: services.start_probe(t, s.ada),
        lambda s, t: Tunnel.objects.update(sa_status=SaStatus.DOWN),
    ),
    Operation("order", lambda s, t, _: services.order(s.account, s.concentrator.datacenter, s.ada)),
    Operation("cancel", lambda s, t, _: services.cancel(t, s.ada)),
    Operation("move", lambda s, t, _: services.move(t, s.other_concentrator, s.ada)),
)
MEMBERS = (
    Operation("invite", lambda s, t, _: services.invite(s.account, Role.VIEWER, "", s.olga)),
    Operation("accept_invitation", lambda s, t, _: services.accept_invitation(s.token, s.eve)),
    Operation(
        "revoke_invitation",
        lambda s, t, invitation: services.revoke_invitation(invitation),
        lambda s, t: s.account.invitations.first(),
    ),
    Operation(
        "set_member_role",
        lambda s, t, membership: services.set_member_role(membership, Role.VIEWER),
        rows.membership_of("olga"),
    ),
    Operation(
        "remove_member",
        lambda s, t, membership: services.remove_member(membership),
        rows.membership_of("ada"),
    ),
    Operation("create_api_key", lambda s, t, _: services.create_api_key(s.account, s.ada, "other")),
    Operation(
        "revoke_api_key",
        lambda s, t, key: services.revoke_api_key(key),
        lambda s, t: s.account.api_keys.first(),
    ),
)
# What the worker, the monitor and the admin write beside the services.
OTHERS = (
    Operation("mark_live", lambda s, t, r: revision_outcomes.mark_live([r]), rows.queued),
    Operation("begin_trial", lambda s, t, r: revision_outcomes.mark_live([r]), rows.queued_trial),
    Operation(
        "evaluate_trial",
        lambda s, t, r: trials.evaluate(r, FakeGateway(), FakeGateway().observe()[1]),
        rows.due_trial,
    ),
    Operation(
        "fail_overdue", lambda s, t, r: revision_outcomes.fail_overdue([r], "away"), rows.queued
    ),
    Operation(
        "fail_refused",
        lambda s, t, r: revision_outcomes.fail_refused({"ctx": r.pk}, {"ctx": "refused"}),
        lambda s, t: t.revisions.get(outcome=Revision.Outcome.LIVE),
    ),
    Operation("complete_release", lambda s, t, r: address_release.complete(r), rows.due_release),
    Operation("save_all_up", lambda s, t, _: rows.save_all(s, t, SaStatus.UP)),
    Operation("save_all_down", lambda s, t, _: rows.save_all(s, t, SaStatus.DOWN)),
    Operation(
        "save_one",
        lambda s, t, _: sa_status_store.save_one(
            s.concentrator, t.pk, {t.pk: SaStatus.UP}, timezone.now()
        ),
    ),
    Operation(
        "mark_up",
        lambda s, t, pks: revision_outcomes.mark_up(pks),
        lambda s, t: list(Revision.objects.order_by("-pk").values_list("pk", flat=True)),
    ),
    Operation("mark_accepted", lambda s, t, _: revision_outcomes.mark_accepted_by_peer(t.pk)),
    Operation("save_traffic", lambda s, t, _: rows.save_traffic(s, t)),
    Operation("save_log", lambda s, t, _: rows.save_log(s, t)),
    Operation("save_usage", lambda s, t, _: rows.save_usage(s, t)),
    Operation("add_pool", rows.add_pool),
    Operation("add_provider_subnet", rows.add_provider_subnet),
    Operation("delete_offered", rows.delete_offered),
)
OPERATIONS = (*HELD, *EDITS, *COMMANDS, *MEMBERS, *OTHERS)
