"""The page in a real browser, before the real routes and a tiny model: what people do, by mouse and by keyboard."""

import asyncio
import io
import re
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from diffusegae.data.shards import read_manifest
from diffusegae.editing.editor import Editor
from diffusegae.editing.operations import Edit, Interpolate, Recombine
from diffusegae.images import decode_image, encode_image
from diffusegae.pixels import to_pixels
from diffusegae.schema import AttributeSpec, build_schema
from serve.http.api import create_api
from serve.http.checks import Limits
from serve.http.gallery_routes import GalleryRoutes
from serve.http.security import protect
from serve.http.tokens import new_token
from serve.models.gallery import Gallery
from serve.problems import Problem
from serve.served import ServedModel
from serve.tasks import GeneratedImages, SamplingProgress, Task
from tests.serve.browser import Watch, chromium, executable, listening
from tests.serve.conftest import LocalService
from tests.stored_images import write_images

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(executable() is None, reason="needs Chromium: apt-get install chromium"),
]
LIMITS = Limits(max_steps=100, max_frames=6)
TIMEOUT = 30_000  # milliseconds; a busy test machine does all of this slowly
OWN = encode_image(np.random.default_rng(5).integers(0, 256, (40, 60, 3), np.uint8))


class HeldService(LocalService):
    """Stays at a step for as long as a test wants to look at it, and tells what was followed from the previews."""

    held_at: int | None = None

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.followed: list[Task] = []

    async def follow(self, model: str, task: Task) -> AsyncIterator[SamplingProgress | GeneratedImages]:
        self.followed.append(task)
        async for item in super().follow(model, task):
            if isinstance(item, SamplingProgress):
                for step in range(4 * item.step, 4 * item.step + 4):
                    yield SamplingProgress(step, 8, item.pictures)
                    while self.held_at == step:
                        await asyncio.sleep(0.02)
            else:
                yield item


@dataclass
class Place:
    """Where the page is served, and by what."""

    url: str
    service: HeldService
    gallery: Gallery


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    root = str(tmp_path_factory.mktemp("set"))
    write_images(root, {"letter": 3, "colour": 2, "number": 6}, [(0, 0, n) for n in range(1, 6)])
    specs = {name: AttributeSpec(width=12) for name in ("letter", "colour")}
    return Gallery.open(root, build_schema(specs, read_manifest(root).columns), 12)


@pytest.fixture(scope="module")
def models(served: ServedModel) -> tuple[ServedModel, ...]:
    return served, served.model_copy(update={"alias": "plain", "version": "6", "centroid_values": {}})


@pytest.fixture(scope="module")
def server(
    gallery: Gallery, editor: Editor, models: tuple[ServedModel, ...], centroids: Mapping[str, Any]
) -> Iterator[Place]:
    service = HeldService(editor, models, centroids)
    api = create_api(service, LIMITS, gallery=GalleryRoutes(gallery))
    protect(api)
    with listening(api) as url:
        yield Place(url, service, gallery)


@pytest.fixture
def place(server: Place) -> Place:
    server.service.held_at, server.service.failure = None, None
    server.service.asked.clear()
    server.service.followed.clear()
    return server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    expect.set_options(timeout=TIMEOUT)
    with chromium() as browser:
        yield browser
    expect.set_options(timeout=None)


@pytest.fixture
def page(browser: Browser, place: Place) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    context.grant_permissions(["clipboard-read", "clipboard-write"])
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    watch = Watch(page, place.url)
    yield page
    context.close()
    assert not watch.complaints


def visit(page: Page, url: str) -> None:
    page.goto(url)
    page.wait_for_selector("html[data-ready]")
    expect(page.locator(".thumb img:not([src])")).to_have_count(0)


def row(page: Page, name: str) -> Locator:
    return page.locator(f"[data-attribute='{name}']")


def tile(page: Page, caption: str) -> Locator:
    return page.locator(".tile", has=page.get_by_text(caption, exact=True))


def take(page: Page, name: str, how: str) -> None:
    row(page, name).get_by_role("radio", name=how).click()


def pick(page: Page, picture: str) -> None:
    page.locator(f"[data-picture='{picture}']").click()


def run(page: Page) -> None:
    made = page.locator(".card").count()
    page.locator("#run").click()
    expect(page.locator(".card")).to_have_count(made + 1)


