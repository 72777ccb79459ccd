"""Which provider a model's name tells of."""
from __future__ import annotations

import re

# What may stand before the first slash of a model's name: litellm's prefixes, and OpenTelemetry's gen_ai.provider.name.
KNOWN = frozenset("""
    ai21 ai21_chat aiml aleph_alpha anthropic anthropic_text anyscale aws.bedrock azure azure.ai.inference azure.ai.openai azure_ai azure_text
    baseten bedrock bedrock_converse bytez cerebras clarifai cloudflare codestral cohere cohere_chat cometapi compactifai dashscope databricks
    datarobot deepgram deepinfra deepseek elevenlabs empower fal_ai featherless_ai fireworks_ai friendliai galadriel gcp.gemini gcp.gen_ai
    gcp.vertex_ai gemini gigachat github github_copilot google google_ai_studio groq heroku hosted_vllm huggingface hyperbolic ibm.watsonx.ai
    inception infinity jina_ai lambda_ai langfuse lemonade litellm_proxy llamafile lm_studio maritalk meta_llama minimax mistral mistral_ai
    moonshot morph nebius nlp_cloud novita nscale nvidia_nim ollama ollama_chat openai openai_like openrouter oobabooga ovhcloud perplexity
    petals predibase publicai recraft replicate runwayml sagemaker sagemaker_chat sambanova snowflake text-completion-codestral
    text-completion-openai together_ai topaz triton v0 vercel_ai_gateway vertex_ai vertex_ai_beta vllm volcengine voyage wandb watsonx
    watsonx_text x_ai xai xinference zai
""".split())

# A family begins the name, or a part of it: claude-3, us.anthropic.claude-3, models/gemini-pro.
_FAMILIES = (
    (re.compile(r"(?:^|[./])claude(?![a-z])", re.IGNORECASE), "anthropic"),
    (re.compile(r"(?:^|[./])(?:chat)?gpt(?![a-z])", re.IGNORECASE), "openai"),
    (re.compile(r"(?:^|[./])o[1-9](?![a-z0-9])", re.IGNORECASE), "openai"),
    (re.compile(r"(?:^|[./])gemini(?![a-z])", re.IGNORECASE), "google"),
)
UNKNOWN = "unknown"


def provider_of(model: str) -> str:
    """The part before the first slash where that is a known provider; else by well-known families of models; else "unknown"."""
    prefix, slash, _ = model.partition("/")
    if slash and prefix.lower() in KNOWN:
        return prefix.lower()
    for family, provider in _FAMILIES:
        if family.search(model):
            return provider
    return UNKNOWN


def without_prefix(model: str) -> str:
    """The model's name behind its first slash; the name itself if there is none."""
    return model.partition("/")[2] or model
