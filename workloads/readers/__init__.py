"""One small file a trace format. A new format is one more file, and one more name in `READERS`."""

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

# The first that recognises a file reads it, so what has another format's names and more comes before it.
READERS = (
    nanoflow.READER,  # Azure's header, as has
    azure_epoch.READER,
    azure.READER,
    burstgpt.READER,
    vidur.READER,  # etalon's columns and one more
    etalon.READER,
    bailian.READER,  # Mooncake's keys and more, as has
    ragpulse.READER,
    mooncake.READER,
    burstgpt_lines.READER,
    weka.READER,
    json_pairs.READER,
    plain.READER,
)

__all__ = ["READERS", "RawRows", "RawTurns", "Reader", "plain_reader"]
