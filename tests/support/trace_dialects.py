"""Small valid files of every trace format, made of rows of (arrival in ms, prompt, output)."""

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq

Rows = Sequence[tuple[int, int, int]]
START = datetime(2023, 11, 16, 18, 15, 46, tzinfo=UTC)


@dataclass(frozen=True)
class Dialect:
    """How one format is written. Times are rounded down to `tick_ms`; 0: there are none."""

    format: str
    write: Callable[[Rows], str | bytes]
    tick_ms: int = 1

    def file(self, rows: Rows) -> bytes:
        text = self.write(rows)
        return text.encode() if isinstance(text, str) else text


def table(header: str, lines: list[str], ending: str = "\n") -> str:
    return ending.join([header, *lines]) + ending


def json_lines(objects: list[dict]) -> str:
    return "\n".join(json.dumps(each) for each in objects) + "\n"


def at(ms: int, form: str) -> str:
    return (START + timedelta(milliseconds=ms)).strftime(form)


def azure_2023(rows: Rows) -> str:
    lines = [f"{at(ms, '%Y-%m-%d %H:%M:%S.%f')}0,{prompt},{output}" for ms, prompt, output in rows]
    return "\r\n".join(["TIMESTAMP,ContextTokens,GeneratedTokens", *lines])


def azure_2024(rows: Rows) -> str:
    """With a fraction where there is one."""
    lines = [f"{START + timedelta(milliseconds=ms)},{prompt},{output}" for ms, prompt, output in rows]
    return table("TIMESTAMP,ContextTokens,GeneratedTokens", lines)


def azure_2025(rows: Rows) -> str:
    lines = [f"{at(ms, '%Y-%m-%dT%H:%M:%S.%f')[:-3]}Z,{ms % 3},{prompt},{output}" for ms, prompt, output in rows]
    return table("TIMESTAMP,NumImages,ContextTokens,GeneratedTokens", lines)


def azure_deadline(rows: Rows) -> str:
    lines = [f"{at(ms, '%Y-%m-%d %H:%M:%S.%f')},{prompt},{output},{ms}" for ms, prompt, output in rows]
    return table("TIMESTAMP,ContextTokens,GeneratedTokens,Deadline", lines)


def azure_epoch(rows: Rows) -> str:
    start = round(START.timestamp() * 1000)
    return table("TIMESTAMP,ContextTokens,GeneratedTokens", [f"{start + ms},{p},{o}" for ms, p, o in rows])


def burstgpt_1(rows: Rows) -> str:
    lines = [f"{ms // 1000},ChatGPT,{p},{o},{p + o},Conversation log" for ms, p, o in rows]
    return table("Timestamp,Model,Request tokens,Response tokens,Total tokens,Log Type", lines)


def burstgpt_3(rows: Rows) -> str:
    """Conversations on every tenth row."""
    lines = [
        f"{19440110 + ms // 1000}.0,{f'talk-{i % 3}' if i % 10 == 0 else ''},4,GPT-4,{p},{o},{p + o},API log"
        for i, (ms, p, o) in enumerate(rows)
    ]
    header = "Timestamp,Session ID,Elapsed time,Model,Request tokens,Response tokens,Total tokens,Log Type"
    return table(header, lines)


def burstgpt_lines(rows: Rows) -> str:
    return json_lines(
        [
            {"request_arrival_ts_s": ms / 1000, "input_tokens": p, "output_tokens": o, "total_tokens": p + o}
            for ms, p, o in rows
        ]
    )


