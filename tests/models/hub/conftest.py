"""A checkpoint folder as recipes leave it, and the processes that push and pull it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from loopback_hub import LoopbackHub

from safe_llava.model_card import write_model_card
from tests.family_members import MEMBERS, alarm, build_member


HERE = Path(__file__).parent
METRICS = {
    "base": {"unsafe_answer_rate": 0.96, "intervals": {"unsafe_answer_rate": [0.93, 0.98]}},
    "stage2": {"unsafe_answer_rate": 0.0125, "level_accuracy": 0.975},
    "data": "600 held-out synthetic scenes",
    "seed": 7,
}


@pytest.fixture(scope="session")
def checkpoint(alarmed_safe_llava, tiny_processor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkpoint")
    alarmed_safe_llava.save_pretrained(folder)
    tiny_processor.save_pretrained(folder)
    write_model_card(folder, METRICS, base_model="llava-hf/llava-1.5-7b-hf", license="llama2")
    return folder


@pytest.fixture(scope="session")
def image(make_image, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pictures") / "picture.png"
    make_image(2).save(path)
    return path


@pytest.fixture(scope="session")
def hub() -> Iterator[LoopbackHub]:
    with LoopbackHub() as hub:
        yield hub


@pytest.fixture(scope="session")
def run(hub: LoopbackHub, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """Runs a script of this folder against the loopback Hub, with an empty cache, and returns what it prints."""

    def run(script: str, *arguments: object) -> str:
        environment = os.environ | {
            "HF_ENDPOINT": hub.endpoint,
            "HF_HOME": str(tmp_path_factory.mktemp("hf_home")),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_TOKEN": "loopback",
            "no_proxy": "127.0.0.1",
        }
        command = [sys.executable, str(HERE / script), *map(str, arguments)]
        process = subprocess.run(
            command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300
        )
        assert process.returncode == 0, process.stderr
        return process.stdout

    return run


def say(model: Any, processor: Any, image: Path) -> dict[str, Any]:
    parts = [{"type": "image", "path": str(image)}, {"type": "text", "text": "What is this?"}]
    inputs = processor.apply_chat_template(
        [{"role": "user", "content": parts}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    output = model.generate(**inputs, max_new_tokens=8, do_sample=False, return_dict_in_generate=True)
    assert output.safety_decisions[0].action == "hint"
    answer = processor.decode(output.sequences[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return {"answer": answer.strip(), "verdict": output.safety_verdict.to_list()[0]}


@pytest.fixture(scope="session")
def said_in_process(alarmed_safe_llava, tiny_processor, image: Path) -> dict[str, Any]:
    """Answer and verdict of the very model that was saved."""
    return say(alarmed_safe_llava, tiny_processor, image)


@pytest.fixture(scope="session")
def family(image: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Path, dict[str, Any]]:
    """Checkpoints of the other members of the family, and what each says in this process."""
    said = {}
    for model_type in MEMBERS:
        folder, member = tmp_path_factory.mktemp("family") / model_type, build_member(model_type)
        model = alarm(member.model)
        model.save_pretrained(folder)
        member.processor.save_pretrained(folder)
        said[folder] = say(model, member.processor, image)
    return said


@pytest.fixture(scope="session")
def converted(
    run, checkpoint, family, tiny_llava, tiny_llava_processor, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Pushes all that `push.py` pushes. The result is what it pulled from the Hub and converted."""
    llava, converted = tmp_path_factory.mktemp("llava"), tmp_path_factory.mktemp("converted")
    tiny_llava.save_pretrained(llava)
    tiny_llava_processor.save_pretrained(llava)
    run("push.py", checkpoint, llava, converted, *family)
    return converted


@pytest.fixture(scope="session")
def pulled(run, converted, checkpoint, family, image: Path) -> dict[str, dict[str, Any]]:
    """What the model says in fresh processes, by `"with-package"` or `"without-package"` and by source."""

    def pull(mode: str) -> dict[str, Any]:
        sources = ["org/safe-llava", checkpoint, *(f"org/{folder.name}" for folder in family)]
        return json.loads(run("pull.py", mode, image, *sources).splitlines()[-1])

    modes = ["with-package", "without-package"]
    with ThreadPoolExecutor() as pool:
        return dict(zip(modes, pool.map(pull, modes)))
