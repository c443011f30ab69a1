package http1

import (
	"net/http"
	"strconv"
)

func appendStatus(b []byte, status int) []byte {
	b = strconv.AppendInt(append(b, "HTTP/1.1 "...), int64(status), 10)
	b = append(append(b, ' '), http.StatusText(status)...)
	return append(b, "\r\n"...)
}

func appendFields(b []byte, h Header) []byte {
	for i := range h {
		b = append(append(b, h[i].Name...), ": "...)
		b = append(append(b, h[i].Value...), "\r\n"...)
	}
	return b
}

func appendLength(b []byte, length int64) []byte {
	return append(strconv.AppendInt(append(b, "Content-Length: "...), length, 10), "\r\n"...)
}

// appendChunkSize appends the line that begins a chunk.
func appendChunkSize(b []byte, size int) []byte {
	return append(strconv.AppendInt(b, int64(size), 16), "\r\n"...)
}

// appendLastChunk appends what ends a chunked body.
func appendLastChunk(b []byte, trailer Header) []byte {
	return append(appendFields(append(b, "0\r\n"...), trailer), "\r\n"...)
}