def mooncake(rows: Rows) -> str:
    """The shorter of two prompts is the beginning of the other."""
    return json_lines(
        [
            {"timestamp": ms, "input_length": p, "output_length": o, "hash_ids": list(range(-(-p // 512)))}
            for ms, p, o in rows
        ]
    )


def aiperf(rows: Rows) -> str:
    """Two conversations, each with times of its own."""
    return json_lines(
        [
            {"session_id": f"talk-{i % 2}", "timestamp": ms, "input_length": p, "output_length": o}
            for i, (ms, p, o) in enumerate(rows)
        ]
    )


def aiperf_without_times(rows: Rows) -> str:
    return json_lines([{"input_length": p, "output_length": o} for _, p, o in rows])


def bailian(rows: Rows) -> str:
    """One conversation, each chat after the one before. The shorter of two prompts is the beginning of the other."""
    return json_lines(
        [
            {"chat_id": i, "parent_chat_id": i - 1, "timestamp": ms / 1000, "input_length": p, "output_length": o,
             "type": "text", "turn": i + 1, "hash_ids": list(range(-(-p // 16)))}
            for i, (ms, p, o) in enumerate(rows)
        ]
    )  # fmt: skip


def ragpulse(rows: Rows) -> str:
    chunks = {"sys_prompt": [8302], "passages_ids": [7398], "history": [], "web_search": [], "user_input": [1]}
    return json_lines(
        [
            {"timestamp": str(ms // 1000), "input_length": p, "output_length": o, "hash_ids": chunks,
             "session_id": "python_tester"}
            for ms, p, o in rows
        ]
    ) + "\n"  # fmt: skip


def weka_session(rows: Rows, name: str = "trace_0001") -> dict:
    """A session whose last request is a subagent's. The shorter of two prompts is the beginning of the other."""
    entries = [
        {"t": ms / 1000, "type": "n", "in": p, "out": o, "hash_ids": list(range(p // 64)), "api_time": 2.5,
         "think_time": 1.5}
        for ms, p, o in rows
    ]  # fmt: skip
    agent = {"t": 1.0, "type": "subagent", "agent_id": "agent_001", "requests": entries[-1:]}
    return {"id": name, "block_size": 64, "hash_id_scope": "local", "requests": [*entries[:-1], agent], "totals": {}}


def weka_lines(rows: Rows) -> str:
    half = len(rows) // 2
    return json_lines(
        [weka_session(rows[:half], "a"), weka_session(rows[half:], "b")] if half else [weka_session(rows)]
    )


def weka_document(rows: Rows) -> str:
    return json.dumps(weka_session(rows), indent=2)


def nanoflow(rows: Rows) -> str:
    return table("TIMESTAMP,ContextTokens,GeneratedTokens", [f"XXX,{p},{o}" for _, p, o in rows])


def etalon(rows: Rows) -> str:
    lines = [f"{p},{o},{p + o},{p / o}" for _, p, o in rows]
    return table("num_prefill_tokens,num_decode_tokens,num_total_tokens,pd_ratio", lines)


def vidur(rows: Rows) -> str:
    return table("arrived_at,num_prefill_tokens,num_decode_tokens", [f"{ms / 1000},{p},{o}" for ms, p, o in rows])


def json_pairs(rows: Rows) -> str:
    return json.dumps([[p, o] for _, p, o in rows])


def plain_csv(rows: Rows) -> str:
    lines = [f'"Llama 3, 8B",{o},{p},{ms / 1000}' for ms, p, o in rows]
    return table("model,output_tokens,prompt_tokens,arrival_time", lines)


def plain_dates(rows: Rows) -> str:
    lines = [f"{at(ms, '%Y-%m-%dT%H:%M:%S.%f')},{p},{o}" for ms, p, o in rows]
    return table("arrival_time,prompt_tokens,output_tokens", lines)


def plain_records(rows: Rows) -> list[dict]:
    return [{"arrival_time": ms / 1000, "prompt_tokens": p, "output_tokens": o, "text": "{"} for ms, p, o in rows]


def plain_lines(rows: Rows) -> str:
    return json_lines(plain_records(rows))


def plain_document(rows: Rows) -> str:
    return json.dumps(plain_records(rows), indent=1)


def plain_parquet(rows: Rows) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(plain_records(rows)), buffer)
    return buffer.getvalue()


def parquet_dates(rows: Rows) -> bytes:
    records = [
        {"arrival_time": START + timedelta(milliseconds=ms), "prompt_tokens": str(p), "output_tokens": float(o)}
        for ms, p, o in rows
    ]
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(records), buffer, compression="zstd")
    return buffer.getvalue()


DIALECTS = {
    "azure 2023": Dialect("azure", azure_2023),
    "azure 2024": Dialect("azure", azure_2024),
    "azure 2025": Dialect("azure", azure_2025),
    "azure with deadlines": Dialect("azure", azure_deadline),
    "azure with epoch times": Dialect("azure-epoch", azure_epoch),
    "burstgpt 1": Dialect("burstgpt", burstgpt_1, tick_ms=1000),
    "burstgpt 3": Dialect("burstgpt", burstgpt_3, tick_ms=1000),
    "burstgpt lines": Dialect("burstgpt-lines", burstgpt_lines),
    "mooncake": Dialect("mooncake", mooncake),
    "aiperf": Dialect("mooncake", aiperf),
    "aiperf without times": Dialect("mooncake", aiperf_without_times, tick_ms=0),
    "bailian": Dialect("bailian", bailian),
    "ragpulse": Dialect("ragpulse", ragpulse, tick_ms=1000),
    "weka lines": Dialect("weka", weka_lines, tick_ms=0),
    "weka document": Dialect("weka", weka_document, tick_ms=0),
    "nanoflow": Dialect("nanoflow", nanoflow, tick_ms=0),
    "etalon": Dialect("etalon", etalon, tick_ms=0),
    "vidur": Dialect("vidur", vidur),
    "json pairs": Dialect("json-pairs", json_pairs, tick_ms=0),
    "plain csv": Dialect("plain", plain_csv),
    "plain csv with dates": Dialect("plain", plain_dates),
    "plain lines": Dialect("plain", plain_lines),
    "plain document": Dialect("plain", plain_document),
    "plain parquet": Dialect("plain", plain_parquet),
    "parquet with dates": Dialect("plain", parquet_dates),
}
