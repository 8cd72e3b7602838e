"""
The bodies of requests. A field that would have no effect is refused, but for those that change no answer.

Where a field is accepted in one value only, this is the value that asks for nothing.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field


class Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


Absent = Annotated[list[Any] | None, Field(max_length=0)]
Zero = Annotated[float | None, Field(ge=0, le=0)]


class TextPart(Body):
    type: Literal["text"]
    text: str


class RefusalPart(Body):
    type: Literal["refusal"]
    refusal: str


class ImageUrl(Body):
    url: str
    detail: Literal["auto", "low", "high", "original"] | None = None


class ImagePart(Body):
    type: Literal["image_url"]
    image_url: ImageUrl


Part = Annotated[TextPart | ImagePart, Field(discriminator="type")]
AnswerPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


class SystemMessage(Body):
    role: Literal["system", "developer"]
    content: str | list[TextPart]
    name: str | None = None


class UserMessage(Body):
    role: Literal["user"]
    content: str | list[Part]
    name: str | None = None


class AssistantMessage(Body):
    role: Literal["assistant"]
    content: str | list[AnswerPart] | None = None
    refusal: str | None = None
    name: str | None = None
    annotations: Absent = None
    audio: None = None
    function_call: None = None
    tool_calls: Absent = None
    parsed: None = None


Message = Annotated[SystemMessage | UserMessage | AssistantMessage, Field(discriminator="role")]


class StreamOptions(Body):
    include_usage: bool = False
    include_obfuscation: Literal[False] = False


class ResponseFormat(Body):
    type: Literal["text"]


class ChatRequest(Body):
    """`POST /v1/chat/completions`. `safety_policy` is ours."""

    model: str
    messages: list[Message] = Field(min_length=1)
    max_tokens: int | None = Field(default=None, ge=1)
    max_completion_tokens: int | None = Field(default=None, ge=1)
    temperature: float | None = Field(default=None, ge=0, le=2, allow_inf_nan=False)
    top_p: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    n: int | None = Field(default=None, ge=1)
    stop: str | list[str] | None = None
    seed: int | None = Field(default=None, ge=-(2**63), lt=2**63)
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    safety_policy: dict[str, Any] | None = None
    # What changes no answer.
    metadata: dict[str, Any] | None = None
    moderation: dict[str, Any] | None = None
    prompt_cache_key: str | None = None
    prompt_cache_retention: str | None = None
    safety_identifier: str | None = None
    service_tier: str | None = None
    user: str | None = None
    # What is not done here, in the value that asks for nothing.
    audio: None = None
    frequency_penalty: Zero = None
    function_call: Literal["none"] | None = None
    functions: Absent = None
    logit_bias: Annotated[dict[str, Any] | None, Field(max_length=0)] = None
    logprobs: Literal[False] | None = None
    modalities: list[Literal["text"]] | None = None
    parallel_tool_calls: bool | None = None
    prediction: None = None
    presence_penalty: Zero = None
    reasoning_effort: None = None
    response_format: ResponseFormat | None = None
    store: Literal[False] | None = None
    tool_choice: Literal["none", "auto"] | None = None
    tools: Absent = None
    top_logprobs: Annotated[int | None, Field(ge=0, le=0)] = None
    verbosity: None = None
    web_search_options: None = None


class ModerationRequest(Body):
    """`POST /v1/moderations`. Parts are one input; a list of lists of parts, and `safety_policy`, are ours."""

    input: str | list[str] | list[Part] | list[list[Part]]
    model: str | None = None
    safety_policy: dict[str, Any] | None = None


class GuardrailRequest(BaseModel):
    """`POST /beta/litellm_basic_guardrail_api`. LiteLLM tells much more about its call."""

    model_config = ConfigDict(extra="ignore")

    input_type: Literal["request", "response"]
    texts: list[str] | None = None
    images: list[str] | None = None
    structured_messages: list[dict[str, Any]] | None = None
