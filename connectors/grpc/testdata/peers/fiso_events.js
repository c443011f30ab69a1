// Loads the client and the service of fiso.v1.Events from its .proto.
const grpc = require('@grpc/grpc-js')
const loader = require('@grpc/proto-loader')
const protobuf = require('protobufjs')

// From google/rpc/error_details.proto.
const details = protobuf.parse(`
  syntax = "proto3";
  package google.rpc;
  message Duration { int64 seconds = 1; int32 nanos = 2; }
  message RetryInfo { Duration retry_delay = 1; }`, { keepCase: true }).root
const RetryInfo = details.lookupType('google.rpc.RetryInfo')
const RETRY_INFO = 'type.googleapis.com/google.rpc.RetryInfo'

// proto is the folder of the .proto files.
exports.load = (proto) => grpc.loadPackageDefinition(loader.loadSync('fiso/v1/events.proto', {
  includeDirs: [proto], keepCase: true, longs: Number, enums: String, oneofs: true,
})).fiso.v1.Events

// Gives the delay of RetryInfo in milliseconds, or undefined.
exports.retryDelay = (status) => {
  const any = (status.details || []).find((detail) => detail.type_url === RETRY_INFO)
  if (!any) return undefined
  const delay = RetryInfo.toObject(RetryInfo.decode(any.value), { longs: Number }).retry_delay || {}
  return (delay.seconds || 0) * 1000 + (delay.nanos || 0) / 1e6
}

// Gives a status that asks for the event again.
exports.unavailable = (milliseconds) => ({
  code: grpc.status.UNAVAILABLE, message: 'send it again',
  details: [{ type_url: RETRY_INFO, value: RetryInfo.encode({ retry_delay: { seconds: 0, nanos: milliseconds * 1e6 } }).finish() }],
})
