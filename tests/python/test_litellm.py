"""litellm's callback, on payloads made by hand after its public fields: litellm itself is not there."""
import asyncio
import copy
import datetime
import logging
import os
import threading
import types
from decimal import Decimal

import support
from usagelog import Log
from usagelog.litellm import UsageLogger

PAYLOAD = {
    "id": "chatcmpl-1", "trace_id": "t", "call_type": "completion", "stream": False, "response_cost": 0.00105, "status": "success",
    "custom_llm_provider": "openai", "total_tokens": 150, "prompt_tokens": 100, "completion_tokens": 50, "startTime": 1768084326.5,
    "endTime": 1768084328.0, "completionStartTime": 1768084327.0, "model": "gpt-4o", "end_user": "ada", "request_tags": ["a", "b"],
    "cache_hit": None, "messages": [{"role": "user", "content": "SECRET"}], "response": {"choices": ["SECRET"]},
    "metadata": {"user_api_key_alias": "team", "requester_metadata": {"project": "x", "nested": {"prompt": "SECRET"}}, "session_id": "s1"},
    "error_information": None,
}
USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150, "prompt_tokens_details": {"cached_tokens": 30},
         "completion_tokens_details": {"reasoning_tokens": 20}}
BEGIN, END = datetime.datetime(2026, 1, 10, 22, 32, 6), datetime.datetime(2026, 1, 10, 22, 32, 8)


class LitellmTest(support.ScratchTest):
    def setUp(self):
        super().setUp()
        logging.getLogger("usagelog").setLevel(logging.CRITICAL)
        self.logger = UsageLogger(self.log_path)

    def kwargs(self, **changes):
        number = getattr(self, "number", 0)
        self.number = number + 1
        payload = {**copy.deepcopy(PAYLOAD), "id": f"chatcmpl-{number}", **changes}
        return {"litellm_call_id": f"call-{number}", "model": "gpt-4o", "stream": payload["stream"], "standard_logging_object": payload,
                "messages": [{"content": "SECRET"}], "api_key": "SECRET"}

    def rows(self):
        self.assertEqual(self.logger.errors, 0)
        return list(self.logger.log)

    def row(self):
        row, = self.rows()
        return row


class Events(LitellmTest):
    def test_success(self):
        self.logger.log_success_event(self.kwargs(), types.SimpleNamespace(usage=types.SimpleNamespace(**USAGE), service_tier="flex"),
                                      BEGIN, END)
        row = self.row()
        wanted = {"provider": "openai", "model": "gpt-4o", "operation": "chat", "input_tokens": 70, "cache_read_tokens": 30,
                  "output_tokens": 50, "reasoning_tokens": 20, "cost_usd": Decimal("0.00105"), "latency_ms": 1500, "ttft_ms": None,
                  "error_type": None, "service_tier": "flex", "session_id": "s1", "time": "2026-01-10T22:32:06.500000000Z",
                  "metadata": {"user_api_key_alias": "team", "project": "x", "session_id": "s1", "tags": ["a", "b"], "end_user": "ada"}}
        self.assertEqual({name: row[name] for name in wanted}, wanted)

    def test_failure(self):
        for information, exception, wanted in (({"error_code": "429", "error_class": "RateLimitError"}, None, "429"),
                                               ({"error_class": "Timeout"}, None, "Timeout"), (None, ValueError("SECRET"), "ValueError"),
                                               (None, None, "error")):
            self.logger.log_failure_event({**self.kwargs(status="failure", error_information=information, response_cost=0, prompt_tokens=0,
                                                         completion_tokens=0, total_tokens=0), "exception": exception}, None, BEGIN, END)
            row = self.rows()[-1]
            self.assertEqual((row["error_type"], row["cost_usd"], row["input_tokens"]), (wanted, None, 0))

    def test_failure_without_payload(self):
        self.logger.log_failure_event({"model": "claude-3", "exception": KeyError("x"), "stream": True}, None, BEGIN, END)
        row = self.row()
        self.assertEqual((row["model"], row["provider"], row["error_type"], row["latency_ms"]), ("claude-3", "anthropic", "KeyError", 2000))

    def test_async(self):
        async def work():
            await self.logger.async_log_success_event(self.kwargs(), {"usage": USAGE}, BEGIN, END)
            await self.logger.async_log_failure_event(self.kwargs(), None, BEGIN, END)
        asyncio.run(work())
        self.assertEqual([row["error_type"] for row in self.rows()], [None, "error"])

    def test_streaming_is_counted_once(self):
        kwargs = self.kwargs(stream=True)
        chunk = {**kwargs, "standard_logging_object": None}
        for _ in range(5):
            self.logger.log_success_event(chunk, {"choices": []}, BEGIN, END)
            asyncio.run(self.logger.async_log_success_event(chunk, {"choices": []}, BEGIN, END))
        self.assertEqual(self.rows(), [])
        self.logger.log_success_event(kwargs, {"usage": USAGE}, BEGIN, END)
        asyncio.run(self.logger.async_log_success_event(kwargs, {"usage": USAGE}, BEGIN, END))
        row = self.row()
        self.assertEqual((row["ttft_ms"], row["input_tokens"]), (500, 70))

    def test_once_from_many_threads(self):
        kwargs = [self.kwargs() for _ in range(200)]

        def work():
            for one in kwargs:
                self.logger.log_success_event(one, {"usage": USAGE}, BEGIN, END)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(len(self.rows()), 200)

    def test_a_retry_that_failed_first_is_two_calls(self):
        kwargs = self.kwargs()
        self.logger.log_failure_event(kwargs, None, BEGIN, END)
        self.logger.log_success_event(kwargs, {"usage": USAGE}, BEGIN, END)
        self.assertEqual(len(self.rows()), 2)

    def test_counts_from_wherever_they_are(self):
        self.logger.log_success_event(self.kwargs(), None, BEGIN, END)
        self.logger.log_success_event(self.kwargs(metadata={"usage_object": USAGE}), None, BEGIN, END)
        self.logger.log_success_event(self.kwargs(prompt_tokens=None), None, BEGIN, END)
        self.assertEqual([(row["input_tokens"], row["cache_read_tokens"], row["output_tokens"]) for row in self.rows()],
                         [(100, 0, 50), (70, 30, 50), (0, 0, 0)])

    def test_unpriced_is_not_free(self):
        for cost, wanted in ((None, None), (0, 0), (0.0, 0), ("x", None)):
            self.logger.log_success_event(self.kwargs(response_cost=cost), {"usage": USAGE}, BEGIN, END)
            self.assertEqual(self.rows()[-1]["cost_usd"], wanted)

    def test_operations(self):
        for call_type, wanted in (("acompletion", "chat"), ("aembedding", "embeddings"), ("atext_completion", "text_completion"),
                                  ("image_generation", "image_generation"), (None, "chat")):
            self.logger.log_success_event(self.kwargs(call_type=call_type), {"usage": USAGE}, BEGIN, END)
            self.assertEqual(self.rows()[-1]["operation"], wanted)

    def test_no_text_reaches_the_log(self):
        self.logger.log_success_event(self.kwargs(), {"usage": USAGE, "choices": ["SECRET"]}, BEGIN, END)
        self.logger.log_failure_event(self.kwargs(error_information={"error_class": "E", "error_message": "SECRET", "traceback": "SECRET"}),
                                      None, BEGIN, END)
        self.assertEqual(len(self.rows()), 2)
        for folder, _, names in os.walk(self.log_path):
            for name in names:
                with open(os.path.join(folder, name), "rb") as file:
                    self.assertNotIn(b"SECRET", file.read(), name)


