"""The translation table as a file: export, a preview of what would change, and all or nothing."""

from __future__ import annotations

import io
from ipaddress import IPv4Address, IPv4Network

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse

from tests.html import form, part, read, words
from vpnportal import services
from vpnportal.models import Subnet, Tunnel
from vpnportal.services import TranslationRow

HEADER = "IP address,Customer IP,Name\r\n"


def at(last: int) -> str:
    return f"10.1.255.{last}"


def keep(tunnel: Tunnel, *rows: tuple[int, str, str]) -> None:
    entered = [
        TranslationRow(IPv4Address(at(n)), IPv4Address(to) if to else None, name)
        for n, to, name in rows
    ]
    services.set_translations(tunnel, entered, User.objects.get(username="ada"))


def kept(tunnel: Tunnel) -> dict[str, tuple[str, str]]:
    rows = tunnel.translations.order_by("internal_address")
    return {row.internal_address: (row.customer_address, row.name) for row in rows}


def export(page, tunnel: Tunnel, **query: str) -> str:
    answer = page.get(reverse("export-translations", args=[tunnel.pk]), query)
    return b"".join(answer.streaming_content).decode("utf-8-sig")


def previewed(page, tunnel: Tunnel, text: str | bytes, **more: str):
    data = text.encode() if isinstance(text, str) else text
    upload = {"file": SimpleUploadedFile("table.csv", data), **more}
    return page.post(reverse("preview-translations", args=[tunnel.pk]), upload)


def pasted(page, tunnel: Tunnel, rows: str, first: str = ""):
    entered = {"rows": rows, "first": first}
    return page.post(reverse("preview-translations", args=[tunnel.pk]), entered)


def imported(page, tunnel: Tunnel, preview):
    carried = [e.get("value") for e in read(preview).iter("input") if e.get("name") == "carried"]
    assert len(carried) == 1, words(preview, "main")
    url = reverse("import-translations", args=[tunnel.pk])
    return page.post(url, {"carried": carried[0]})


def sentences(preview) -> list[str]:
    refusals = (e for e in read(preview).iter("ul") if e.get("class") == "refusal")
    return [" ".join("".join(li.itertext()).split()) for ul in refusals for li in ul.iter("li")]


def changes(preview) -> list[list[str]]:
    rows = (row for body in read(preview).iter("tbody") for row in body.iter("tr"))
    return [[" ".join("".join(cell.itertext()).split()) for cell in row] for row in rows]


def test_a_file_has_the_translated_rows_in_order_or_all_addresses(ready, page):
    keep(ready, (94, "192.168.10.2", "two, three"))

    assert export(page, ready) == (
        HEADER + '10.1.255.92,192.168.10.15,database\r\n10.1.255.94,192.168.10.2,"two, three"\r\n'
    )
    assert [line.split(",")[0] for line in export(page, ready, all="1").splitlines()] == [
        "IP address",
        *(at(n) for n in (92, 93, 94, 95)),
    ]


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'=1", "a;=1+1"])
def test_a_name_that_is_a_formula_is_harmless_in_the_file_and_comes_back_as_it_was(
    ready, page, name
):
    keep(ready, (92, "192.168.10.15", name))
    file = export(page, ready)
    keep(ready, (92, "", ""))

    imported(page, ready, previewed(page, ready, file))

    assert kept(ready) == {at(92): ("192.168.10.15", name)}
    assert f",{name}" not in file.replace('"', "")


def test_a_preview_says_what_would_change_and_saves_nothing(ready, page):
    keep(ready, (93, "192.168.10.16", "web"), (94, "192.168.10.17", ""))
    before = kept(ready)
    file = (
        HEADER
        + "10.1.255.92,192.168.10.15,database\n10.1.255.93,192.168.10.18,web\n"
        + "10.1.255.94,,\n10.1.255.95,192.168.10.19,new\n"
    )

    preview = previewed(page, ready, file)

    assert changes(preview) == [
        ["10.1.255.95", "nothing", "192.168.10.19 new"],
        ["10.1.255.93", "192.168.10.16 web", "192.168.10.18 web"],
        ["10.1.255.94", "192.168.10.17", "nothing"],
    ]
    assert "1 row stays as it is." in words(preview, "main")
    assert kept(ready) == before


def test_importing_does_what_the_preview_said(ready, page):
    preview = previewed(page, ready, HEADER + "10.1.255.93;192.168.10.16;web\n".replace(";", ","))

    answer = imported(page, ready, preview)

    assert answer.headers["Location"] == f"/tunnels/{ready.pk}/#static_nat"
    assert kept(ready) == {
        at(92): ("192.168.10.15", "database"),
        at(93): ("192.168.10.16", "web"),
    }


