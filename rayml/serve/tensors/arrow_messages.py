"""Checks the messages of an Arrow IPC stream before Arrow opens them.

Buffers of a record batch may be compressed (LZ4, ZSTD), and a few bytes may then stand for
gigabytes, which Arrow allocates as soon as it opens the batch. The message's flatbuffer says
whether they are (https://arrow.apache.org/docs/format/Columnar.html); pyarrow does not show it, so
this module reads the few fields.
"""

from __future__ import annotations

import struct

import pyarrow as pa

from rayml.errors import RequestError

MAX_MESSAGES = 1000
"""Most messages of a stream (schema, dictionaries, record batches); each costs time."""

# Fields of the tables Message, DictionaryBatch and RecordBatch, by their places.
_HEADER, _DATA, _COMPRESSION = 2, 1, 3


def check_messages(stream: pa.Buffer) -> None:
    """Refuse a stream that would take Arrow much memory or time to open.

    Raises:
        RequestError: 400 if it is torn, 413 if it has too many messages, 415 if its buffers are
            compressed.
    """
    for count, message in enumerate(pa.ipc.MessageReader.open_stream(stream)):
        if count == MAX_MESSAGES:
            raise RequestError(
                f"the Arrow stream has more than {MAX_MESSAGES} messages",
                status=413,
                remedy="Combine its record batches",
            )
        if message.type != "schema" and _is_compressed(message):
            raise RequestError(
                "the buffers of the Arrow stream are compressed",
                status=415,
                remedy="Write it without compression, and compress the body by gzip or deflate",
            )


def _is_compressed(message: pa.Message) -> bool:
    table = _Table(message.metadata.to_pybytes()).child(_HEADER)
    if message.type == "dictionary" and table is not None:
        table = table.child(_DATA)
    # A batch that cannot be read counts as compressed.
    return table is None or table.has(_COMPRESSION)


class _Table:
    """A table of a flatbuffer."""

    def __init__(self, data: bytes, at: int | None = None) -> None:
        self._data = data
        try:
            self._at: int = struct.unpack_from("<I", data, 0)[0] if at is None else at
            (back,) = struct.unpack_from("<i", data, self._at)
            self._fields = self._at - back
            (size,) = struct.unpack_from("<H", data, self._fields)
            self._places = struct.unpack_from(f"<{max(size - 4, 0) // 2}H", data, self._fields + 4)
        except struct.error:
            raise RequestError("a message of the Arrow stream is torn", status=400) from None

    def has(self, field: int) -> bool:
        return field < len(self._places) and self._places[field] != 0

    def child(self, field: int) -> _Table | None:
        if not self.has(field):
            return None
        at = self._at + self._places[field]
        try:
            return _Table(self._data, at + struct.unpack_from("<I", self._data, at)[0])
        except struct.error:
            raise RequestError("a message of the Arrow stream is torn", status=400) from None
