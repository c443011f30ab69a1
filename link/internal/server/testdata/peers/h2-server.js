// A server of HTTP/2 with prior knowledge that prints its port. It answers with
// what it was sent and goes away (GOAWAY) after each request; /served counts how often
// each body was served; /full is answered with 413 before the body was read.
const http2 = require('node:http2')

const served = {}
const server = http2.createServer()
server.on('stream', (stream, headers) => {
  stream.on('error', () => {}) // the caller sees it
  if (headers[':path'] === '/full') {
    stream.respond({ ':status': 413 })
    stream.end('too much')
    return
  }
  let body = ''
  stream.on('data', (chunk) => { body += chunk })
  stream.on('end', () => {
    stream.respond({ ':status': 200 })
    if (headers[':path'] === '/served') {
      stream.end(JSON.stringify(served))
      return
    }
    served[body] = (served[body] || 0) + 1
    stream.end(body)
    stream.session.close()
  })
})
server.on('sessionError', () => {}) // the same
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