def test_what_is_missing_in_a_file_is_left_alone_unless_somebody_asked_otherwise(ready, page):
    file = "10.1.255.93,192.168.10.16,web\n"

    alone, removed = previewed(page, ready, file), previewed(page, ready, file, remove="1")

    assert [row[0] for row in changes(alone)] == ["10.1.255.93"]
    assert "are left alone" in words(alone, "main")
    assert [row[0] for row in changes(removed)] == ["10.1.255.93", "10.1.255.92"]
    assert "lose their translation" in words(removed, "main")


def test_one_wrong_line_and_nothing_can_be_imported(ready, page):
    file = (
        HEADER
        + "10.1.255.93,192.168.10.16,right\n10.1.255.94,10.1.255.999,no address\n"
        + "10.1.255.95,192.168.99.1,no network\n10.9.9.9,192.168.10.17,nobody\n"
        + "10.1.255.93,192.168.10.18,twice\nweb,192.168.10.19,x\n10.1.255.92\n"
    )

    preview = previewed(page, ready, file)

    assert preview.status_code == 422
    assert [line.split(":")[0] for line in sentences(preview)] == [f"Line {n}" for n in range(3, 9)]
    assert sentences(preview)[0] == "Line 3: Enter an IPv4 address such as 192.168.10.15."
    assert sentences(preview)[3] == "Line 6: 10.1.255.93 is in line 2 already. Keep one of them."
    assert sentences(preview)[5] == "Line 8: Enter an IP address, a Customer IP and a name."
    assert not [e for e in read(preview).iter("input") if e.get("name") == "carried"]


def test_pasted_rows_without_addresses_go_to_those_from_the_first_on(ready, page):
    imported(page, ready, pasted(page, ready, "192.168.10.1\tone\n192.168.10.2\ttwo", at(93)))

    assert kept(ready) == {
        at(92): ("192.168.10.15", "database"),
        at(93): ("192.168.10.1", "one"),
        at(94): ("192.168.10.2", "two"),
    }


@pytest.mark.parametrize(
    ("rows", "first", "sentence"),
    [
        ("", "", "There is no row in it. Choose a CSV file or paste some rows."),
        ("192.168.10.1", "10.1.255", "Enter the first address as one such as 10.1.255.92."),
        ("192.168.10.1\tone\tmore", "10.1.255.92", "Line 1: Enter a Customer IP and a name."),
        ("192.168.10.1\n192.168.10.2", "255.255.255.255", "Line 2: There is no address for it"),
        ("10.1.255.92,192.168.10.1,[x]", "", "Line 1: Enter one line of printable text"),
    ],
)
def test_pasted_rows_that_are_wrong_are_explained(ready, page, rows, first, sentence):
    answer = pasted(page, ready, rows, first)

    assert answer.status_code == 422
    assert any(told.startswith(sentence) for told in sentences(answer)), sentences(answer)


def test_a_row_that_somebody_changed_since_the_preview_is_not_overwritten(ready, page):
    preview = previewed(page, ready, "10.1.255.92,192.168.10.20,mine\n10.1.255.93,192.168.10.21,\n")
    keep(ready, (92, "192.168.10.30", "theirs"))

    answer = imported(page, ready, preview)

    assert answer.status_code == 409
    assert kept(ready) == {at(92): ("192.168.10.30", "theirs")}
    assert changes(answer)[1] == ["10.1.255.92", "192.168.10.30 theirs", "192.168.10.20 mine"]
    imported(page, ready, answer)
    assert kept(ready)[at(92)] == ("192.168.10.20", "mine")


def test_a_preview_cannot_be_forged_or_used_for_another_tunnel(ready, second_tunnel, page):
    preview = previewed(page, ready, "10.1.255.93,192.168.10.16,web\n")
    (carried,) = (e.get("value") for e in read(preview).iter("input") if e.get("name") == "carried")

    for pk, text in ((second_tunnel.pk, carried), (ready.pk, carried[:-1]), (ready.pk, "")):
        url = reverse("import-translations", args=[pk])
        assert page.post(url, {"carried": text}).status_code == 400
    assert len(kept(ready)) == 1


