import jinja2

from recipes.smol.chat_template import CHAT_TEMPLATE


def render(messages, **options) -> str:
    return jinja2.Environment().from_string(CHAT_TEMPLATE).render(messages=messages, **options)


def test_text_is_written_as_chatml_whether_it_comes_as_a_string_or_in_parts():
    parts = [{"type": "text", "text": "Hello"}]
    for content in ("Hello", parts):
        assert render([{"role": "user", "content": content}]) == "<|im_start|>user\nHello<|im_end|>\n"


def test_an_image_stands_where_it_is_shown_and_the_answer_begins_on_a_line_of_its_own():
    content = [{"type": "image"}, {"type": "text", "text": "What is it?"}]
    written = render([{"role": "user", "content": content}], add_generation_prompt=True)
    assert written == "<|im_start|>user\n<image>\nWhat is it?<|im_end|>\n<|im_start|>assistant\n"
