"""A server that assesses every image before anything answers: moderation, chat, and a guardrail for LiteLLM."""
