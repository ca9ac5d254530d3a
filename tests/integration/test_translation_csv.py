"""CSV files of the translation table: export, preview of an import, and the import."""

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


def at(octet: int) -> str:
    return f"10.1.255.{octet}"


def save(tunnel: Tunnel, *rows: tuple[int, str, str]) -> None:
    entered = [
        TranslationRow(IPv4Address(at(octet)), IPv4Address(customer) if customer else None, name)
        for octet, customer, name in rows
    ]
    services.set_translations(tunnel, entered, User.objects.get(username="ada"))


def saved(tunnel: Tunnel) -> dict[str, tuple[str, str]]:
    rows = tunnel.translations.order_by("internal_address")
    return {row.internal_address: (row.customer_address, row.name) for row in rows}


def export(page, tunnel: Tunnel, **query: str) -> str:
    response = page.get(reverse("export-translations", args=[tunnel.pk]), query)
    return b"".join(response.streaming_content).decode("utf-8-sig")


def upload(page, tunnel: Tunnel, text: str | bytes, **more: str):
    data = text.encode() if isinstance(text, str) else text
    form = {"file": SimpleUploadedFile("table.csv", data), **more}
    return page.post(reverse("preview-translations", args=[tunnel.pk]), form)


def paste(page, tunnel: Tunnel, rows: str, first: str = ""):
    entered = {"rows": rows, "first": first}
    return page.post(reverse("preview-translations", args=[tunnel.pk]), entered)


def confirm(page, tunnel: Tunnel, preview):
    """Import the rows of a preview."""
    carried = [e.get("value") for e in read(preview).iter("input") if e.get("name") == "carried"]
    assert len(carried) == 1, words(preview, "main")
    url = reverse("import-translations", args=[tunnel.pk])
    return page.post(url, {"carried": carried[0]})


def errors(preview) -> list[str]:
    refusals = (e for e in read(preview).iter("ul") if e.get("class") == "refusal")
    return [" ".join("".join(li.itertext()).split()) for ul in refusals for li in ul.iter("li")]


def changes(preview) -> list[list[str]]:
    rows = (row for body in read(preview).iter("tbody") for row in body.iter("tr"))
    return [[" ".join("".join(cell.itertext()).split()) for cell in row] for row in rows]


def test_an_export_has_the_translations_in_order_or_all_addresses(ready, page):
    save(ready, (94, "192.168.10.2", "two, three"))

    assert export(page, ready) == (
        HEADER + '10.1.255.92,192.168.10.15,database\r\n10.1.255.94,192.168.10.2,"two, three"\r\n'
    )
    assert [line.split(",")[0] for line in export(page, ready, all="1").splitlines()] == [
        "IP address",
        *(at(octet) for octet in (92, 93, 94, 95)),
    ]


