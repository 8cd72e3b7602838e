"""
lmms-eval asks the server as it asks any endpoint that speaks OpenAI's form. Skipped where it is not installed, as in
CI: it brings some thirty packages and takes half a minute to start.
"""

import json
import os
import subprocess
import sys

import pytest


pytest.importorskip("lmms_eval", reason="lmms-eval is not installed: pip install --no-deps lmms-eval==0.7.3")

from evaluation.lmms.lmms_files import TASKS, write_tasks
from serving.request_bodies import acting

from safe_llava.models.safety_labels import RISK_TYPES
from safe_llava.serving.server_app import build_app


def test_its_tasks_are_answered(serve, listen, make_image, tmp_path):
    write_tasks(tmp_path, make_image)
    server = serve(acting("refuse", refusals=dict.fromkeys(RISK_TYPES, "No, thanks.")))
    arguments = f"model=tiny,base_url={listen(build_app(server.service))}/v1,api_key=none"
    command = [sys.executable, "-m", "lmms_eval", "--model", "openai", "--model_args", arguments]
    command += ["--include_path", ".", "--tasks", ",".join(TASKS), "--gen_kwargs", "max_new_tokens=16"]
    command += ["--log_samples", "--output_path", "out"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1"}
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    lines = [line for file in (tmp_path / "out").rglob("*samples*.jsonl") for line in file.read_text().splitlines()]
    assert [json.loads(line)["filtered_resps"] for line in lines] == ["No, thanks."] * 29
