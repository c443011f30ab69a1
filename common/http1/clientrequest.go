package http1

import "strconv"

// Fit refuses a request that a line of HTTP/1.1 cannot hold: from HTTP/2 or from
// a credential may come what would end the line, and begin another request.
func Fit(out *Outgoing) error {
	switch {
	case out.Method == "CONNECT" || out.Method == "" || !allIn(&isToken, out.Method):
		return errMethod
	case out.Path == "" || out.Path[0] != '/' || !allIn(&isTarget, out.Path) || !allIn(&isQuery, out.Query):
		return errTarget
	case !allIn(&isHostish, out.Host):
		return errHost
	case !allIn(&isToken, out.Upgrade):
		return errValue
	}
	for i := range out.Header {
		if err := fitField(&out.Header[i]); err != nil {
			return err
		}
	}
	return nil
}

func fitField(f *Field) error {
	switch {
	case f.Name == "" || !allIn(&isToken, f.Name):
		return errName
	case !allIn(&isValue, f.Value):
		return errValue
	case known(f.Name) != other:
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
		b = append(strconv.AppendInt(append(b, "Content-Length: "...), out.Length, 10), "\r\n"...)
	case out.Length < 0:
		b = append(b, "Transfer-Encoding: chunked\r\n"...)
	}
	if out.Header.Has("TE") {
		b = append(b, "Connection: TE\r\n"...) // RFC 9110, section 10.1.4
	}
	return append(b, "\r\n"...)
}

// mayHaveBody says of which methods a server expects to be told that there is
// no body (RFC 9110, section 8.6).
func mayHaveBody(method string) bool { return method == "POST" || method == "PUT" || method == "PATCH" }
