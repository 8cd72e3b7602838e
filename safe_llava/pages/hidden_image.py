"""An image on a page that nobody sees who does not ask to."""

from nicegui import ui


_SWITCH = """(event) => {
    const shown = event.currentTarget.classList.toggle("shown");
    event.currentTarget.setAttribute("aria-pressed", shown);
}"""


def hidden_image(source: str, name: str) -> None:
    """
    An image that is blurred until it is clicked, and again after the next click; the server has no part in it.

    Args:
        source (`str`): its address, or a data URL.
        name (`str`): what the image is called, such as "image 1".
    """
    with (
        ui.element("button")
        .classes("image")
        .props(f'type="button" aria-pressed="false" aria-label="Show {name}"')
        .on("click", js_handler=_SWITCH)
    ):
        ui.element("img").props(f'alt="{name[:1].upper() + name[1:]}"').props["src"] = source
        ui.label("Hidden. Click to show.").classes("cover")
