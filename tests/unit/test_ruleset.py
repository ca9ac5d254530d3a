"""Version of the nftables ruleset, which is in the comment of each rule on every gateway."""

from __future__ import annotations

import pytest

from vpnportal.gateway.netfilter import ruleset


@pytest.mark.parametrize(
    ("userland_esp", "digest"),
    [(True, "vpnportal 85d13e586a46"), (False, "vpnportal a7394fc0a75b")],
)
def test_the_digest_changes_with_the_rules_only(userland_esp: bool, digest: str):
    # Another digest makes each gateway rewrite its rules: change it with the rules, not before.
    assert ruleset.digest(userland_esp) == digest
