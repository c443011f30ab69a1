// Posts a body of so many bytes over HTTP/2 with prior knowledge, and prints the
// answer's status and body.
const http2 = require('node:http2')

const [url, size] = process.argv.slice(2)
const { origin, pathname } = new URL(url)
const session = http2.connect(origin)
session.on('error', (err) => { console.log('session', err.code || err.message); process.exit(0) })
const stream = session.request({ ':method': 'POST', ':path': pathname })
let status = 'none'
let body = ''
stream.on('response', (headers) => { status = headers[':status'] })
stream.on('data', (chunk) => { body += chunk })
stream.on('error', (err) => { body += ' ' + (err.code || err.message) })
stream.on('close', () => { console.log(status, body); session.destroy() })
let left = Number(size)
const more = () => {
  while (left > 0) {
    const n = Math.min(left, 16384)
    left -= n
    if (!stream.write(Buffer.alloc(n))) { stream.once('drain', more); return }
  }
  stream.end()
}
more()
