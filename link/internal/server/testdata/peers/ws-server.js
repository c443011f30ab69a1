// A WebSocket server by the library ws: /echo, /tail. It prints its port.
const { WebSocketServer } = require('ws')

const server = new WebSocketServer({
  host: '127.0.0.1', port: 0, perMessageDeflate: { threshold: 0 }, maxPayload: 32 << 20,
  handleProtocols: (asked) => asked.has('chat') ? 'chat' : false,
}, () => console.log(server.address().port))

server.on('connection', (socket, request) => {
  socket.on('error', () => {})
  if (request.url.endsWith('/tail')) {
    // 6 MB one way while the other side talks, and then this side closes first.
    for (let i = 0; i < 96; i++) socket.send(Buffer.alloc(1 << 16, i))
    socket.close(4001, 'that was all')
    return
  }
  socket.on('message', (data, binary) => socket.send(data, { binary }))
})
