"""The page in a real browser: what people see and do, by mouse, by keyboard, on a phone and in the dark."""

import re
import shutil
import struct
from pathlib import Path

import cv2
import numpy as np
import pytest
from conftest import REPOSITORY
from playwright.sync_api import Browser, Page, expect, sync_playwright
from web_server import serving

from ferrule.faces.examples import example_photos
from ferrule.modelcard.card import render_page
from ferrule.portable.model import PRETRAINED, PortableModel, open_pretrained
from ferrule.predictor import Predictor
from ferrule.web.access import Access
from ferrule.web.app import create_app
from ferrule.web.following import Follower

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
TOKEN = "a-token-of-some-length"
QUIET = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync")
PHOTOS = dict(example_photos())

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium to show the page in")


@pytest.fixture(scope="module")
def address():
    with serving() as address:
        yield address


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Give Chromium, whose camera sees the drawn portrait."""
    film = tmp_path_factory.mktemp("camera") / "portrait.mjpeg"
    film.write_bytes(encode("portrait", ".jpg") * 5)
    camera = ("--use-fake-ui-for-media-stream", "--use-fake-device-for-media-stream")
    with sync_playwright() as playwright:
        arguments = [*QUIET, *camera, f"--use-file-for-fake-video-capture={film}"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def open_page(browser: Browser, address: str):
    """Give a function that opens the page; at the end nothing may have failed, nor been asked of another host."""
    faults, asked, contexts = [], [], []

    def open_(url: str = address, **settings: object) -> Page:
        contexts.append(browser.new_context(**settings))
        page = contexts[-1].new_page()
        page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.asked = asked
        page.faults = faults
        return page

    yield open_
    for context in contexts:
        context.close()
    assert not faults
    assert {re.match(r"(blob:)?http://127\.0\.0\.1:\d+/|data:", url) is not None for url in asked} == {True}


def encode(name: str, form: str = ".png") -> bytes:
    return cv2.imencode(form, PHOTOS[name][..., ::-1])[1].tobytes()


def upload(page: Page, name: str = "portrait", content: bytes | None = None, kind: str = "image/png") -> None:
    page.set_input_files("#file", {"name": "photo.png", "mimeType": kind, "buffer": content or encode(name)})


def test_a_photo_is_answered_with_boxes_bars_and_words(open_page):
    page = open_page()
    upload(page, "friends")
    expect(page.locator(".face")).to_have_count(3)
    expect(page.locator("#boxes li")).to_have_count(3)
    expect(page.locator("#results-title")).to_have_text("3 faces")
    classes = open_pretrained().classes
    for face in page.locator(".face").all():
        assert [name.lower() for name in face.locator(".name").all_inner_texts()] == list(classes)
        shares = [int(re.sub(r"\D", "", text)) for text in face.locator(".value").all_inner_texts()]
        assert sum(shares) == pytest.approx(100, abs=4)
    photo = page.locator("#photo").bounding_box()
    for box in page.locator("#boxes li").all():
        at = box.bounding_box()
        assert photo["x"] < at["x"] < at["x"] + at["width"] < photo["x"] + photo["width"]
    assert "3 faces: " in page.locator("#said").inner_text()
    lefts = [box.bounding_box()["x"] for box in page.locator("#boxes li").all()]
    assert lefts == sorted(lefts)


@pytest.mark.parametrize("way", ["drop", "paste"])
def test_a_photo_can_be_dropped_and_pasted(open_page, way):
    page = open_page()
    page.evaluate(
        """async ([way]) => {
            const blob = await (await fetch("/examples/portrait.png")).blob();
            const data = new DataTransfer();
            data.items.add(new File([blob], "photo.png", { type: "image/png" }));
            const event = way === "drop" ? new DragEvent("drop", { dataTransfer: data, bubbles: true })
                                         : new ClipboardEvent("paste", { clipboardData: data, bubbles: true });
            document.body.dispatchEvent(event);
        }""",
        [way],
    )
    expect(page.locator(".face")).to_have_count(1)


def test_the_page_is_usable_by_keyboard_alone(open_page):
    page = open_page()
    expect(page.locator("#example-list img")).to_have_count(len(PHOTOS))

    def tab_to(selector: str) -> None:
        for _ in range(40):
            page.keyboard.press("Tab")
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                ring = page.evaluate("() => getComputedStyle(document.activeElement).outlineStyle")
                assert ring != "none", f"{selector} shows no focus"
                return
        pytest.fail(f"no Tab leads to {selector}")

    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.className") == "skip"
    tab_to("[data-do=choose]")
    tab_to("#example-list button")
    page.keyboard.press("Enter")
    expect(page.locator(".face")).to_have_count(1)
    expect(page.locator(".face-label")).to_have_text("happy")
    page.evaluate("() => document.activeElement.blur()")
    tab_to("#explain")
    page.keyboard.press("Space")
    expect(page.locator("#legend")).to_be_visible()
    tab_to("#target")
    page.keyboard.press("End")
    expect(page.locator(".face-label")).to_have_text("uncertain")
    page.keyboard.press("Home")
    expect(page.locator(".face-label")).to_have_text("happy")
    assert page.locator("#target").get_attribute("aria-valuetext") == "always answer"


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photo_is_sent_as_it_is_and_answered_as_by_every_other_way(open_page, orientation):
    """The picture of a phone, on its side, whose EXIF tells how to turn it."""
    picture = PHOTOS["portrait"] if orientation == 1 else np.rot90(PHOTOS["portrait"])
    large = cv2.resize(picture, None, fx=4, fy=4)[..., ::-1]
    jpeg = add_orientation(cv2.imencode(".jpg", large)[1].tobytes(), orientation)
    (expected,) = Predictor(open_pretrained()).predict(jpeg)
    page = open_page()
    upload(page, content=jpeg, kind="image/jpeg")
    expect(page.locator(".face-why")).to_have_text(re.compile(r"^\d+\u202f% sure$"))
    shown = int(page.locator(".face-why").inner_text().split("\u202f")[0])
    assert shown == pytest.approx(100 * expected.confidence, abs=0.51)  # half a per cent is rounded either way
    photo, box = page.locator("#photo").bounding_box(), page.locator("#boxes li").bounding_box()
    x, y, width, _ = expected.box
    assert (box["x"] - photo["x"]) / photo["width"] == pytest.approx(x / large.shape[1], abs=0.01)
    assert (box["y"] - photo["y"]) / photo["height"] == pytest.approx(y / large.shape[0], abs=0.01)
    assert box["width"] / photo["width"] == pytest.approx(width / large.shape[1], abs=0.01)


def add_orientation(jpeg: bytes, orientation: int) -> bytes:
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry + struct.pack("<I", 0)
    return jpeg[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + jpeg[2:]


def test_uncertain_is_said_with_what_it_would_be_and_what_it_takes(open_page):
    page = open_page()
    upload(page)
    expect(page.locator(".face-label")).to_have_text("happy")
    answered = (
        "([at]) => { const t = document.getElementById('target'); t.value = at; t.dispatchEvent(new Event('input')) }"
    )
    highest = [rule for rule in open_pretrained().facts.abstention if rule["threshold"] is not None][-1]
    page.evaluate(answered, [round(100 * highest["target"])])
    expect(page.locator(".face-label")).to_have_text("uncertain")
    assert f"{highest['threshold']:.0%}".strip("%") in page.locator(".face-why").inner_text()
    assert f"{highest['coverage']:.0%}".strip("%") in page.locator("#wish-text").inner_text()
    expect(page.locator("#boxes span")).to_have_text("uncertain")


def test_the_explanation_is_painted_over_the_face_and_taken_away_again(open_page):
    page = open_page()
    painted = """() => { const heat = document.getElementById("heat");
        return heat.getContext("2d").getImageData(0, 0, heat.width, heat.height).data.some((value) => value) }"""
    upload(page)
    expect(page.locator(".face")).to_have_count(1)
    assert not page.evaluate(painted)
    page.check("#explain")
    expect(page.locator("#legend")).to_be_visible()
    page.wait_for_function(painted)  # the server's answer takes its time
    page.uncheck("#explain")
    expect(page.locator("#legend")).to_be_hidden()
    page.wait_for_function(f"!({painted})()")


def test_a_photo_without_a_face_is_told(open_page):
    page = open_page()
    upload(page, "landscape")
    expect(page.locator("#none")).to_contain_text("No face was found")
    assert "no face was found" in page.locator("#said").inner_text()


def test_what_is_no_picture_is_told_and_the_next_photo_clears_it(open_page):
    page = open_page()
    upload(page, content=b"no picture", kind="text/plain")
    expect(page.locator("#problem")).to_contain_text("no picture")
    upload(page)
    expect(page.locator(".face")).to_have_count(1)
    expect(page.locator("#problem")).to_be_hidden()


def test_the_camera_is_answered_until_it_is_stopped(open_page):
    page = open_page()
    page.click("text=Use the camera")
    expect(page.locator(".face")).to_have_count(1)
    expect(page.locator(".face-label")).to_have_text("happy")
    count = len(page.asked)
    page.wait_for_timeout(1500)
    assert len(page.asked) > count + 1
    page.click("text=Take this picture")
    expect(page.locator("#photo")).to_be_visible()
    expect(page.locator(".face")).to_have_count(1)
    assert page.evaluate("() => document.getElementById('video').srcObject") is None
    page.click("[data-do=camera] >> visible=true")
    expect(page.locator("#video")).to_be_visible()
    page.click("[data-do=stop]")
    expect(page.locator("#video")).to_be_hidden()
    page.wait_for_timeout(300)
    count = len(page.asked)
    page.wait_for_timeout(800)
    assert len(page.asked) == count


@pytest.mark.parametrize("width", [320, 390, 820])
def test_nothing_is_wider_than_the_screen_and_everything_is_large_enough_to_touch(open_page, width):
    page = open_page(viewport={"width": width, "height": 800}, has_touch=True, is_mobile=True)
    upload(page, "friends")
    expect(page.locator(".face")).to_have_count(3)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    for button in page.locator("button:visible, .switch:visible").all():
        assert button.bounding_box()["height"] >= 44
    assert page.locator(".faces").bounding_box()["y"] > page.locator("#photo").bounding_box()["y"]


def test_light_and_dark_follow_the_system(open_page):
    grounds = {
        scheme: open_page(color_scheme=scheme).evaluate("() => getComputedStyle(document.body).backgroundColor")
        for scheme in ("light", "dark")
    }
    assert grounds == {"light": "rgb(246, 246, 243)", "dark": "rgb(18, 20, 22)"}


def test_the_model_is_shown_with_its_scores_and_limits(open_page):
    page = open_page()
    test = open_pretrained().facts.scores["test"]
    expect(page.locator("#scores")).to_contain_text(f"{100 * test['accuracy']['value']:.1f}")
    expect(page.locator("#scores")).to_contain_text(f"{100 * test['accuracy']['low']:.1f}")
    expect(page.locator("#model-text")).to_contain_text("the model that ships with Ferrule")
    expect(page.locator("#recalls li")).to_have_count(7)
    assert page.locator("#curve polyline").count() == 1
    expect(page.locator(".use")).to_contain_text("EU AI Act")
    assert page.locator("a[href='/model/card']").count() == 1


def test_a_server_with_a_token_asks_for_it_once(open_page):
    with serving(access=Access(TOKEN, None)) as guarded:
        page = open_page(guarded)
        for attempt in ("wrong", TOKEN):
            expect(page.locator("#token-dialog")).to_be_visible()
            page.fill("#token", attempt)
            page.keyboard.press("Enter")
        expect(page.locator("#scores")).to_contain_text("Accuracy")
        upload(page)
        expect(page.locator(".face")).to_have_count(1)
        assert not page.locator("#token-dialog").is_visible()
        page.faults[:] = [fault for fault in page.faults if "401" not in fault]  # the browser tells of each


def test_the_model_card_keeps_its_styles_under_a_policy_that_names_them(open_page, tmp_path):
    """A card with a table whose numbers stand on the right, beside a copy of the model that ships."""
    folder = tmp_path / "model"
    shutil.copytree(PRETRAINED, folder, ignore=shutil.ignore_patterns("*.py", "__pycache__", "*.parquet"))
    (folder / "model_card.html").write_text(render_page("faces", "# Faces\n\n| a | b |\n|---|---:|\n| 1 | 2 |\n"))
    with serving(create_app(Follower(PortableModel.open(folder)))) as address:
        page = open_page(f"{address}/model/card")
        cell = page.locator("td").last
        assert cell.evaluate("cell => getComputedStyle(cell).textAlign") == "right"
        assert page.evaluate("() => getComputedStyle(document.querySelector('h1')).fontSize") == "28.8px"


STYLE = (REPOSITORY / "ferrule" / "web" / "page" / "style.css").read_text()


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
@pytest.mark.parametrize(
    "pair",
    [
        "ink panel",
        "ink ground",
        "soft panel",
        "soft ground",
        "accent ground",
        "accent-ink accent",
        "doubt panel",
        "wrong wrong-ground",
        "ink doubt-ground",
    ],
)
def test_text_stands_out_from_its_ground(scheme, pair):
    """At least 4.5 to 1, as WCAG 2.2 asks of text (1.4.3)."""
    bright, dark = sorted(luminance(re.findall(rf"--{name}: #(\w+);", STYLE)[scheme]) for name in pair.split())[::-1]
    assert (bright + 0.05) / (dark + 0.05) >= 4.5


def luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    linear = [share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4 for share in shares]
    return sum(weight * share for weight, share in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_the_page_is_small():
    assert sum(path.stat().st_size for path in (Path(REPOSITORY) / "ferrule" / "web" / "page").iterdir()) < 60_000
