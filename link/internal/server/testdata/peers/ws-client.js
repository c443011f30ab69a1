// A client by the library ws, which tries a server at the URL it is given.
const assert = require('assert')
const WebSocket = require('ws')
const url = process.argv[2]

const ended = (socket) => new Promise((done) => socket.on('close', (code, reason) => done([code, reason.toString()])))
const next = (socket) => new Promise((done, fail) => { socket.once('message', (data) => done(data)); socket.once('error', fail) })

async function echo () {
  const socket = new WebSocket(url + '/echo', ['chat'], { perMessageDeflate: { threshold: 0 } })
  await new Promise((done, fail) => { socket.once('open', done); socket.once('error', fail) })
  assert.equal(socket.protocol, 'chat')
  assert.match(socket.extensions, /permessage-deflate/)
  for (const size of [0, 1, 125, 126, 65535, 65536, 1 << 20]) {
    const sent = Buffer.alloc(size, 'ab')
    const answer = next(socket)
    socket.send(sent)
    assert.ok(sent.equals(await answer), `${size} bytes`)
  }
  const whole = next(socket) // of three fragments
  for (const [part, fin] of [['one,', false], ['two,', false], ['three', true]]) socket.send(part, { fin, compress: false })
  assert.equal((await whole).toString(), 'one,two,three')
  const over = ended(socket)
  socket.close(4242, 'enough')
  assert.equal((await over)[0], 4242)
}

async function tail () {
  const socket = new WebSocket(url + '/tail', ['chat'])
  let bytes = 0
  socket.on('message', (data) => { bytes += data.length })
  socket.on('open', () => {
    const talk = setInterval(() => socket.readyState === WebSocket.OPEN ? socket.send(Buffer.alloc(1 << 12)) : clearInterval(talk), 1)
  })
  const [code, reason] = await ended(socket)
  assert.deepEqual([bytes, code, reason], [96 << 16, 4001, 'that was all'])
}

echo().then(tail).then(() => console.log('ok'), (error) => { console.error(error); process.exit(1) })
