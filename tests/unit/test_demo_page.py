"""The demo page in a browser: draw, move a threshold, click a place, download; skipped where there is no Chromium."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import seediff
from seediff.datasets.images import decode_mask

pytest.importorskip("gradio")

DRIVER, BROWSER = shutil.which("chromedriver"), shutil.which("chromium")
SECONDS = 120


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    from seediff.demo.page import HOST, launch

    blocks = launch(seediff.load("pictograms"), 0, 2.0, tmp_path_factory.mktemp("page"), wait=False)
    yield f"http://{HOST}:{blocks.server_port}"
    blocks.close()


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def driver(downloads: Path) -> Iterator[Any]:
    selenium = pytest.importorskip("selenium.webdriver")
    if DRIVER is None or BROWSER is None:
        pytest.skip("needs Chromium and its driver")
    options = selenium.ChromeOptions()
    options.binary_location = BROWSER
    for flag in ("headless=new", "no-sandbox", "disable-gpu", "disable-background-networking", "window-size=1500,1100"):
        options.add_argument(f"--{flag}")
    options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    browser = selenium.Chrome(options, selenium.ChromeService(DRIVER))
    yield browser
    browser.quit()


def until(found: Callable[[], Any]) -> Any:
    """What is found, once it is there."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        try:
            if result := found():
                return result
        except Exception:  # elements come and go while the page is made
            pass
        time.sleep(0.2)
    raise AssertionError("it did not come")


def picture(driver: Any, name: str) -> str | None:
    """The address of the picture that a part of the page shows."""
    found = driver.find_elements("css selector", f"#{name} img")
    return found[0].get_attribute("src") if found else None


def slide(driver: Any, name: str, value: float) -> None:
    field = driver.find_element("css selector", f"#{name} input[type=number]")
    driver.execute_script("arguments[0].value = ''", field)
    field.send_keys(str(value), "\n")


@pytest.mark.slow
def test_a_visit(served: str, driver: Any, downloads: Path) -> None:
    from selenium.webdriver import ActionChains

    driver.get(served)
    until(lambda: driver.find_element("css selector", "#draw"))
    slide(driver, "steps", 4)
    driver.find_element("css selector", "#draw").click()
    drawn = until(lambda: picture(driver, "image"))
    first = until(lambda: picture(driver, "mask"))
    assert until(lambda: len(driver.find_elements("css selector", "#gallery img")) >= 2)
    slide(driver, "beta", 0.9)
    second = until(lambda: (now := picture(driver, "mask")) != first and now)
    assert picture(driver, "image") == drawn  # nothing was drawn again
    assert second != first
    image = driver.find_element("css selector", "#image img")
    ActionChains(driver).move_to_element(image).click().perform()
    assert until(lambda: picture(driver, "attention"))
    driver.find_element("css selector", "#download").click()
    saved = until(lambda: list(downloads.glob("*.png")))
    labels = decode_mask(saved[0].read_bytes(), "mask")
    assert labels.shape == (64, 64) and {*np.unique(labels)} <= {0, 1}


@pytest.mark.slow
def test_what_is_wrong_is_said(served: str, driver: Any) -> None:
    driver.get(served)
    words = until(lambda: driver.find_element("css selector", "#words textarea, #words input"))
    words.clear()
    words.send_keys("cat, cat")
    driver.find_element("css selector", "#prompt textarea, #prompt input").send_keys("a photo of a bus")
    driver.find_element("css selector", "#draw").click()
    assert until(lambda: "is not in the prompt" in driver.find_element("css selector", "body").text)


def test_it_is_served_on_this_machine_alone(served: str) -> None:
    assert served.startswith("http://127.0.0.1:")


def test_what_a_look_shows() -> None:
    from seediff.demo.looking import attention_picture, labels_of, look_at, mask_picture, step_pictures, words_in

    pipe = seediff.load("pictograms")
    photograph = np.random.default_rng(0).integers(0, 255, (50, 90, 3)).astype(np.uint8)
    look = look_at(pipe, photograph, words_in(" cat, bus "))
    assert look.words == ("cat", "bus") and look.original.shape == (50, 90, 3) and "look" in look.variants
    labels = labels_of(look, "look", 0.5, 0.3, True)
    np.testing.assert_array_equal(labels, seediff.segment(pipe, photograph, ["cat", "bus"]))
    assert isinstance(mask_picture(look, labels), Image.Image)
    bus, cat = (step_pictures(look, word, "seediff", 0.5) for word in ("bus", "cat"))
    assert bus[0][0].tobytes() != cat[0][0].tobytes()
    names = [name for _, name in bus]
    assert names == ["cross attention 1/4", "expand 1/4", "expand 1/2", "expand 1", "background 1"]
    corner, centre = (attention_picture(look, *at) for at in ((0.0, 0.0), (0.5, 0.5)))
    assert corner.size == centre.size and np.asarray(corner).tobytes() != np.asarray(centre).tobytes()
    with pytest.raises(seediff.SeediffError, match="Name at least one word"):
        words_in(" , ")
