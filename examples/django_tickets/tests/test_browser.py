"""A person's way through the page, in a real browser that talks to a live server."""

import shutil

import pytest
from selenium import webdriver
from selenium.webdriver.common.by import By

PROGRAMS = ("chromium", "chromedriver")


@pytest.fixture(scope="module")
def browser():
    if missing := [name for name in PROGRAMS if shutil.which(name) is None]:
        pytest.skip(f"not installed: {', '.join(missing)} (Debian: apt-get install chromium chromium-driver)")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    browser = webdriver.Chrome(options=options, service=webdriver.ChromeService(shutil.which("chromedriver")))
    yield browser
    browser.quit()


@pytest.mark.parametrize("buyer", ["Ann", "Bob"])
def test_a_ticket_is_bought(live_server, browser, buyer):
    browser.get(live_server.url)
    hamlet = browser.find_element(By.XPATH, "//section[h2='Hamlet']")
    assert "0 of 2 seats sold" in hamlet.text
    hamlet.find_element(By.NAME, "buyer").send_keys(buyer)
    hamlet.find_element(By.TAG_NAME, "button").click()
    browser.implicitly_wait(10)
    assert browser.find_element(By.XPATH, "//section[h2='Hamlet']/p[starts-with(., '1 of 2')]")
