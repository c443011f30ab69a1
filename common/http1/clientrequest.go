package http1

// Fit refuses a request that cannot be written in HTTP/1.1. HTTP/2 and credentials allow
// bytes that would end a line and so begin another request.
func Fit(out *Outgoing) error {
	switch {
	case out.Method == "CONNECT" || !IsMethod(out.Method):
		return errMethod
	case out.Path == "" || out.Path[0] != '/' || !allIn(&isTarget, out.Path) || !allIn(&isQuery, out.Query):
		return errTarget
	case !IsHost(out.Host):
		return errHost
	case !allIn(&isToken, out.Upgrade):
		return errValue
	}
	for _, f := range out.Header {
		if err := fitField(f); err != nil {
			return err
		}
	}
	return nil
}

// framingFields are written by this package.
var framingFields = []string{"host", "connection", "content-length", "transfer-encoding"}

func fitField(f Field) error {
	switch {
	case f.Name == "" || !allIn(&isToken, f.Name):
		return errName
	case !allIn(&isValue, f.Value):
		return errValue
	case isOneOf(framingFields, f.Name):
		return errFraming
	}
	return nil
}

// appendRequest appends the head of a request.
func appendRequest(b []byte, out *Outgoing) []byte {
	b = append(append(append(b, out.Method...), ' '), out.Path...)
	if out.Query != "" || out.ForceQuery {
		b = append(append(b, '?'), out.Query...)
	}
	b = append(append(append(b, " HTTP/1.1\r\nHost: "...), out.Host...), "\r\n"...)
	b = appendFields(b, out.Header)
	switch {
	case out.Upgrade != "":
		return append(append(append(b, "Connection: Upgrade\r\nUpgrade: "...), out.Upgrade...), "\r\n\r\n"...)
	case out.Length > 0, out.Length == 0 && mayHaveBody(out.Method):
		b = appendLength(b, out.Length)
	case out.Length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if out.Header.Has("TE") {
		b = append(b, "Connection: TE\r\n"...) // RFC 9110, section 10.1.4
	}
	return append(b, "\r\n"...)
}

// mayHaveBody reports whether a request without a body needs Content-Length: 0
// (RFC 9110, section 8.6).
func mayHaveBody(method string) bool { return method == "POST" || method == "PUT" || method == "PATCH" }
