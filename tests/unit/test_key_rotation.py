"""A rotation of the preshared key: names stay, both keys are loaded, one of them last."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address

import pytest

from tests.fake_gateway import FakeGateway
from tests.observation import observe
from tests.unit.samples import EXAMPLE, KEY, example
from tests.unit.test_plan import gateway_with
from vpnportal.domain.diagnosis.key_rejection import KeyAttempt, key_attempt
from vpnportal.domain.diagnosis.log_lines import LogLine, Role
from vpnportal.domain.gateway_config.compile import compile_tunnel, with_next_key_only
from vpnportal.domain.gateway_config.desired import CompiledTunnel, Desired
from vpnportal.domain.planning.observed import IkeSa, Scope
from vpnportal.domain.planning.plan import Plan, make_plan, plan_without_sas
from vpnportal.domain.tunnel.serialization import deserialize, serialize, spec_digest
from vpnportal.domain.tunnel.spec import TunnelSpec
from vpnportal.domain.tunnel.spec_diff import diff_specs

OLD, NEW = EXAMPLE.preshared_key, "a new key of the peer"
WINDOW = example(next_key=NEW)
OVER = with_next_key_only(WINDOW, KEY)


def compiled(spec: TunnelSpec, signs_with_next: bool = False) -> CompiledTunnel:
    return replace(compile_tunnel(spec, KEY, 42), signs_with_next=signs_with_next)


def converge(gateway: FakeGateway, tunnel: CompiledTunnel, scoped: bool) -> list[Plan]:
    """Apply plans until one is empty, of the tunnel alone or of the whole gateway."""
    desired, plans = Desired.of([tunnel]), list[Plan]()
    ids = frozenset((*gateway.secrets, *desired.secrets))
    scope = None
    if scoped:
        scope = Scope("ctx42", ids, desired.elements, desired.routes, lists_secrets=True)
    while plan := make_plan(desired, observe(gateway, scope), scope):
        assert len(plans) < 3, plan
        gateway.apply(plan, True, lambda step: None)
        plans.append(plan)
    return plans


def keys(gateway: FakeGateway) -> list[str]:
    """Return the loaded keys, first the one with which charon authenticates."""
    return [secret.data for secret in gateway.secrets.values()]


@pytest.mark.parametrize("scoped", [False, True])
def test_a_rotation_changes_only_keys_and_ends_no_sa(scoped: bool):
    gateway = gateway_with(EXAMPLE)
    ike_sas, initiated = list(gateway.ike_sas), list(gateway.initiated)
    seen = [keys(gateway)]

    for tunnel in (compiled(WINDOW), compiled(WINDOW, signs_with_next=True), compiled(OVER)):
        plans = converge(gateway, tunnel, scoped)
        assert not any(plan.terminates_sas or plan.initiate for plan in plans)
        seen.append(keys(gateway))

    assert seen == [[OLD], [OLD, NEW], [NEW, OLD], [NEW]]
    assert (gateway.ike_sas, gateway.initiated) == (ike_sas, initiated)


def test_the_plans_of_begin_and_end_need_no_list_of_sas():
    gateway = gateway_with(EXAMPLE)
    for tunnel in (compiled(WINDOW), compiled(OVER)):
        desired = Desired.of([tunnel])
        ids = frozenset((*gateway.secrets, *desired.secrets))
        scope = Scope("ctx42", ids, desired.elements, desired.routes, lists_secrets=True)
        plan = plan_without_sas(desired, observe(gateway, scope), scope)
        assert plan.load_secrets or plan.unload_secrets
        gateway.apply(plan, True, lambda step: None)
    assert keys(gateway) == [NEW]


def test_the_other_key_ends_an_ike_sa_that_still_initiates_with_the_rejected_one():
    gateway = gateway_with(EXAMPLE)
    converge(gateway, compiled(WINDOW), scoped=True)
    gateway.ike_sas = [IkeSa("ctx42", "7", "CONNECTING", ())]
    desired = Desired.of([compiled(WINDOW, signs_with_next=True)])
    scope = Scope("ctx42", frozenset(desired.secrets), desired.elements, lists_secrets=True)

    assert not plan_without_sas(desired, observe(gateway, scope), scope)
    plan = make_plan(desired, observe(gateway, scope), scope)
    assert [stale.unique_id for stale in plan.terminate_dialing] == ["7"]

    converge(gateway, compiled(WINDOW, signs_with_next=True), scoped=True)
    assert (keys(gateway), len(gateway.initiated)) == ([NEW, OLD], 2)


def test_a_window_keeps_the_ike_sa_that_a_failed_authentication_would_replace():
    settings = [compile_tunnel(spec, KEY).connection for spec in (EXAMPLE, WINDOW, OVER)]
    assert [each.settings["unique"] for each in settings] == ["replace", "never", "replace"]
    assert [each.as_loaded.unique for each in settings] == [
        "UNIQUE_REPLACE",
        "UNIQUE_NEVER",
        "UNIQUE_REPLACE",
    ]


def test_a_second_rotation_keeps_the_names_of_the_first():
    again = with_next_key_only(replace(OVER, next_key="a third key"), KEY)
    children = {compile_tunnel(spec, KEY).connection.children for spec in (EXAMPLE, OVER, again)}
    assert len(children) == 1
    assert len({compile_tunnel(spec, KEY).secret.id for spec in (EXAMPLE, OVER, again)}) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"preshared_key": "yet another key"},
        {"ike_version": 2},
        {"remote_peer": IPv4Address("203.0.113.9")},
    ],
)
def test_a_change_of_key_or_ike_settings_after_a_rotation_renames_the_children(change):
    before, after = compile_tunnel(OVER, KEY), compile_tunnel(replace(OVER, **change), KEY)
    assert not before.connection.children & after.connection.children


def test_a_lineage_holds_for_the_concentrator_of_its_key_alone():
    moved = compile_tunnel(OVER, b"o" * 32)
    assert moved.connection.children == (
        compile_tunnel(replace(OVER, lineage=""), b"o" * 32).connection.children
    )


def test_the_release_before_reads_a_rotation_as_the_old_key_and_others_as_ever():
    assert json.loads(serialize(EXAMPLE)).keys() == set(TunnelSpec.__slots__) - {
        "next_key",
        "lineage",
    }
    stored = json.loads(serialize(WINDOW))
    assert (stored["preshared_key"], stored["next_key"]) == (OLD, NEW)
    for spec in (EXAMPLE, WINDOW, OVER):
        assert deserialize(serialize(spec)) == spec


def test_a_draft_with_the_next_key_has_no_pending_change_during_and_after_a_rotation():
    draft = example(preshared_key=NEW)
    for applied in (WINDOW, OVER):
        assert diff_specs(applied, draft) == ()
        assert spec_digest(applied, KEY) == spec_digest(draft, KEY)
    (change,) = diff_specs(WINDOW, EXAMPLE)
    assert (change.field, change.after) == ("preshared_key", "changed")


def attempt(role: Role, *texts: str) -> KeyAttempt:
    """Return the last attempt in these lines, which are a second apart."""
    at = datetime(2026, 12, 1, tzinfo=UTC)
    return key_attempt(
        [LogLine(at + timedelta(seconds=n), role, text, "e-1") for n, text in enumerate(texts)]
    )


MAIN_MODE = (
    "initiating Main Mode IKE_SA ctx42[7] to 203.0.113.2",
    "generating ID_PROT request 0 [ SA V V ]",
    "selected proposal: IKE:AES_CBC_256/HMAC_SHA2_256_128/PRF_HMAC_SHA2_256/MODP_1536",
    "generating ID_PROT request 0 [ ID HASH ]",
)


@pytest.mark.parametrize(
    ("role", "texts", "is_rejected"),
    [
        (Role.INITIATOR, (*MAIN_MODE, "giving up after 5 retransmits"), True),
        (Role.INITIATOR, (*MAIN_MODE[:2], "giving up after 5 retransmits"), False),
        (Role.INITIATOR, (*MAIN_MODE, "giving up after 5 retransmits", *MAIN_MODE), False),
        (
            Role.INITIATOR,
            (
                "generating IKE_AUTH request 1 [ IDi ]",
                "received AUTHENTICATION_FAILED notify error",
            ),
            True,
        ),
        (
            Role.RESPONDER,
            (
                "parsed IKE_AUTH request 1 [ IDi IDr AUTH ]",
                "tried 2 shared keys for '203.0.113.1' - '203.0.113.2', but MAC mismatched",
            ),
            False,
        ),
    ],
    ids=["silent", "unreachable", "tries again", "refused", "a third key"],
)
def test_an_attempt_shows_whether_the_peer_rejected_our_key(role, texts, is_rejected):
    assert attempt(role, *texts).is_rejected is is_rejected


def test_neither_key_is_in_the_representation_of_a_specification():
    assert OLD not in repr(WINDOW) and NEW not in repr(WINDOW)