def previews(place: Place) -> list[Any]:
    followed = {id(task) for task in place.service.followed}
    return [task.operation for _, task in place.service.asked if id(task) not in followed]


def last(place: Place, kind: type) -> Any:
    """What was run last; the live strip's previews, which come whenever they come, are not followed."""
    return [task.operation for task in place.service.followed if isinstance(task.operation, kind)][-1]


def requires_nothing_serious(page: Page) -> None:
    violations = Axe().run(page).response["violations"]
    serious = [
        f"{each['id']}: {[node['html'][:150] for node in each['nodes']]}"
        for each in violations
        if each["impact"] in ("serious", "critical")
    ]
    assert not serious, serious


def test_the_page_offers_what_the_schema_and_the_gallery_have(page: Page, place: Place) -> None:
    visit(page, place.url)
    assert [each.get_attribute("data-attribute") for each in page.locator(".row").all()] == ["letter", "colour"]
    assert page.locator(".thumb").count() == len(place.gallery.items) == 12
    assert page.locator("#model option").all_inner_texts() == ["diffusegae v7", "plain (diffusegae v6)"]
    expect(row(page, "letter").locator(".segments")).to_have_text("KeepPictureValue")
    expect(row(page, "colour").locator(".segments")).to_have_text("KeepPicture")  # no value is known by name
    page.select_option("#model", "plain")
    expect(row(page, "letter").locator(".segments")).to_have_text("KeepPicture")


def test_an_edit_shows_its_progress_and_stands_beside_the_truth(page: Page, place: Place) -> None:
    place.service.held_at = 3
    source, donor = (item.key for item in place.gallery.items[2:4])
    visit(page, place.url)
    pick(page, source)
    take(page, "letter", "Picture")
    pick(page, donor)
    take(page, "colour", "Keep")
    page.locator("#run").click()
    expect(page.locator(".count")).to_have_text("3 of 8 network calls")
    expect(tile(page, "Edit").locator("img")).to_be_hidden()
    place.service.held_at = 5
    expect(page.locator(".count")).to_have_text("5 of 8 network calls")
    assert page.locator("progress").evaluate("(bar) => bar.position") == 5 / 8
    expect(tile(page, "Edit").locator("img")).to_have_attribute("src", re.compile("^data:image/png;base64,"))
    place.service.held_at = None
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator(".progress")).to_be_hidden()
    expect(page.locator(".note")).to_have_text(re.compile(r"diffusegae/7, \d"))

    edit = last(place, Edit)
    assert (to_pixels(edit.source)[0] == decode_image(place.gallery.picture(source))).all()
    assert list(edit.donors) == ["letter"]
    assert (to_pixels(edit.donors["letter"])[0] == decode_image(place.gallery.picture(donor))).all()
    truth = decode_image(place.gallery.truth(source, {"letter": donor}, {}))
    assert (shown_pixels(tile(page, "True render")) == truth).all()
    boxes = [tile(page, name).locator(".frame").bounding_box() for name in ("Source", "Edit", "True render")]
    assert len({(box["y"], box["width"], box["height"]) for box in boxes if box}) == 1
    assert boxes[0] is not None
    assert boxes[0]["width"] % 32 == 0  # each pixel of the model is equally large


def shown_pixels(figure: Locator) -> Any:
    """Return the pixels of the picture in a tile, as the browser has them."""
    values = figure.locator("img").evaluate(
        """async (image) => {
            await image.decode();
            const canvas = new OffscreenCanvas(image.naturalWidth, image.naturalHeight);
            canvas.getContext("2d").drawImage(image, 0, 0);
            return [...canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data];
        }"""
    )
    side = int((len(values) / 4) ** 0.5)
    return np.array(values, np.uint8).reshape(side, side, 4)[..., :3]


def test_a_running_edit_can_be_cancelled(page: Page, place: Place) -> None:
    place.service.held_at = 2
    visit(page, place.url)
    closed = place.service.closed
    page.locator("#run").click()
    expect(page.locator(".count")).to_have_text("2 of 8 network calls")
    page.locator("#cancel").click()
    expect(page.locator(".progress")).to_be_hidden()
    expect(page.locator("#status")).to_have_text("Cancelled")
    for _ in range(100):
        if place.service.closed > closed:
            break
        page.wait_for_timeout(50)
    assert place.service.closed == closed + 1  # the model works no longer, not only the page
    assert page.locator(".card").count() == 0


