"""The declaration of a release to the operators who upgrade to it."""

from __future__ import annotations

import pytest

from tests.system.upgrade.declaration import parse

FROM = 'version = "1.0.0"\nupgrades_from = "12300f1"\nway_back = "1.0.0"\n'


def test_a_release_that_declares_nothing_negotiates_nothing_and_loses_no_ping():
    declared = parse(FROM)

    assert (declared.version, declared.upgrades_from) == ("1.0.0", "12300f1")
    assert (declared.max_negotiations, declared.max_lost_pings) == (0, 0)


def test_a_release_declares_one_renegotiation_with_its_announcement_and_its_limit():
    declared = parse(f'{FROM}[renegotiation]\nannouncement = "On Sunday."\nmax_lost_pings = 50')

    assert (declared.max_negotiations, declared.max_lost_pings) == (1, 50)


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{FROM}restarts_charon = true",
        f"{FROM}[renegotiation]\nmax_lost_pings = 50",
        f'{FROM}[renegotiation]\nannouncement = "On Sunday."',
        f'{FROM}[renegotiation]\nannouncement = " "\nmax_lost_pings = 50',
    ],
)
def test_anything_else_is_no_declaration(text):
    with pytest.raises((TypeError, ValueError)):
        parse(text)
