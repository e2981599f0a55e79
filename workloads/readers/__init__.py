"""Trace formats, one small file each. A new format is one more file, and one more name in `READERS`."""

from . import (
    azure,
    azure_epoch,
    bailian,
    burstgpt,
    burstgpt_lines,
    etalon,
    json_pairs,
    mooncake,
    nanoflow,
    plain,
    ragpulse,
    vidur,
    weka,
)
from .plain import plain_reader
from .raw import RawRows, RawTurns
from .reader import Reader

# The first reader that recognises a file reads it, so a format with all names of another one and more comes before it.
READERS = (
    nanoflow.READER,  # before azure: the same header
    azure_epoch.READER,  # before azure: the same header
    azure.READER,
    burstgpt.READER,
    vidur.READER,  # before etalon: the same columns and one more
    etalon.READER,
    bailian.READER,  # before mooncake: the same keys and more
    ragpulse.READER,  # before mooncake: the same keys and more
    mooncake.READER,
    burstgpt_lines.READER,
    weka.READER,
    json_pairs.READER,
    plain.READER,
)

__all__ = ["READERS", "RawRows", "RawTurns", "Reader", "plain_reader"]
