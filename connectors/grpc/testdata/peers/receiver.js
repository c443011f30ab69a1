// A receiver of fiso.v1.Events: node receiver.js PROTO
//
// It prints its port, and a line of JSON for each event that it takes. It hands back each
// 50th event once, drains the stream on which the 700th event comes, and prints a line when
// the producer has closed that stream.
const grpc = require('@grpc/grpc-js')
const { load, unavailable } = require('./fiso_events.js')

const SETTINGS = { max_in_flight: 64, max_in_flight_bytes: 1 << 16, max_event_bytes: 1 << 14 }
const GRACE = 5 // seconds
const seen = new Set()
let taken = 0

// Stream is what one call of PublishStream has taken.
class Stream {
  constructor (call) {
    this.call = call
    this.unanswered = 0
    this.fences = new Map() // by key: the id of the event that has to come again first
    this.draining = false
    this.closed = false // the producer closed its half
    call.write({ settings: SETTINGS })
    call.on('data', (request) => request.event && this.take(request.event))
    call.on('error', () => {})
    call.on('end', () => {
      this.closed = true
      this.endIfDone()
    })
  }

  take (streamEvent) {
    const { seq, event } = streamEvent
    const key = streamEvent.key && streamEvent.key.toString()
    if (this.draining || this.handedBack(key, event.id)) {
      this.answer({ seq, status: unavailable(20) })
      return
    }
    const { time, attempt } = event.attributes
    console.log(JSON.stringify({
      id: event.id, source: event.source, type: event.type, key, data: event.binary_data.toString(),
      time: new Date(time.ce_timestamp.seconds * 1000).toISOString().replace('.000', ''), attempt: attempt.ce_integer || 0,
    }))
    this.answer({ seq, status: { code: grpc.status.OK }, outcome: 'OUTCOME_DELIVERED' })
    if (++taken === 700) {
      this.draining = true
      this.call.write({ drain: { grace: { seconds: GRACE, nanos: 0 } } })
      setTimeout(() => this.call.end(), GRACE * 1000)
    }
  }

  // Reports whether the event is to be sent again, because it or an earlier one of its
  // key is handed back.
  handedBack (key, id) {
    if (!seen.has(id)) {
      seen.add(id)
      if (seen.size % 50 === 0) {
        if (key !== undefined && !this.fences.has(key)) this.fences.set(key, id)
        return true
      }
    }
    if (this.fences.get(key) === id) this.fences.delete(key)
    return this.fences.has(key)
  }

  // Answers after a while, so that results come in another order than events.
  answer (result) {
    this.unanswered++
    setTimeout(() => {
      this.call.write({ result })
      this.unanswered--
      this.endIfDone()
    }, result.seq % 4)
  }

  endIfDone () {
    if (!this.closed || this.unanswered > 0) return
    if (this.draining) console.log(JSON.stringify({ drained: true }))
    this.call.end()
  }
}

const server = new grpc.Server()
server.addService(load(process.argv[2]).service, {
  PublishStream: (call) => new Stream(call),
  Publish: (call, callback) => callback({ code: grpc.status.UNIMPLEMENTED, details: 'use PublishStream' }),
})
server.bindAsync('127.0.0.1:0', grpc.ServerCredentials.createInsecure(), (error, port) => {
  if (error) throw error
  console.log(port)
})
