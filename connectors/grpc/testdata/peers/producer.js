// A producer of fiso.v1.Events: node producer.js ADDRESS PROTO COUNT [IDLE_SECONDS [PING_MILLISECONDS]]
//
// It publishes COUNT events by PublishStream, each until it is settled, and prints a line
// of JSON for each settled event, and a summary at the end. It waits IDLE_SECONDS on its
// first stream before it sends, and pings every PING_MILLISECONDS.
const grpc = require('@grpc/grpc-js')
const { load, retryDelay } = require('./fiso_events.js')

const [address, proto, count, idle, ping] = [process.argv[2], process.argv[3], ...process.argv.slice(4).map(Number)]
const KEYS = 97

// The stream may be opened again after these. Any other status needs a person.
const TRANSIENT = [grpc.status.UNAVAILABLE, grpc.status.RESOURCE_EXHAUSTED, grpc.status.CANCELLED, grpc.status.INTERNAL, grpc.status.UNKNOWN]

const Events = load(proto)
const client = new Events(address, grpc.credentials.createInsecure(),
  ping ? { 'grpc.keepalive_time_ms': ping, 'grpc.keepalive_timeout_ms': 5000, 'grpc.keepalive_permit_without_calls': 1 } : {})
const serialize = Events.service.PublishStream.requestSerialize
const summary = { streams: 0, drains: 0, broken: 0, again: 0, rejected: 0 }
let left = count

// Lane holds the events of one key, or one event without a key.
class Lane {
  constructor (key) {
    this.key = key
    this.todo = [] // in the order in which they are sent
    this.inFlight = 0
    this.failed = [] // to be sent again, once none is in flight
    this.notBefore = 0
  }

  sendable (now) {
    return this.todo.length > 0 && this.failed.length === 0 && now >= this.notBefore
  }

  answered (number, again, delay = 0) {
    this.inFlight--
    if (again) {
      this.failed.push(number)
      this.notBefore = Math.max(this.notBefore, performance.now() + delay)
    }
    if (this.failed.length > 0 && this.inFlight === 0) {
      this.todo.unshift(...this.failed.sort((a, b) => a - b))
      this.failed = []
    }
  }
}

const lanes = Array.from({ length: KEYS }, (_, key) => new Lane(Buffer.from(`key-${key}`)))
for (let number = 0; number < count; number++) {
  const lane = number % 10 === 0 ? new Lane(undefined) : lanes[number % KEYS]
  if (lane.key === undefined) lanes.push(lane)
  lane.todo.push(number)
}
let turn = 0 // the lane that is asked next

function request (seq, lane, number) {
  const event = {
    id: `event-${number}`, source: '/peer/node', spec_version: '1.0', type: 'peer.counted',
    attributes: { datacontenttype: { ce_string: 'application/json' }, number: { ce_integer: number } },
    binary_data: Buffer.from(JSON.stringify({ number })),
  }
  return { event: lane.key === undefined ? { seq, event } : { seq, key: lane.key, event } }
}

// Stream is one call of PublishStream.
class Stream {
  constructor () {
    summary.streams++
    this.seq = 0
    this.sent = new Map() // by seq: lane, number of the event, bytes
    this.bytes = 0
    this.closing = false // this half is closed, or the call has ended
    this.call = client.PublishStream(new grpc.Metadata({ waitForReady: true }))
    this.call.on('data', (response) => this.receive(response))
    this.call.on('error', () => {}) // the status says the same
    this.call.on('status', (status) => this.ended(status))
    this.timer = setInterval(() => this.send(), 20) // a lane may wait for its delay
  }

  receive (response) {
    switch (response.message) {
      case 'settings': {
        const first = !this.settings && summary.streams === 1
        this.settings = response.settings
        if (first && idle) {
          const settings = this.settings
          this.settings = undefined
          setTimeout(() => { this.settings = settings }, idle * 1000)
        }
        break
      }
      case 'drain':
        summary.drains++
        this.close()
        break
      case 'result':
        this.result(response.result)
    }
    this.send()
  }

  // Sends what may be sent.
  send () {
    for (let asked = 0; !this.closing && this.settings && this.sent.size < this.settings.max_in_flight && asked < lanes.length; asked++) {
      const lane = lanes[turn]
      if (lane.sendable(performance.now())) {
        const message = request(this.seq + 1, lane, lane.todo[0])
        const size = serialize(message).length // a little more than its StreamEvent
        if (this.sent.size > 0 && this.bytes + size > this.settings.max_in_flight_bytes) return
        this.sent.set(++this.seq, { lane, number: lane.todo.shift(), size })
        this.bytes += size
        lane.inFlight++
        this.call.write(message)
        asked = -1
      }
      turn = (turn + 1) % lanes.length
    }
  }

  result ({ seq, status, outcome }) {
    const { lane, number, size } = this.sent.get(seq)
    this.sent.delete(seq)
    this.bytes -= size
    const code = status ? status.code || 0 : 0
    if (code === grpc.status.OK || code === grpc.status.INVALID_ARGUMENT) {
      lane.answered(number, false)
      if (code !== grpc.status.OK) summary.rejected++
      console.log(JSON.stringify({ id: `event-${number}`, outcome: outcome || 'OUTCOME_UNSPECIFIED' }))
      if (--left === 0) this.close()
      return
    }
    const delay = retryDelay(status)
    if (![grpc.status.UNAVAILABLE, grpc.status.RESOURCE_EXHAUSTED].includes(code) || delay === undefined) {
      throw new Error(`event-${number}: ${JSON.stringify(status)}`)
    }
    summary.again++
    lane.answered(number, true, delay)
  }

  close () {
    if (!this.closing) this.call.end()
    this.closing = true
  }

  // Makes the events without a result ready to be sent on the next stream.
  ended (status) {
    clearInterval(this.timer)
    this.closing = true
    for (const { lane, number } of this.sent.values()) lane.answered(number, true)
    if (left === 0) {
      console.log(JSON.stringify({ summary }))
      client.close()
      return
    }
    if (status.code !== grpc.status.OK && !TRANSIENT.includes(status.code)) throw new Error(`the stream ended: ${status.code} ${status.details}`)
    if (status.code !== grpc.status.OK) summary.broken++
    setTimeout(() => new Stream(), 50)
  }
}

new Stream()
