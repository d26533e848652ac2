"""The messages of etcd's API that are used here, described by hand for the protobuf runtime.

Etcd publishes its API as .proto files with annotations of three other projects. The few messages that
a store needs, with their published numbers, are less to trust than a code generator, its output and a
second gRPC library. An enumeration is an int32 here, which is the same on the wire.
Source: etcd-io/etcd, api/etcdserverpb/rpc.proto and api/mvccpb/kv.proto (3.4 to 3.6 agree in these).
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

_MESSAGES = {
    "ResponseHeader": "cluster_id=1:uint64 member_id=2:uint64 revision=3:int64 raft_term=4:uint64",
    "KeyValue": "key=1:bytes create_revision=2:int64 mod_revision=3:int64 version=4:int64 value=5:bytes"
    " lease=6:int64",
    "Event": "type=1:int32 kv=2:KeyValue prev_kv=3:KeyValue",
    "RangeRequest": "key=1:bytes range_end=2:bytes limit=3:int64 revision=4:int64 count_only=9:bool",
    "RangeResponse": "header=1:ResponseHeader kvs=2:*KeyValue more=3:bool count=4:int64",
    "PutRequest": "key=1:bytes value=2:bytes",
    "PutResponse": "header=1:ResponseHeader",
    "DeleteRangeRequest": "key=1:bytes",
    "DeleteRangeResponse": "header=1:ResponseHeader deleted=2:int64",
    "RequestOp": "request_range=1:RangeRequest request_put=2:PutRequest"
    " request_delete_range=3:DeleteRangeRequest",
    "ResponseOp": "response_range=1:RangeResponse response_put=2:PutResponse"
    " response_delete_range=3:DeleteRangeResponse",
    "Compare": "result=1:int32 target=2:int32 key=3:bytes version=4:int64 mod_revision=6:int64",
    "TxnRequest": "compare=1:*Compare success=2:*RequestOp failure=3:*RequestOp",
    "TxnResponse": "header=1:ResponseHeader succeeded=2:bool responses=3:*ResponseOp",
    "CompactionRequest": "revision=1:int64 physical=2:bool",
    "CompactionResponse": "header=1:ResponseHeader",
    "WatchCreateRequest": "key=1:bytes range_end=2:bytes start_revision=3:int64 progress_notify=4:bool"
    " prev_kv=6:bool fragment=8:bool",
    "WatchRequest": "create_request=1:WatchCreateRequest",
    "WatchResponse": "header=1:ResponseHeader watch_id=2:int64 created=3:bool canceled=4:bool"
    " compact_revision=5:int64 cancel_reason=6:string fragment=7:bool events=11:*Event",
    "StatusRequest": "",
    "StatusResponse": "header=1:ResponseHeader version=2:string db_size=3:int64 leader=4:uint64"
    " raft_index=5:uint64 raft_term=6:uint64 errors=8:*string",
}
EQUAL, GREATER = 0, 1  # Compare.CompareResult
VERSION, MOD = 0, 2  # Compare.CompareTarget
PUT, DELETE = 0, 1  # mvccpb.Event.EventType

_PACKAGE = "tsujiban.etcd"  # message names are not on the wire; etcd's own would clash with its classes


def _file() -> descriptor_pb2.FileDescriptorProto:
    file = descriptor_pb2.FileDescriptorProto(name="tsujiban/etcd.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field in fields.split():
            title, _, rest = field.partition("=")
            number, _, kind = rest.partition(":")
            _add(message, title, int(number), kind)
    return file


def _add(message: Any, name: str, number: int, kind: str) -> None:
    described = descriptor_pb2.FieldDescriptorProto
    field = message.field.add(name=name, number=number)
    field.label = described.LABEL_REPEATED if kind.startswith("*") else described.LABEL_OPTIONAL
    kind = kind.removeprefix("*")
    if kind in _MESSAGES:
        field.type, field.type_name = described.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"
    else:
        field.type = getattr(described, f"TYPE_{kind.upper()}")


_POOL = descriptor_pool.DescriptorPool()  # our own: nothing in it can meet another library's
_POOL.Add(_file())


def _class(name: str) -> Any:
    return message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


RangeRequest = _class("RangeRequest")
RangeResponse = _class("RangeResponse")
RequestOp = _class("RequestOp")
Compare = _class("Compare")
TxnRequest = _class("TxnRequest")
TxnResponse = _class("TxnResponse")
CompactionRequest = _class("CompactionRequest")
CompactionResponse = _class("CompactionResponse")
WatchRequest = _class("WatchRequest")
WatchResponse = _class("WatchResponse")
StatusRequest = _class("StatusRequest")
StatusResponse = _class("StatusResponse")