@pytest.mark.parametrize("name", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'=1", "a;=1+1"])
def test_a_formula_as_name_is_escaped_in_the_export_and_restored_by_the_import(ready, page, name):
    save(ready, (92, "192.168.10.15", name))
    file = export(page, ready)
    save(ready, (92, "", ""))

    confirm(page, ready, upload(page, ready, file))

    assert saved(ready) == {at(92): ("192.168.10.15", name)}
    assert f",{name}" not in file.replace('"', "")


def test_a_preview_lists_the_changes_and_saves_nothing(ready, page):
    save(ready, (93, "192.168.10.16", "web"), (94, "192.168.10.17", ""))
    before = saved(ready)
    file = (
        HEADER
        + "10.1.255.92,192.168.10.15,database\n10.1.255.93,192.168.10.18,web\n"
        + "10.1.255.94,,\n10.1.255.95,192.168.10.19,new\n"
    )

    preview = upload(page, ready, file)

    assert changes(preview) == [
        ["10.1.255.95", "\N{EN DASH}", "192.168.10.19 new"],
        ["10.1.255.93", "192.168.10.16 web", "192.168.10.18 web"],
        ["10.1.255.94", "192.168.10.17", "\N{EN DASH}"],
    ]
    assert "1 row unchanged." in words(preview, "main")
    assert saved(ready) == before


def test_an_import_makes_the_changes_of_the_preview(ready, page):
    preview = upload(page, ready, HEADER + "10.1.255.93;192.168.10.16;web\n".replace(";", ","))

    response = confirm(page, ready, preview)

    assert response.headers["Location"] == f"/tunnels/{ready.pk}/#static_nat"
    assert saved(ready) == {
        at(92): ("192.168.10.15", "database"),
        at(93): ("192.168.10.16", "web"),
    }


def test_translations_that_are_not_in_the_file_are_kept_unless_removal_is_requested(ready, page):
    file = "10.1.255.93,192.168.10.16,web\n"

    default, removal = upload(page, ready, file), upload(page, ready, file, remove="1")

    assert [row[0] for row in changes(default)] == ["10.1.255.93"]
    assert "Translations of addresses that are not in the file are kept." in words(default, "main")
    assert [row[0] for row in changes(removal)] == ["10.1.255.93", "10.1.255.92"]
    assert "that are not in the file are removed." in words(removal, "main")


def test_nothing_can_be_imported_while_there_are_errors(ready, page):
    file = (
        HEADER
        + "10.1.255.93,192.168.10.16,right\n10.1.255.94,10.1.255.999,no address\n"
        + "10.1.255.95,192.168.99.1,no network\n10.9.9.9,192.168.10.17,outside\n"
        + "10.1.255.93,192.168.10.18,twice\nweb,192.168.10.19,x\n10.1.255.92\n"
    )

    preview = upload(page, ready, file)

    assert preview.status_code == 422
    assert "6 errors Fix these rows to import: " in words(preview, "main")
    lines = [error.split(":")[0] for error in errors(preview)]
    assert lines == [f"Line {number}" for number in range(3, 9)]
    assert errors(preview)[0] == "Line 3: Enter an IPv4 address such as 192.168.10.15."
    assert errors(preview)[3] == "Line 6: 10.1.255.93 is in line 2 already. Keep one of them."
    assert errors(preview)[5] == "Line 8: Enter an IP address, a Customer IP and a name."
    assert not [e for e in read(preview).iter("input") if e.get("name") == "carried"]


def test_pasted_rows_without_addresses_get_the_addresses_from_the_first_one_on(ready, page):
    confirm(page, ready, paste(page, ready, "192.168.10.1\tone\n192.168.10.2\ttwo", at(93)))

    assert saved(ready) == {
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
def test_malformed_pasted_rows_are_explained(ready, page, rows, first, sentence):
    response = paste(page, ready, rows, first)

    assert response.status_code == 422
    assert any(error.startswith(sentence) for error in errors(response)), errors(response)


def test_a_row_that_was_changed_after_the_preview_is_not_overwritten(ready, page):
    preview = upload(page, ready, "10.1.255.92,192.168.10.20,mine\n10.1.255.93,192.168.10.21,\n")
    save(ready, (92, "192.168.10.30", "theirs"))

    response = confirm(page, ready, preview)

    assert response.status_code == 409
    assert saved(ready) == {at(92): ("192.168.10.30", "theirs")}
    assert changes(response)[1] == ["10.1.255.92", "192.168.10.30 theirs", "192.168.10.20 mine"]
    confirm(page, ready, response)
    assert saved(ready)[at(92)] == ("192.168.10.20", "mine")


def test_a_forged_preview_or_one_of_another_tunnel_is_a_bad_request(ready, second_tunnel, page):
    preview = upload(page, ready, "10.1.255.93,192.168.10.16,web\n")
    (carried,) = (e.get("value") for e in read(preview).iter("input") if e.get("name") == "carried")

    for pk, text in ((second_tunnel.pk, carried), (ready.pk, carried[:-1]), (ready.pk, "")):
        url = reverse("import-translations", args=[pk])
        assert page.post(url, {"carried": text}).status_code == 400
    assert len(saved(ready)) == 1


def test_unsaved_rows_prevent_a_preview_and_stay_typed(ready, page):
    entered = {"customer-10.1.255.93": "192.168.10.44", "name-10.1.255.93": "typed"}

    response = upload(page, ready, "10.1.255.94,192.168.10.16,web\n", **entered)

    assert response.status_code == 422
    assert form(response, "translations")["customer-10.1.255.93"] == ["192.168.10.44"]
    assert words(response, "note-10.1.255.93").startswith("Not saved yet")


@pytest.mark.parametrize("entered", [{}, {"customer-10.1.255.93": "192.168.10.44"}])
def test_pasted_rows_stay_after_a_refusal(ready, page, entered):
    form = {"rows": "192.168.10.1\tone\nhost\ttwo", "first": at(93), "remove": "1", **entered}

    response = page.post(reverse("preview-translations", args=[ready.pk]), form)

    assert response.status_code == 422
    assert part(response, "table-rows").text == form["rows"]
    assert part(response, "table-first").get("value") == at(93)
    (remove,) = (e for e in read(response).iter("input") if e.get("name") == "remove")
    assert "checked" in remove.attrib


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "{{ 7|add:7 }}{% now %}",
    "$(reboot); rm -rf / #",
    "} include /etc/shadow",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_name_is_text_in_every_page_and_in_the_export(ready, page, name):
    nat = Subnet.objects.get(network="10.1.255.92/30").pk

    preview = paste(page, ready, f"192.168.10.15\t{name.replace(chr(34), '')}", at(92))
    save(ready, (92, "192.168.10.15", name))
    whole = page.get(reverse("tunnel", args=[ready.pk]), {"open": nat})

    for response in (preview, whole):
        assert not [e for e in read(response).iter("img")]
        assert all(e.get("src") for e in read(response).iter("script"))
    assert part(whole, f"name-{at(92)}").get("value") == name
    assert name_after_round_trip(page, ready) == name


def name_after_round_trip(page, tunnel: Tunnel) -> str:
    """Export, clear and import the row of .92; return its name."""
    file = export(page, tunnel)
    save(tunnel, (92, "", ""))
    confirm(page, tunnel, upload(page, tunnel, file))
    return saved(tunnel)[at(92)][1]


@pytest.mark.parametrize("name", ["a\nb", "a\x00b", "a\u2028b", "a\rb"])
def test_a_name_with_a_control_character_is_refused_with_its_line(ready, page, name):
    response = upload(page, ready, f'10.1.255.92,192.168.10.15,"{name}"\n')

    assert response.status_code == 422
    assert "Enter one line of printable text" in errors(response)[0]


def test_a_file_of_a_hundred_thousand_rows_is_refused(ready, page):
    file = "".join(f"10.1.{n >> 8 & 255}.{n & 255},192.168.10.15,x\n" for n in range(100_000))

    response = upload(page, ready, file)

    assert errors(response) == ["There are more than 65,537 lines. Import them in parts."]


class LargeBody(io.RawIOBase):
    """A request body of a gigabyte, which counts the bytes that are read."""

    read_so_far = 0

    def read(self, size: int = -1) -> bytes:
        self.read_so_far += size
        return b"1" * size


def test_a_request_of_a_gigabyte_is_refused_before_it_is_read(ready, page):
    body = LargeBody()

    response = page.generic(
        "POST",
        reverse("preview-translations", args=[ready.pk]),
        b"",
        content_type="multipart/form-data; boundary=x",
        CONTENT_LENGTH=str(1 << 30),
        **{"wsgi.input": body},
    )

    assert response.status_code == 413
    assert body.read_so_far <= 32 << 20
    assert "Request too large" in words(response, "main")


def test_a_file_beyond_the_limit_is_refused(ready, page):
    response = upload(page, ready, b"x" * ((4 << 20) + 1))

    assert errors(response) == ["The file is larger than 4 MiB. Import it in parts."]


def test_all_addresses_of_a_sixteen_bit_network_are_imported(account, tunnel, user, page):
    services.add_remote_subnet(tunnel, IPv4Network("172.16.0.0/15"), user)
    large = Subnet.objects.create(
        account=account, kind=Subnet.Kind.STATIC_NAT, network=IPv4Network("10.7.0.0/16")
    )
    tunnel.subnets.add(large)
    lines = (f"10.7.{n >> 8}.{n & 255},172.16.{n >> 8}.{n & 255},h{n}" for n in range(1, 65_536))

    confirm(page, tunnel, upload(page, tunnel, HEADER + "\n".join(lines)))
    (row,) = tunnel.imports.all()
    while services.run_import_step(row.pk):
        pass

    assert tunnel.translations.count() == 65_535
    assert page.get(reverse("tunnel", args=[tunnel.pk]), {"open": large.pk}).status_code == 200
