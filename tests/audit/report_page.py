"""What a reviewer does on the page of an audit."""

from pathlib import Path

from playwright.sync_api import Locator, Page, expect


def cards(page: Page, section: str) -> Locator:
    return page.locator(f"#{section} .card")


def tick(page: Page, section: str, index: int, name: str) -> None:
    cards(page, section).nth(index).get_by_label(name).check()


def share(page: Page, section: str) -> Locator:
    return page.locator(f'.estimate[data-estimate="{section}"] .share')


def key_of(card: Locator) -> str:
    return card.get_attribute("data-key")


def export(page: Page, kind: str, folder: Path) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name=f"Export ticks as {kind}").click()
    path = folder / download.value.suggested_filename
    download.value.save_as(path)
    return path


def import_ticks(page: Page, path: Path) -> str:
    page.get_by_label("Import ticks").set_input_files(path)
    message = page.locator("#message")
    expect(message).not_to_be_empty()
    return message.text_content()
