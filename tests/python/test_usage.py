"""The usage of OpenAI's and Anthropic's responses, as objects and as dicts."""
import types
from decimal import Decimal

import support
from usagelog import Log, anthropic_counts, openai_counts, record_anthropic, record_openai

NAMES = ("input_tokens", "cache_read_tokens", "cache_write_5m_tokens", "cache_write_1h_tokens", "output_tokens", "reasoning_tokens")


def thing(value):
    """A dict as an object, as the clients' libraries have it."""
    return types.SimpleNamespace(**{key: thing(inner) for key, inner in value.items()}) if isinstance(value, dict) else value


OPENAI = [
    ({"prompt_tokens": 2006, "completion_tokens": 300, "total_tokens": 2306, "prompt_tokens_details": {"cached_tokens": 1920},
      "completion_tokens_details": {"reasoning_tokens": 128}}, (86, 1920, 0, 0, 300, 128)),
    ({"prompt_tokens": 10, "completion_tokens": 3}, (10, 0, 0, 0, 3, 0)),
    ({"prompt_tokens": 10, "completion_tokens": None, "prompt_tokens_details": None}, (10, 0, 0, 0, 0, 0)),
    ({"prompt_tokens": 10, "total_tokens": 10}, (10, 0, 0, 0, 0, 0)),  # embeddings
    ({"input_tokens": 100, "output_tokens": 50, "input_tokens_details": {"cached_tokens": 40},
      "output_tokens_details": {"reasoning_tokens": 20}}, (60, 40, 0, 0, 50, 20)),  # responses
    # litellm, of Anthropic: all is in the prompt.
    ({"prompt_tokens": 1000, "completion_tokens": 5, "cache_read_input_tokens": 600, "cache_creation_input_tokens": 300,
      "prompt_tokens_details": {"cached_tokens": 600, "cache_creation_tokens": 300,
                                "cache_creation_token_details": {"ephemeral_5m_input_tokens": 200, "ephemeral_1h_input_tokens": 100}}},
     (100, 600, 200, 100, 5, 0)),
    # It did not count them in.
    ({"prompt_tokens": 100, "completion_tokens": 5, "cache_read_input_tokens": 600}, (100, 600, 0, 0, 5, 0)),
    ({}, (0, 0, 0, 0, 0, 0)),
]
ANTHROPIC = [
    ({"input_tokens": 20, "output_tokens": 250, "cache_read_input_tokens": 1900, "cache_creation_input_tokens": 300,
      "cache_creation": {"ephemeral_5m_input_tokens": 100, "ephemeral_1h_input_tokens": 200}}, (20, 1900, 100, 200, 250, 0)),
    ({"input_tokens": 20, "output_tokens": 250, "cache_creation_input_tokens": 300, "cache_read_input_tokens": None, "cache_creation": None},
     (20, 0, 300, 0, 250, 0)),
    ({"input_tokens": 20, "output_tokens": 250}, (20, 0, 0, 0, 250, 0)),
]


class Usage(support.ScratchTest):
    def check(self, counts, cases):
        for usage, wanted in cases:
            for given in (usage, thing(usage), {"usage": usage}, thing({"usage": usage, "model": "m"})):
                self.assertEqual(tuple(counts(given)[name] for name in NAMES), wanted, given)

    def test_openai(self):
        self.check(openai_counts, OPENAI)

    def test_anthropic(self):
        self.check(anthropic_counts, ANTHROPIC)

    def test_recorded(self):
        with Log(self.log_path) as log:
            record_openai(log, thing(OPENAI[0][0]), "gpt-4o", cost_usd=0.5, latency_ms=3, operation="chat")
            record_openai(log, OPENAI[1][0], "m", provider="azure")
            record_anthropic(log, thing({"usage": ANTHROPIC[0][0]}), "claude-sonnet-4", session_id="s")
            record_anthropic(log, ANTHROPIC[1][0], "bedrock/anthropic.claude-3")
            record_anthropic(log, ANTHROPIC[2][0], "a-name-of-ours")
            rows = list(log)
        self.assertEqual([tuple(row[name] for name in NAMES) for row in rows],
                         [OPENAI[0][1], OPENAI[1][1], ANTHROPIC[0][1], ANTHROPIC[1][1], ANTHROPIC[2][1]])
        self.assertEqual([row["provider"] for row in rows], ["openai", "azure", "anthropic", "bedrock", "anthropic"])
        self.assertEqual((rows[0]["cost_usd"], rows[0]["operation"], rows[2]["session_id"]), (Decimal("0.5"), "chat", "s"))


if __name__ == "__main__":
    support.main()