def test_the_strip_shows_strengths_and_sets_them(page: Page, place: Place) -> None:
    visit(page, place.url)
    name = page.locator(".row[data-take=picture]").get_attribute("data-attribute") or ""
    run(page)
    strip = page.locator(".strip-row button")
    expect(page.locator(".strip-row img[src^='blob:']:visible")).to_have_count(5)
    assert sorted(edit.strengths.get(name, 1) for edit in previews(place)) == [0, 0.25, 0.5, 0.75, 1]
    strip.nth(2).click()
    expect(strip.nth(2)).to_have_attribute("aria-pressed", "true")
    expect(row(page, name).locator("output")).to_have_text("0.50")
    expect(page.locator(".tile.is-stale")).to_have_count(1)
    run(page)
    assert last(place, Edit).strengths[name] == 0.5
    slider = row(page, name).locator("input[type=range]")
    slider.focus()
    page.keyboard.press("ArrowLeft")
    expect(row(page, name).locator("output")).to_have_text("0.45")


def test_a_value_is_taken_by_its_name(page: Page, place: Place) -> None:
    visit(page, place.url)
    take(page, "colour", "Keep")
    take(page, "letter", "Value")
    expect(page.locator("#hint")).to_have_text("Choose a value for letter.")
    row(page, "letter").locator("select").select_option("c")
    run(page)
    assert last(place, Edit).donors["letter"] == "c"


def test_own_pictures_are_chosen_dropped_and_pasted(page: Page, place: Place) -> None:
    visit(page, place.url)
    page.set_input_files("#file", files=[{"name": "street.png", "mimeType": "image/png", "buffer": OWN}])
    expect(page.locator("#ends .slot")).to_have_attribute("aria-label", re.compile("street.png"))
    expect(page.locator(".below .hint").first).to_contain_text("links do not hold them")
    run(page)
    assert (to_pixels(last(place, Edit).source)[0] == decode_image(OWN, 32)).all()
    drop = """([event, target, bytes]) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(bytes)], "dropped.png", { type: "image/png" }));
        const options = { bubbles: true, cancelable: true };
        const made = event === "drop"
            ? new DragEvent("drop", { ...options, dataTransfer: transfer })
            : new ClipboardEvent("paste", { ...options, clipboardData: transfer });
        document.querySelector(target).dispatchEvent(made);
    }"""
    take(page, "letter", "Picture")
    page.evaluate(drop, ["drop", "[data-slot='donor:letter']", list(OWN)])
    expect(page.locator("[data-slot='donor:letter']")).to_have_attribute("aria-label", re.compile("dropped.png"))
    page.evaluate(drop, ["paste", "body", list(OWN)])
    expect(page.locator(".thumb")).to_have_count(15)
    page.set_input_files("#file", files=[{"name": "notes.txt", "mimeType": "image/png", "buffer": b"no picture"}])
    expect(page.locator("#toast")).to_contain_text("notes.txt is not a picture")


def test_recombining_takes_every_attribute_and_rolls_the_noise(page: Page, place: Place) -> None:
    visit(page, place.url)
    page.get_by_role("tab", name="Recombine").click()
    page.get_by_label("Another seed").click()
    seed = page.locator("#seed").input_value()
    run(page)
    task = last(place, Recombine)
    assert set(task.donors) == {"letter", "colour"}
    assert tuple(task.x_T) == (int(seed),)


def test_an_interpolation_is_played_scrubbed_and_downloaded(page: Page, place: Place) -> None:
    visit(page, place.url)
    page.get_by_role("tab", name="Interpolate").click()
    page.locator("#frames").fill("5")
    page.get_by_role("checkbox", name="colour").uncheck()
    run(page)
    task = last(place, Interpolate)
    assert (task.names, task.frames) == (("letter",), 5)
    scrub = page.get_by_label("Frame", exact=True)
    expect(page.locator(".place")).to_have_text("1 / 5")
    expect(page.locator("#play")).to_have_text("Play")  # motion is reduced, so it does not start by itself
    scrub.fill("4")
    expect(page.locator(".place")).to_have_text("5 / 5")
    page.locator("#play").click()
    expect(page.locator(".place")).to_have_text("3 / 5")
    page.locator("#play").click()
    for name in ("GIF", "APNG"):
        with page.expect_download() as waiting:
            page.get_by_role("button", name=name, exact=True).click()
        with Image.open(waiting.value.path()) as film:
            assert film.n_frames == 5


