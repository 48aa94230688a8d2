"""Make classes of protobuf messages. A message within another one is bytes here: on the wire, it is the same."""

from __future__ import annotations

from typing import Any, Final

from google.protobuf.descriptor_pb2 import (  # type: ignore[import-untyped]  # it ships no stubs
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)
from google.protobuf.descriptor_pool import DescriptorPool  # type: ignore[import-untyped]  # likewise
from google.protobuf.message_factory import GetMessageClass  # type: ignore[import-untyped]  # likewise

BYTES: Final = FieldDescriptorProto.TYPE_BYTES
DOUBLE: Final = FieldDescriptorProto.TYPE_DOUBLE
FIXED64: Final = FieldDescriptorProto.TYPE_FIXED64
INT32: Final = FieldDescriptorProto.TYPE_INT32
INT64: Final = FieldDescriptorProto.TYPE_INT64
SINT32: Final = FieldDescriptorProto.TYPE_SINT32
SINT64: Final = FieldDescriptorProto.TYPE_SINT64
UINT64: Final = FieldDescriptorProto.TYPE_UINT64


def message(message_name: str, *repeated: tuple[str, int, int], **fields: tuple[int, int]) -> DescriptorProto:
    """Return a message of repeated fields (their names, numbers and types) and of single fields."""
    made = DescriptorProto(name=message_name)
    for name, (number, type_) in fields.items():
        made.field.add(name=name, number=number, type=type_)
    for name, number, type_ in repeated:
        made.field.add(name=name, number=number, type=type_, label=FieldDescriptorProto.LABEL_REPEATED)
    return made


def make_classes(package: str, *messages: DescriptorProto) -> list[Any]:
    """Return the class of each message."""
    file = FileDescriptorProto(name=f"{package}.proto", package=package, syntax="proto3", message_type=messages)
    # A pool of our own: the host's may have a file of the same name.
    pool = DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return [GetMessageClass(pool.FindMessageTypeByName(f"{package}.{message.name}")) for message in messages]