class Trouble(LitellmTest):
    def test_nothing_reaches_the_caller(self):
        class Hostile:
            def __getattr__(self, name):
                raise RuntimeError(name)

            def get(self, *_):
                raise RuntimeError

        for kwargs in (None, Hostile(), {"standard_logging_object": Hostile()}, {"standard_logging_object": {"metadata": 7}},
                       {"standard_logging_object": {"model": {}, "startTime": Hostile()}}):
            for response in (None, Hostile()):
                self.logger.log_success_event(kwargs, response, None, None)
                asyncio.run(self.logger.async_log_failure_event(kwargs, response, None, None))
        self.assertGreater(self.logger.errors, 5)

    def test_a_log_that_cannot_be_opened(self):
        logger = UsageLogger(self.write("file", ""))
        with self.assertLogs("usagelog", "WARNING") as logs:
            logging.getLogger("usagelog").setLevel(logging.WARNING)
            for _ in range(3):
                logger.log_success_event(self.kwargs(), None, BEGIN, END)
        self.assertEqual((logger.errors, len(logs.output)), (3, 1))

    def test_metadata_of_any_size_and_kind(self):
        metadata = {"long": "x" * 100000, "nan": float("inf"), "\ud800": "\ud800", "many": None, **{str(i): i for i in range(1000)}}
        self.logger.log_success_event(self.kwargs(metadata=metadata, request_tags=["x" * 10**6] * 1000), {"usage": USAGE}, BEGIN, END)
        self.logger.log_success_event(self.kwargs(metadata={"session_id": "a\0b\n" + "\u00e9" * 5000}, model="m" * 5000), {"usage": USAGE},
                                      BEGIN, END)
        self.assertEqual(len(self.rows()), 2)


class Import(LitellmTest):
    def test_a_log_of_ones_own(self):
        with Log(self.path("own")) as log:
            logger = UsageLogger(log)
            logger.log_success_event(self.kwargs(), {"usage": USAGE}, BEGIN, END)
            self.assertEqual(len(list(log)), 1)

    def test_with_and_without_litellm(self):
        self.run_child("import sys, usagelog; assert 'litellm' not in sys.modules; assert 'usagelog.litellm' not in sys.modules\n"
                       "from usagelog.litellm import UsageLogger; assert UsageLogger.__mro__[1] is object")
        os.makedirs(self.path("litellm", "integrations"))
        for name in ("litellm/__init__.py", "litellm/integrations/__init__.py"):
            self.write(name, "")
        self.write("litellm/integrations/custom_logger.py",
                   "class CustomLogger:\n    def __init__(self, message_logging=True, **kwargs):\n        self.ready = True\n")
        code = ("from usagelog.litellm import UsageLogger\nfrom litellm.integrations.custom_logger import CustomLogger\n"
                "logger = UsageLogger('x')\nassert isinstance(logger, CustomLogger) and logger.ready")
        path = os.pathsep.join((self.scratch, os.environ["PYTHONPATH"]))
        self.run_child(code, PYTHONPATH=path)
        # One that is broken is none.
        self.write("litellm/integrations/custom_logger.py", "raise RuntimeError\n")
        self.run_child("from usagelog.litellm import UsageLogger; UsageLogger('x')", PYTHONPATH=path)


if __name__ == "__main__":
    support.main()