def test_a_link_brings_everything_back(page: Page, place: Place) -> None:
    source, donor = place.gallery.items[5].key, place.gallery.items[7].key
    visit(page, place.url)
    pick(page, source)
    take(page, "colour", "Picture")
    pick(page, donor)
    row(page, "colour").locator("input[type=range]").fill("0.75")
    take(page, "letter", "Value")
    row(page, "letter").locator("select").select_option("b")
    page.locator("#advanced summary").click()
    page.get_by_label("Steps").select_option("2")
    page.get_by_label("Sampler").select_option("dpm++")
    page.get_by_label("Noise").select_option("random")
    page.locator("#seed").fill("77")
    page.locator("#seed").blur()
    page.get_by_label("Size").select_option("64")
    page.get_by_label("Format").select_option("webp")
    page.select_option("#model", "plain")
    page.select_option("#model", "diffusegae")
    take(page, "letter", "Value")
    row(page, "letter").locator("select").select_option("b")
    page.locator("#copy-link").click()
    expect(page.locator("#toast")).to_have_text("Link copied")
    link = page.evaluate("navigator.clipboard.readText()")
    run(page)
    first = last(place, Edit)

    other = page.context.new_page()
    visit(other, link)
    run(other)
    second = last(place, Edit)
    assert (*first.x_T,) == (*second.x_T,) == (77,)
    samplings = [(task.sampling.steps, task.sampling.sampler) for task in place.service.followed]
    assert samplings == [(2, "dpm++")] * 2
    assert (first.source == second.source).all()
    assert (first.donors["letter"], first.strengths["colour"]) == ("b", 0.75)
    assert (second.donors["letter"], second.strengths["colour"]) == ("b", 0.75)
    assert (first.donors["colour"] == second.donors["colour"]).all()
    assert shown_pixels(tile(other, "Edit")).shape == (64, 64, 3)
    visit(other, f"{place.url}#mode=edit&source=own")
    expect(other.locator("#toast")).to_contain_text("own picture, which links do not hold")


def test_earlier_results_come_back_with_their_settings(page: Page, place: Place) -> None:
    visit(page, place.url)
    run(page)
    first = tile(page, "Edit").locator("img").get_attribute("src")
    page.locator(".thumb").nth(9).drag_to(page.locator("[data-slot=source]"))
    expect(page.locator(".thumb").nth(9)).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".tile.is-stale")).to_have_count(1)
    run(page)
    expect(page.locator(".tile.is-stale")).to_have_count(0)
    assert tile(page, "Edit").locator("img").get_attribute("src") != first
    page.locator(".card").last.click()
    expect(tile(page, "Edit").locator("img")).to_have_attribute("src", first or "")
    expect(page.locator(".thumb").first).to_have_attribute("aria-pressed", "true")
    expect(page.locator(".tile.is-stale")).to_have_count(0)


def test_the_command_of_an_action_works(page: Page, place: Place, tmp_path: Path) -> None:
    visit(page, place.url)
    run(page)
    page.locator(".calls summary").click()
    commands = page.locator(".calls pre").inner_text()
    subprocess.run(["bash", "-c", commands], cwd=tmp_path, check=True, timeout=60)
    (made,) = tmp_path.glob("edit.png")
    assert abs(decode_image(made.read_bytes()).astype(int) - shown_pixels(tile(page, "Edit"))).max() <= 1
    page.get_by_role("tab", name="Interpolate").click()
    commands = page.locator(".calls pre").nth(1).inner_text()
    subprocess.run(["bash", "-c", commands], cwd=tmp_path, check=True, timeout=60)
    with Image.open(io.BytesIO((tmp_path / "interpolate.png").read_bytes())) as film:
        assert film.n_frames == 6


