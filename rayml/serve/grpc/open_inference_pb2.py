"""Messages of the Open Inference Protocol v2 over gRPC, as `open_inference.proto` has them.

`make proto` compiles that file to `open_inference.binpb`, from which the classes are made here, and
to the types beside this file. They live in a pool of descriptors of their own, since clients of the
protocol register messages of the same names in protobuf's default pool.
"""

from pathlib import Path

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

_pool = DescriptorPool()
_files = FileDescriptorSet.FromString(Path(__file__).with_name("open_inference.binpb").read_bytes())
for _file in _files.file:
    _pool.Add(_file)

DESCRIPTOR = _pool.FindFileByName("open_inference.proto")

globals().update(
    {name: GetMessageClass(message) for name, message in DESCRIPTOR.message_types_by_name.items()}
)