def test_rows_that_are_typed_and_not_saved_are_not_lost_for_an_import(ready, page):
    entered = {"customer-10.1.255.93": "192.168.10.44", "name-10.1.255.93": "typed"}

    answer = previewed(page, ready, "10.1.255.94,192.168.10.16,web\n", **entered)

    assert answer.status_code == 422
    assert form(answer, "translations")["customer-10.1.255.93"] == ["192.168.10.44"]
    assert words(answer, "note-10.1.255.93").startswith("Typed, but not saved yet")


@pytest.mark.parametrize("entered", [{}, {"customer-10.1.255.93": "192.168.10.44"}])
def test_what_was_pasted_is_there_again_when_it_is_refused(ready, page, entered):
    given = {"rows": "192.168.10.1\tone\nnobody\ttwo", "first": at(93), "remove": "1", **entered}

    answer = page.post(reverse("preview-translations", args=[ready.pk]), given)

    assert answer.status_code == 422
    assert part(answer, "table-rows").text == given["rows"]
    assert part(answer, "table-first").get("value") == at(93)
    (remove,) = (e for e in read(answer).iter("input") if e.get("name") == "remove")
    assert "checked" in remove.attrib


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7|add:7 }}{% now %}",
    "$(reboot); rm -rf / #",
    "} include /etc/shadow",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_in_every_page_and_in_the_file(ready, page, name):
    nat = Subnet.objects.get(network="10.1.255.92/30").pk

    preview = pasted(page, ready, f"192.168.10.15\t{name.replace(chr(34), '')}", at(92))
    keep(ready, (92, "192.168.10.15", name))
    shown = page.get(reverse("tunnel", args=[ready.pk]), {"open": nat})

    for answer in (preview, shown):
        assert not [e for e in read(answer).iter("img")]
        assert all(e.get("src") for e in read(answer).iter("script"))
    assert part(shown, f"name-{at(92)}").get("value") == name
    assert kept_by_file(page, ready) == name


def kept_by_file(page, tunnel: Tunnel) -> str:
    keep_file = export(page, tunnel)
    keep(tunnel, (92, "", ""))
    imported(page, tunnel, previewed(page, tunnel, keep_file))
    return kept(tunnel)[at(92)][1]


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "a\u2028b", "a\rb"])
def test_a_name_with_a_control_character_is_refused_by_its_line(ready, page, name):
    answer = previewed(page, ready, f'10.1.255.92,192.168.10.15,"{name}"\n')

    assert answer.status_code == 422
    assert "Enter one line of printable text" in sentences(answer)[0]


def test_a_hundred_thousand_rows_are_refused_in_words(ready, page):
    file = "".join(f"10.1.{n >> 8 & 255}.{n & 255},192.168.10.15,x\n" for n in range(100_000))

    answer = previewed(page, ready, file)

    assert sentences(answer) == ["There are more than 65,537 lines. Import them in parts."]


class Endless(io.RawIOBase):
    """A body of a gigabyte, which counts how much of it was read."""

    read_so_far = 0

    def read(self, size: int = -1) -> bytes:
        self.read_so_far += size
        return b"1" * size


def test_a_gigabyte_is_refused_before_it_is_read(ready, page):
    body = Endless()

    answer = page.generic(
        "POST",
        reverse("preview-translations", args=[ready.pk]),
        b"",
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(1 << 30),
        **{"wsgi.input": body},
    )

    assert answer.status_code == 413
    assert body.read_so_far <= 32 << 20
    assert "Request too large" in words(answer, "main")


def test_a_file_beyond_the_limit_is_refused_in_words(ready, page):
    answer = previewed(page, ready, b"x" * ((4 << 20) + 1))

    assert sentences(answer) == ["The file is larger than 4 MiB. Import it in parts."]


def test_a_whole_sixteen_bit_network_is_imported_at_once(account, tunnel, user, page):
    """A /16 with every address translated: one file, one preview, one save."""
    services.add_remote_subnet(tunnel, IPv4Network("172.16.0.0/15"), user)
    large = Subnet.objects.create(
        account=account, kind=Subnet.Kind.STATIC_NAT, network=IPv4Network("10.7.0.0/16")
    )
    tunnel.subnets.add(large)
    lines = (f"10.7.{n >> 8}.{n & 255},172.16.{n >> 8}.{n & 255},h{n}" for n in range(1, 65_536))

    imported(page, tunnel, previewed(page, tunnel, HEADER + "\n".join(lines)))

    assert tunnel.translations.count() == 65_535
    assert page.get(reverse("tunnel", args=[tunnel.pk]), {"open": large.pk}).status_code == 200
