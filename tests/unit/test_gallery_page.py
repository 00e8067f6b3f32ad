"""The gallery in a browser: skipped where selenium, Chromium and its driver are not installed."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seediff.datasets.images import Pair
from seediff.datasets.origins import Origin
from seediff.gallery.entries import Table
from seediff.gallery.page import write_gallery

NUMBER = 130
HOSTILE = "</script><img src=x onerror=document.title='run'>"


@dataclass(frozen=True)
class Drawn:
    """Images of noise with a square that grows; every tenth is black."""

    classes: tuple[str, ...] = ("cat", "dog")
    names: list[str] = field(default_factory=lambda: [f"key-{index:03d}" for index in range(NUMBER)])
    identity: str = "drawn"

    def __len__(self) -> int:
        return NUMBER

    def __getitem__(self, index: int) -> Pair:
        image = np.random.default_rng(index).integers(0, 256, (20, 20, 3), np.uint8)
        labels = np.zeros((20, 20), np.uint8)
        labels[: 1 + index // 10, :10] = 1 + index % 2
        return image * (index % 10 != 0), labels


class Page:
    """The page as its user sees it."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def get(self, name: str) -> Any:
        return self.driver.find_element("id", name)

    def choose(self, name: str, text: str) -> None:
        from selenium.webdriver.support.ui import Select

        Select(self.get(name)).select_by_visible_text(text)

    def press(self, *keys: str) -> None:
        from selenium.webdriver import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    @property
    def cards(self) -> list[Any]:
        return self.driver.find_elements("css selector", ".card")

    @property
    def keys(self) -> list[str]:
        return [key.text for key in self.driver.find_elements("css selector", ".key")]

    @property
    def counts(self) -> str:
        return self.get("counts").text


@pytest.fixture
def page(tmp_path: Path) -> Iterator[Page]:
    webdriver = pytest.importorskip("selenium.webdriver")
    program, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not program or not driver:
        pytest.skip("Chromium or its driver is not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = program
    for argument in ("--headless", "--no-sandbox", "--disable-gpu", "--window-size=1200,900"):
        options.add_argument(argument)
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path / "downloads")})
    data = Drawn()
    origin = Origin({"key-005": f"five {HOSTILE}"})
    table = Table(("clip",), {name: {"clip": 1 - index / 1000} for index, name in enumerate(data.names) if index})
    write_gallery(data, "pairs", tmp_path / "page.html", origin, table)
    opened = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    try:
        opened.get((tmp_path / "page.html").as_uri())
        yield Page(opened)
    finally:
        opened.quit()


def test_images_are_found_rejected_and_downloaded(page: Page, tmp_path: Path) -> None:
    from selenium.webdriver.common.keys import Keys

    assert page.counts == "130 images, 130 shown, 0 rejected" and page.keys[:2] == ["key-000", "key-001"]
    assert page.driver.title == "pairs" and len(page.keys) == 60
    assert page.driver.execute_script("return [...document.images].every(image => image.naturalWidth === 20)")

    page.press(Keys.ARROW_RIGHT)
    assert page.get("place").text == "page 2 of 3" and page.keys[0] == "key-060"
    page.press(Keys.END, Keys.ARROW_RIGHT)
    assert page.get("place").text == "page 3 of 3" and len(page.keys) == 10
    page.press(Keys.HOME)

    page.choose("sort", "clip")
    assert page.keys[:2] == ["key-129", "key-128"]  # ascending
    page.get("order").click()
    assert page.keys[:2] == ["key-001", "key-002"]
    page.get("low").send_keys("0.995")
    assert page.keys == ["key-001", "key-002", "key-003", "key-004", "key-005"]  # and none without the measure
    page.choose("class", "dog (65)")
    assert page.keys == ["key-001", "key-003", "key-005"]

    page.cards[1].click()
    page.driver.execute_script("arguments[0].focus()", page.cards[2])
    page.press(Keys.ENTER)
    assert page.counts == "130 images, 3 shown, 2 rejected"
    page.press(Keys.ENTER)
    page.get("reject").click()
    assert page.counts == "130 images, 3 shown, 3 rejected"
    page.get("download").click()
    downloaded = tmp_path / "downloads" / "rejected.txt"
    for _ in range(100):
        if not downloaded.exists():
            time.sleep(0.1)
    assert downloaded.read_text() == "key-001\nkey-003\nkey-005\n"

    page.driver.refresh()
    assert page.counts == "130 images, 130 shown, 3 rejected"
    page.choose("state", "rejected")
    page.get("text").send_keys("FIVE")
    assert page.keys == ["key-005"] and HOSTILE in page.cards[0].text
    page.choose("state", "all")
    page.get("text").clear()
    page.get("text").send_keys(" ")
    page.choose("flaw", "black (13)")
    assert page.keys == [f"key-{index:03d}" for index in range(0, NUMBER, 10)]
    assert page.driver.title == "pairs" and not page.driver.get_log("browser")


def test_many_are_rejected_only_when_it_is_confirmed(page: Page) -> None:
    page.get("reject").click()
    page.driver.switch_to.alert.dismiss()
    assert page.counts == "130 images, 130 shown, 0 rejected"
    page.get("reject").click()
    page.driver.switch_to.alert.accept()
    assert page.counts == "130 images, 130 shown, 130 rejected"


def test_the_view_changes(page: Page) -> None:
    def pictures() -> int:
        return len(page.cards[0].find_elements("tag name", "img"))

    seen = [pictures()]
    for _ in range(3):
        page.press("v")
        seen.append(pictures())
    assert seen == [3, 2, 1, 3]
