"""The trace in memory: requests, turns, transforms, summary and shared prefixes."""

from .dataframe import token_limit
from .loops import starts_ns
from .prefix_blocks import PrefixBlocks
from .prefix_sharing import PrefixSharing
from .summary import Conversations, LengthSummary, TraceSummary, summarize_trace
from .trace import Trace, TraceSource
from .transform_text import is_reshuffle, without_seed
from .transforms import (
    clip_context,
    dequantize,
    drop_beyond_context,
    head,
    mix,
    quantum_ns,
    reshuffled,
    scale_rate,
    shuffle_lengths,
    slice_time,
)
from .turns import TURN_COLUMNS, Column, Flags, Turns

__all__ = [
    "TURN_COLUMNS",
    "Column",
    "Conversations",
    "Flags",
    "LengthSummary",
    "PrefixBlocks",
    "PrefixSharing",
    "Trace",
    "TraceSource",
    "TraceSummary",
    "Turns",
    "clip_context",
    "dequantize",
    "drop_beyond_context",
    "head",
    "is_reshuffle",
    "mix",
    "quantum_ns",
    "reshuffled",
    "scale_rate",
    "shuffle_lengths",
    "slice_time",
    "starts_ns",
    "summarize_trace",
    "token_limit",
    "without_seed",
]
