package credential

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"

	"github.com/lsm/fiso/common/config"
)

// maxAnswer bounds the answer of a token server, in bytes.
const maxAnswer = 1 << 20

// fetcher returns the client for token requests: base, with a transport for the TLS
// settings and the proxy unless base has its own and neither is configured.
func fetcher(base *http.Client, settings config.TLS, proxy *Proxy) (*http.Client, error) {
	client := *base
	if client.Transport == nil || !settings.IsZero() || proxy != nil {
		t, err := newTransport(settings, proxy)
		if err != nil {
			return nil, err
		}
		client.Transport = t
	}
	client.Transport = lenientTransport{client.Transport}
	return &client, nil
}

// lenientTransport rewrites answers of token servers to the form of RFC 6749, section
// 5.1, if they differ in ways that leave no doubt.
type lenientTransport struct{ http.RoundTripper }

func (l lenientTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer+1))
	_ = answer.Body.Close() // read, or broken
	if err == nil && len(body) > maxAnswer {
		err = errors.New("the answer is larger than 1 MiB")
	}
	if err != nil {
		return nil, err
	}
	body = bytes.TrimSpace(bytes.TrimPrefix(body, []byte("\ufeff")))
	if bytes.HasPrefix(body, []byte("{")) {
		answer.Header.Set("Content-Type", "application/json") // with text/plain, the library would parse a form
		body = wholeSeconds(body)
	}
	answer.Body, answer.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	return answer, nil
}

// CloseIdleConnections is called by http.Client.
func (l lenientTransport) CloseIdleConnections() {
	if t, ok := l.RoundTripper.(*transport); ok {
		t.CloseIdleConnections()
	}
}

// wholeSeconds returns the answer with a whole number as expires_in, if it was a string
// or a fraction, and without it if it was empty.
func wholeSeconds(body []byte) []byte {
	var all map[string]json.RawMessage
	if json.Unmarshal(body, &all) != nil || all["expires_in"] == nil {
		return body
	}
	text := strings.TrimSpace(strings.Trim(string(all["expires_in"]), `"`))
	if text == "" || text == "null" {
		delete(all, "expires_in")
	} else {
		n, err := strconv.ParseFloat(text, 64)
		if err != nil || math.IsNaN(n) {
			return body
		}
		if n > 0 {
			n = min(max(math.Floor(n), 1), math.MaxInt32)
		}
		all["expires_in"] = json.RawMessage(strconv.FormatInt(int64(max(n, math.MinInt32)), 10))
	}
	mended, err := json.Marshal(all)
	if err != nil {
		return body
	}
	return mended
}
