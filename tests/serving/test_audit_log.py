"""The audit log: a line for every request, before its answer leaves, and of content only what the operator wants."""

import json
import stat

import pytest
from serving.request_bodies import acting, image_part, text_part, to_data_url

from safe_llava.serving.audit_log import AuditLog


def test_a_request_leaves_digests_verdict_action_policy_and_latency(serve, image_url):
    server = serve(acting("hint"))
    server.chat(image_part(image_url), text_part("Who is this?"))
    assessed, answered = server.lines()
    assert len(assessed["images"][0]) == 64
    assert (assessed["level"], assessed["action"], assessed["trusted"]) == ("high", "hint", True)
    assert assessed["policy_version"] == server.service.policies.current.version
    assert assessed["latency_ms"] > 0
    assert (answered["id"], answered["outcome"], answered["generated"]) == (assessed["id"], "whole", True)
    assert answered["latency_ms"] >= assessed["latency_ms"]


def test_a_line_has_the_scores_of_each_image_where_there_are_several(serve, image_url, other_url):
    server = serve(acting("answer"))
    server.moderate([image_part(image_url), image_part(other_url)])
    server.moderate([image_part(image_url)])
    two, one = server.lines("assessed")
    assert [len(two[f"separate_{name}_logits"]) for name in ("level", "type")] == [3, 3]
    assert two["level_logits"] in two["separate_level_logits"]
    assert "separate_level_logits" not in one


def test_an_unfamiliar_image_has_its_scores_and_the_reason(serve, discerning_safe_llava, image_url, strange_image):
    server = serve(model=discerning_safe_llava)
    server.moderate([image_part(to_data_url(strange_image))])
    server.moderate([image_part(image_url)])
    strange, familiar = server.lines("assessed")
    assert (strange["trusted"], strange["distrust"], strange["action"]) == (False, "unfamiliar", "refuse")
    assert (familiar["trusted"], familiar["action"]) == (True, "answer")
    assert "distrust" not in familiar
    assert strange["weights"] == familiar["weights"] and len(strange["level_logits"]) == 4


def test_content_is_written_down_only_where_it_is_asked_for(serve, image_url, caplog):
    for log_content in (False, True):
        server = serve(acting("answer"), log_content=log_content)
        server.chat(image_part(image_url), text_part("secret words"))
        server.moderate([image_part(image_url), text_part("secret words")])
        server.post("/beta/litellm_basic_guardrail_api", {"input_type": "request", "texts": ["secret words"]})
        server.chat(image_part("data:image/png;base64,AAAA"), text_part("secret words"))
        text = server.service.log.path.read_text()
        assert text.count("secret words") == 3 * log_content
        assert (image_url in text) == log_content
    assert "secret words" not in caplog.text


def test_nothing_is_answered_that_cannot_be_written_down(serve, image_url, monkeypatch):
    server = serve(acting("answer"))
    handler = server.service.log._handler
    opened = handler._open
    monkeypatch.setattr(handler, "_open", lambda: Broken(opened()))
    handler.drop_stream()
    replies = [server.chat(image_part(image_url)), server.moderate([image_part(image_url)]), server.moderate("Hi.")]
    assert [reply.status_code for reply in replies] == [500] * 3
    assert server.service.metrics.registry.get_sample_value("safe_llava_generations_total") == 0


def test_what_a_full_disk_tore_swallows_no_later_line(tmp_path, monkeypatch):
    log = AuditLog(tmp_path / "audit.jsonl", max_bytes=10**6, num_files=3)
    log.write("assessed", id="a")
    opened, disks = log._handler._open, [lambda file: file, Torn]
    monkeypatch.setattr(log._handler, "_open", lambda: disks.pop()(opened()))
    log._handler.drop_stream()
    with pytest.raises(OSError, match="No space"):
        log.write("content", id="b", content="x" * 20_000)
    log.write("assessed", id="c")
    log.close()
    first, torn, last = log.path.read_text().splitlines()
    assert (json.loads(first)["id"], json.loads(last)["id"]) == ("a", "c")
    assert not torn.endswith("}")


class Broken:
    """A file on a full disk."""

    def __init__(self, file):
        self.file = file

    def write(self, text: str) -> None:
        raise OSError(28, "No space left on device")

    def __getattr__(self, name: str):
        return getattr(self.file, name)


class Torn(Broken):
    """A file on a disk that had room for half of a line."""

    def write(self, text: str) -> None:
        self.file.write(text[: len(text) // 2])
        self.file.flush()
        super().write(text)


def test_old_parts_are_kept_beside_and_only_their_owner_reads_them(tmp_path):
    log = AuditLog(tmp_path / "logs" / "audit.jsonl", max_bytes=500, num_files=50)
    for number in range(40):
        log.write("assessed", number=number)
    log.close()
    files = sorted((tmp_path / "logs").iterdir())
    assert len(files) > 3
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    numbers = [json.loads(line)["number"] for file in files for line in file.read_text().splitlines()]
    assert sorted(numbers) == list(range(40))


def test_a_torn_line_stays_one_line(tmp_path):
    (tmp_path / "audit.jsonl").write_text('{"event": "assessed"}\n{"event": "ass')
    log = AuditLog(tmp_path / "audit.jsonl", 2**20, 1)
    log.write("assessed", number=1)
    log.close()
    lines = (tmp_path / "audit.jsonl").read_text().splitlines()
    assert len(lines) == 3
    assert json.loads(lines[2])["number"] == 1


@pytest.mark.parametrize("text", ["\u2028", "\n", '"', "\U0001f600"])
def test_whatever_a_client_names_is_one_line(tmp_path, text):
    log = AuditLog(tmp_path / "audit.jsonl", 2**20, 1)
    log.write("content", content=text)
    log.close()
    [line] = (tmp_path / "audit.jsonl").read_bytes().strip().split(b"\n")
    assert json.loads(line)["content"] == text


def test_two_servers_do_not_share_a_log(tmp_path):
    path = tmp_path / "log.jsonl"
    first = AuditLog(path, 200, 5)
    for _ in range(10):  # new files begin
        first.write("assessed", id="a")
        with pytest.raises(BlockingIOError, match="--audit-log"):
            AuditLog(path, 200, 5)
    first.close()
    AuditLog(path, 200, 5).close()