def test_the_keyboard_is_enough(page: Page, place: Place) -> None:
    visit(page, place.url)
    page.locator("body").press("Tab")
    expect(page.get_by_text("Skip to the editor")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(page.get_by_role("tab", name="Edit")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.locator("[data-slot=source]")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("End")
    expect(page.locator(".thumb").last).to_be_focused()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    expect(page.locator("[data-slot=source]")).to_be_focused()
    key = page.locator(".thumb").nth(10).get_attribute("data-picture")
    expect(page.locator(f"[data-picture='{key}']")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowRight")  # letter: from keep to picture, or from picture to value
    ring = page.evaluate("getComputedStyle(document.activeElement.nextElementSibling).outlineStyle")
    assert ring == "solid"
    row(page, "letter").locator("input[value=keep]").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    expect(page.locator("[data-slot='donor:letter']")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Home")
    page.keyboard.press("Enter")
    expect(page.locator("[data-slot='donor:letter']")).to_be_focused()
    page.keyboard.press("Control+Enter")
    expect(page.locator(".card")).to_have_count(1)
    expect(page.locator("#status")).to_have_text(re.compile("edit done in"))
    page.get_by_role("tab", name="Edit").focus()
    page.keyboard.press("ArrowRight")
    expect(page.get_by_role("tab", name="Recombine")).to_be_focused()
    expect(page.locator("#run")).to_have_text("Recombine")


def test_a_problem_is_told_and_a_busy_model_is_asked_again(page: Page, place: Place) -> None:
    visit(page, place.url)
    place.service.failure = Problem(503, "Overloaded", "too many requests wait for the model", {"Retry-After": "2"})
    page.locator("#run").click()
    problem = page.locator(".problem")
    expect(problem).to_contain_text("Overloaded")
    expect(problem).to_contain_text("too many requests wait for the model")
    expect(problem).to_contain_text("Trying again in 1 s")
    place.service.failure = None
    expect(page.locator(".card")).to_have_count(1)
    expect(problem).to_be_hidden()
    place.service.failure = Problem(422, "Not possible", "this model cannot do that")
    page.locator("#run").click()
    expect(problem).to_contain_text("this model cannot do that")
    expect(page.locator(".countdown")).to_be_hidden()


def test_a_token_is_asked_for_and_kept_in_the_tab(
    browser: Browser, gallery: Gallery, editor: Editor, models: tuple[ServedModel, ...], centroids: Mapping[str, Any]
) -> None:
    secret, entry = new_token("someone", 6000, 200)
    api = create_api(HeldService(editor, models, centroids), LIMITS, gallery=GalleryRoutes(gallery))
    protect(api, tokens=[entry])
    with listening(api) as url:
        page = browser.new_page()
        watch = Watch(page, url)
        page.goto(url)
        for given, seen in (("wrong", "not one of this service's"), (secret, None)):
            page.get_by_label("Bearer token").fill(given)
            page.get_by_role("button", name="Use it").click()
            if seen:
                expect(page.locator("#token-detail")).to_contain_text(seen)
        page.wait_for_selector("html[data-ready]")
        run(page)
        assert page.evaluate("[sessionStorage.length, localStorage.length, document.cookie]") == [1, 0, ""]
        page.locator(".calls summary").click()
        commands = page.locator(".calls pre").inner_text()
        assert secret not in commands
        assert "$TOKEN" in commands
        page.reload()
        page.wait_for_selector("html[data-ready]")
        expect(page.locator("#token-dialog")).to_be_hidden()
        page.close()
        assert not watch.complaints


@pytest.mark.parametrize(("width", "scheme"), [(1280, "light"), (1280, "dark"), (390, "light"), (320, "dark")])
def test_it_fits_and_is_accessible_in_every_mode(browser: Browser, place: Place, scheme: Any, width: int) -> None:
    context = browser.new_context(
        viewport={"width": width, "height": 800}, color_scheme=scheme, reduced_motion="reduce", has_touch=width < 500
    )
    page = context.new_page()
    watch = Watch(page, place.url)
    visit(page, place.url)
    page.locator("#advanced summary").click()
    page.locator(".calls summary").click()
    for mode in ("Edit", "Recombine", "Interpolate"):
        page.get_by_role("tab", name=mode).click()
        run(page)
        requires_nothing_serious(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    place.service.failure = Problem(422, "Not possible", "this model cannot do that")
    page.locator("#run").click()
    expect(page.locator(".problem")).to_be_visible()
    requires_nothing_serious(page)
    before = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.locator("#theme").click()
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") != before
    context.close()
    assert not watch.complaints
