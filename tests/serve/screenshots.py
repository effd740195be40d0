"""Take the pictures of the page that the README shows, from a running service.

    python -m tests.serve.screenshots --url http://127.0.0.1:8000 --out docs/pictures

The page's first fonts are Inter and a Palatino; on Debian fonts-inter and fonts-texgyre bring them.
"""

import argparse
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, expect

from tests.serve.browser import chromium

DESKTOP: dict[str, Any] = {"viewport": {"width": 1440, "height": 900}}
PHONE: dict[str, Any] = {"viewport": {"width": 390, "height": 844}, "device_scale_factor": 2, "has_touch": True}
TIMEOUT = 600_000  # milliseconds that a model on a CPU may take


def main() -> None:
    parser = argparse.ArgumentParser(description="Take pictures of the page of a running service.")
    parser.add_argument("--url", required=True, help="address of the service")
    parser.add_argument("--out", type=Path, required=True, help="folder that the pictures go to")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    with chromium() as browser:
        edit(browser, arguments.url, arguments.out / "page-edit.png", DESKTOP, "light")
        recombine(browser, arguments.url, arguments.out / "page-recombine.png")
        interpolate(browser, arguments.url, arguments.out / "page-interpolate.png")
        edit(browser, arguments.url, arguments.out / "page-phone.png", PHONE, "light")


def edit(browser: Browser, url: str, path: Path, screen: dict[str, Any], scheme: Any) -> None:
    """Change one attribute, with the strip of strengths."""
    page = visit(browser, url, screen, scheme)
    run(page)
    expect(page.locator(".strip-row img[src^='blob:']:visible")).to_have_count(5, timeout=TIMEOUT)
    if screen is PHONE:
        page.locator(".figures").evaluate("(figures) => figures.scrollIntoView({ block: 'start' })")
    take(page, path)


def recombine(browser: Browser, url: str, path: Path) -> None:
    """Take every attribute from another picture."""
    page = visit(browser, url, DESKTOP, "light")
    page.get_by_role("tab", name="Recombine").click()
    run(page)
    take(page, path)


def interpolate(browser: Browser, url: str, path: Path) -> None:
    """Go from one picture to another, in the dark."""
    page = visit(browser, url, DESKTOP, "dark")
    page.get_by_role("tab", name="Interpolate").click()
    run(page)
    scrub = page.get_by_label("Frame", exact=True)
    scrub.fill(str(int(scrub.get_attribute("max") or 2) // 2))
    take(page, path)


def visit(browser: Browser, url: str, screen: dict[str, Any], scheme: Any) -> Page:
    page = browser.new_context(**screen, color_scheme=scheme, reduced_motion="reduce").new_page()
    page.goto(url)
    page.wait_for_selector("html[data-ready]")
    expect(page.locator(".thumb img:not([src])")).to_have_count(0, timeout=TIMEOUT)
    return page


def run(page: Page) -> None:
    page.locator("#run").click()
    expect(page.locator(".card")).to_have_count(1, timeout=TIMEOUT)


def take(page: Page, path: Path) -> None:
    page.screenshot(path=path)
    print(path)
    page.context.close()


if __name__ == "__main__":
    main()
