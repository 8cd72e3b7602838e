"""inspect asks the server as it asks any endpoint that speaks OpenAI's form."""

import pytest


pytest.importorskip("inspect_ai", reason="inspect-ai needs Python 3.11")

from inspect_ai import Task, eval
from inspect_ai.dataset import MemoryDataset, Sample
from inspect_ai.log import EvalLog
from inspect_ai.model import (
    ChatMessageAssistant,
    ChatMessageUser,
    Content,
    ContentImage,
    ContentText,
    GenerateConfig,
    get_model,
)
from inspect_ai.scorer import includes
from inspect_ai.solver import generate, system_message
from serving.request_bodies import acting

from safe_llava.models.safety_labels import RISK_TYPES
from safe_llava.serving.server_app import build_app


REFUSING = acting("refuse", refusals=dict.fromkeys(RISK_TYPES, "No, thanks."))


def ask(text: str, *urls: str) -> ChatMessageUser:
    images: list[Content] = [ContentImage(image=url) for url in urls]
    return ChatMessageUser(content=[*images, ContentText(text=text)])


@pytest.fixture
def evaluate(serve, listen, tmp_path, image_url, other_url):
    """`evaluate(policy changes, **generation options)`: texts, images and turns under a system message."""

    def evaluate(changes: dict, **options) -> EvalLog:
        url = f"{listen(build_app(serve(changes).service))}/v1"
        chats = {
            "text": "Hello?",
            "image": [ask("Who is this?", image_url)],
            "two images": [ask("Which is red?", image_url, other_url)],
            "turns": [ask("Who is this?", image_url), ChatMessageAssistant(content="Nobody."), ask("Sure?")],
        }
        samples = [Sample(id=id, input=chat, target="thanks") for id, chat in chats.items()]
        task = Task(MemoryDataset(samples), solver=[system_message("Be brief."), generate()], scorer=includes())
        model = get_model("openai-api/safe-llava/tiny", base_url=url, api_key="none", memoize=False)
        config = GenerateConfig(**{"max_tokens": 4, **options})
        [log] = eval(task, model=model, display="none", log_dir=str(tmp_path), **config.model_dump(exclude_none=True))
        assert log.status == "success", log.error
        return log

    return evaluate


def test_its_refusals_are_answers_to_score(evaluate):
    log = evaluate(REFUSING)
    scores = {sample.id: sample.scores["includes"].value for sample in log.samples}
    assert scores == {"text": "I", "image": "C", "two images": "C", "turns": "C"}


def test_every_option_of_decoding_that_the_server_knows_may_be_set(evaluate):
    log = evaluate(
        acting("answer"),
        temperature=0.5,
        top_p=0.9,
        seed=3,
        num_choices=2,
        stop_seqs=["."],
        frequency_penalty=0.0,
        presence_penalty=0.0,
    )
    assert [len(sample.output.choices) for sample in log.samples] == [2] * 4
    assert all(0 < sample.output.usage.output_tokens <= 8 for sample in log.samples)
