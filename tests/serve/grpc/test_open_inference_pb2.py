"""The messages of gRPC: what they are compiled from, and where they live."""

from __future__ import annotations

import shutil
from pathlib import Path

from google.protobuf import descriptor_pool
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message_factory import GetMessageClass
from grpc_tools import protoc

from rayml.serve.grpc import open_inference_pb2 as messages

FOLDER = Path(messages.__file__).parent


def test_what_is_committed_is_what_the_proto_compiles_to(tmp_path: Path) -> None:
    shutil.copy(FOLDER / "open_inference.proto", tmp_path)
    binary = tmp_path / "open_inference.binpb"
    code = protoc.main(
        [
            "protoc",
            f"-I{tmp_path}",
            f"--descriptor_set_out={binary}",
            f"--pyi_out={tmp_path}",
            "open_inference.proto",
        ]
    )
    assert code == 0
    assert binary.read_bytes() == (FOLDER / binary.name).read_bytes()
    types = "open_inference_pb2.pyi"
    assert (tmp_path / types).read_text() == (FOLDER / types).read_text()


def test_other_messages_of_the_same_names_do_not_clash() -> None:
    """As a client in the same process registers its own, with fields that ours lack."""
    pool = descriptor_pool.Default()
    theirs = FileDescriptorProto(name="theirs.proto", package="inference", syntax="proto3")
    theirs.message_type.add(name="ModelInferRequest").field.add(
        name="of_their_own", number=99, type=9, label=1
    )
    pool.Add(theirs)
    kind = GetMessageClass(pool.FindMessageTypeByName("inference.ModelInferRequest"))
    assert kind is not messages.ModelInferRequest
    ours = messages.ModelInferRequest(model_name="boxes", id="7")
    assert messages.ModelInferRequest.FromString(ours.SerializeToString()).id == "7"
    assert "of_their_own" not in messages.ModelInferRequest.DESCRIPTOR.fields_by_name


def test_every_datatype_of_contents_has_the_number_that_the_protocol_fixes() -> None:
    fields = messages.InferTensorContents.DESCRIPTOR.fields
    assert {field.name: field.number for field in fields} == {
        "bool_contents": 1,
        "int_contents": 2,
        "int64_contents": 3,
        "uint_contents": 4,
        "uint64_contents": 5,
        "fp32_contents": 6,
        "fp64_contents": 7,
        "bytes_contents": 8,
    }
