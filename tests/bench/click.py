"""From the click on Apply Configurations to the word "live" in the page, beside 1,000 tunnels."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Page, expect, sync_playwright

from lab.peers import make_peers
from tests.bench.bench import Bench
from tests.bench.figures import Figure, p95, under
from tests.browser.conftest import ARGUMENTS, CHROMIUM
from tests.browser.person import enter, note_of, sign_in, state_heading
from tests.running_portal import RunningPortal, wait_for
from tests.system.conftest import translate

OTHERS, ROUNDS, LIMIT_SECONDS = 1_000, 30, 0.5
# The clock is the page's own, from the click to the words in the page.
WATCH = """words => {
    window.took = new Promise(done => {
        let began
        const clicked = () => { began = performance.now() }
        document.addEventListener("click", clicked, { once: true, capture: true })
        new MutationObserver((_, observer) => {
            if (document.getElementById("state").textContent.includes(words)) {
                observer.disconnect()
                done(performance.now() - began)
            }
        }).observe(document.body, { childList: true, subtree: true })
    })
}"""


def run(bench: Bench) -> Iterator[Figure]:
    """The product as bin/run starts it, a real Chromium, and a peer that answers."""
    product = RunningPortal("k")
    try:
        product.start()
        product.fill_in()
        product.apply(translate())
        load_others(product)
        wait_for(product.ping, 30)
        with chromium() as page:
            sign_in(page, product)
            page.get_by_role("link", name="ipsec001").click()
            expect(state_heading(page)).to_have_text("State Up", timeout=30_000)
            # The first warms up and does not count; it is revision 2.
            _, *times = [applied(page, number) for number in range(2, ROUNDS + 3)]
    finally:
        product.stop()
    name = f'click to "live", {OTHERS:,} others, p95 of {ROUNDS}'
    yield under(name, p95(times) / 1000, LIMIT_SECONDS, "s")


def applied(page: Page, number: int) -> float:
    """Milliseconds for one more apply, of another key life of phase two."""
    fieldset = page.get_by_role("group", name="Phase Two")
    control = enter(fieldset, "Key Life (in seconds)", str(3_600 + number))
    expect(note_of(control)).to_have_text("Saved")
    page.evaluate(WATCH, f"Revision {number} is live")
    page.get_by_role("button", name="Apply Configurations").click()
    took = page.evaluate("window.took")
    # The next one is not meant to meet the negotiation of this one.
    expect(state_heading(page)).to_have_text("State Up", timeout=30_000)
    return took


@contextmanager
def chromium() -> Iterator[Page]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser.new_page()
        browser.close()


def load_others(product: RunningPortal) -> None:
    """The concentrator has an address for each; what it sends to their peers is lost."""
    lines = [f"address add {one.hosted_peer}/32 dev public" for one in make_peers(OTHERS + 1)]
    for host, text in (
        ("concentrator", "\n".join(lines)),
        ("peer", "route add blackhole 198.19.0.0/16"),
    ):
        command = ("ip", "-n", f"{product.prefix}-{host}", "-batch", "-")
        subprocess.run(command, input=text + "\n", text=True, check=True)
    product.do(f"from tests.bench.others import load\nload({OTHERS})")
    dialled = 'say(Tunnel.objects.exclude(sa_status="connecting").count())'
    wait_for(lambda: product.do(dialled) <= 1, 120)
