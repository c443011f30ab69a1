package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/lsm/fiso/common/backoff"
)

// client sends spans by OTLP over HTTP. It replaces otlptracehttp, which compiles all of
// grpc into every program (its internal/otlpconfig imports grpc).
type client struct {
	cfg  *otlpConfig
	http *http.Client
	log  *slog.Logger
	// warned is when a failure was last logged, in Unix nanoseconds.
	warned atomic.Int64
}

// maxAttempts bounds the attempts for one batch of spans, because newer batches wait.
const maxAttempts = 5

// warnEvery bounds how often failures are logged: a collector that is down should not
// cost a log line for each batch.
const warnEvery = time.Minute

func newClient(cfg *otlpConfig, log *slog.Logger) *client {
	transport := &http.Transport{
		Proxy: http.ProxyFromEnvironment, TLSClientConfig: cfg.tls, ForceAttemptHTTP2: true,
		MaxIdleConns: 2, IdleConnTimeout: 90 * time.Second, TLSHandshakeTimeout: 10 * time.Second,
	}
	return &client{cfg: cfg, log: log, http: &http.Client{
		Transport: transport,
		// The headers hold credentials, which must not follow a redirect.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Start implements otlptrace.Client. Connections are made when needed.
func (c *client) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *client) Stop(context.Context) error {
	c.http.CloseIdleConnections()
	return nil
}

// UploadTraces implements otlptrace.Client. It logs spans that cannot be sent and returns
// nil: OpenTelemetry's global handler would write an error to stderr, not to the log.
func (c *client) UploadTraces(ctx context.Context, spans []*tracepb.ResourceSpans) error {
	// TracesData is the same on the wire as ExportTraceServiceRequest, whose package needs
	// grpc.
	body, err := proto.Marshal(&tracepb.TracesData{ResourceSpans: spans})
	if err == nil {
		err = c.post(ctx, body)
	}
	if err != nil {
		c.warn(err)
	}
	return nil
}

func (c *client) warn(err error) {
	now, last := time.Now().UnixNano(), c.warned.Load()
	if last != 0 && now-last < int64(warnEvery) || !c.warned.CompareAndSwap(last, now) {
		return
	}
	c.log.Warn("traces lost", "error", err)
}

// post sends one body, and retries if a retry can help.
func (c *client) post(ctx context.Context, body []byte) error {
	policy := backoff.Policy{Initial: time.Second, Max: 5 * time.Second, Jitter: 0.2}
	for attempt := 1; ; attempt++ {
		after, err := c.try(ctx, body)
		if err == nil || after < 0 || attempt == maxAttempts {
			return err
		}
		wait := time.NewTimer(max(after, policy.Delay(attempt)))
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return err
		}
	}
}

// try sends a body once. With an error it returns the least time to wait before the next
// attempt; below 0 there must be none.
func (c *client) try(ctx context.Context, body []byte) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.timeout)
	defer cancel()
	request, err := c.request(ctx, body)
	if err != nil {
		return -1, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		// The URL in url.Error may hold credentials.
		if u, ok := errors.AsType[*url.Error](err); ok {
			err = u.Err
		}
		return 0, fmt.Errorf("send to %s: %w", request.URL.Host, err)
	}
	defer response.Body.Close()                                       //nolint:errcheck // the body is not needed
	_, _ = io.Copy(io.Discard, io.LimitReader(response.Body, 64<<10)) // so that the connection can be reused
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return 0, nil
	case code == http.StatusTooManyRequests, code == http.StatusBadGateway,
		code == http.StatusServiceUnavailable, code == http.StatusGatewayTimeout:
		return retryAfter(response), fmt.Errorf("send to %s: it answered %s", request.URL.Host, response.Status)
	default:
		return -1, fmt.Errorf("send to %s: it answered %s", request.URL.Host, response.Status)
	}
}

func (c *client) request(ctx context.Context, body []byte) (*http.Request, error) {
	if c.cfg.gzip {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(body) // memory writes do not fail
		_ = z.Close()
		body = b.Bytes()
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.cfg.url, bytes.NewReader(body))
	if err != nil {
		return nil, errors.New("the OTLP endpoint is not a URL")
	}
	for name, values := range c.cfg.headers {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "application/x-protobuf")
	request.Header.Set("User-Agent", "fiso")
	if c.cfg.gzip {
		request.Header.Set("Content-Encoding", "gzip")
	}
	return request, nil
}

// retryAfter returns the delay in seconds that an answer asks for, at most a minute.
func retryAfter(r *http.Response) time.Duration {
	seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0
	}
	return time.Duration(min(seconds, 60)) * time.Second
}
