package telemetry

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector is an OTLP receiver over HTTP.
type collector struct {
	*httptest.Server
	mu       sync.Mutex
	requests []*http.Request
	spans    []string // "service span"
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var body io.Reader = r.Body
	if r.Header.Get("Content-Encoding") == "gzip" {
		z, err := gzip.NewReader(r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = z
	}
	data, err := io.ReadAll(body)
	var traces tracepb.TracesData
	if err := errors.Join(err, proto.Unmarshal(data, &traces)); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.requests = append(c.requests, r)
	for _, rs := range traces.GetResourceSpans() {
		attributes := map[string]string{}
		for _, a := range rs.GetResource().GetAttributes() {
			attributes[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				c.spans = append(c.spans, attributes["service.name"]+" "+attributes["service.version"]+" "+attributes["team"]+" "+s.GetName())
			}
		}
	}
}

func newCollector(t *testing.T, secure bool) *collector {
	t.Helper()
	c := &collector{}
	c.Server = httptest.NewUnstartedServer(c)
	if secure {
		c.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
		c.StartTLS()
	} else {
		c.Start()
	}
	t.Cleanup(c.Close)
	return c
}

// span sends one span, as a program would from start to end.
func span(t *testing.T, log *slog.Logger) {
	t.Helper()
	shutdown, provider, err := Tracing(t.Context(), "fiso-flow", "v1", log)
	if err != nil {
		t.Fatal(err)
	}
	if !Enabled(provider) {
		t.Fatal("traces are off")
	}
	_, s := provider.Tracer("test").Start(t.Context(), "deliver")
	s.End()
	if err := shutdown(context.WithoutCancel(t.Context())); err != nil {
		t.Errorf("shutdown: %v", err)
	}
}

func quiet() *slog.Logger { return slog.New(slog.DiscardHandler) }

func TestTracing_sendsSpansByOTLP(t *testing.T) {
	for _, tc := range []struct {
		name string
		env  map[string]string // values: $URL is the collector's
		path string
		want string
	}{
		{"base endpoint", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "$URL/base/"}, "/base/v1/traces", "fiso-flow v1  deliver"},
		{"traces endpoint wins and stays as it is", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://nowhere.invalid", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "$URL/mine"}, "/mine", "fiso-flow v1  deliver"},
		{"resource by the environment", map[string]string{
			"OTEL_EXPORTER_OTLP_ENDPOINT": "$URL", "OTEL_SERVICE_NAME": "orders", "OTEL_RESOURCE_ATTRIBUTES": "team=blue", "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf", "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
		}, "/v1/traces", "orders v1 blue deliver"},
		{"gzip", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "$URL", "OTEL_EXPORTER_OTLP_COMPRESSION": "gzip", "OTEL_EXPORTER_OTLP_TIMEOUT": "5000", "OTEL_TRACES_EXPORTER": "otlp"}, "/v1/traces", "fiso-flow v1  deliver"},
		{"headers", map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "$URL", "OTEL_EXPORTER_OTLP_HEADERS": "x-token = a%20b , ,x-other=1"}, "/v1/traces", "fiso-flow v1  deliver"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := newCollector(t, false)
			for name, value := range tc.env {
				t.Setenv(name, strings.ReplaceAll(value, "$URL", c.URL))
			}
			span(t, quiet())
			if !slices.Equal(c.spans, []string{tc.want}) {
				t.Fatalf("the collector has %q, want %q", c.spans, tc.want)
			}
			r := c.requests[0]
			if r.URL.Path != tc.path || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/x-protobuf" {
				t.Errorf("%s %s with %v", r.Method, r.URL.Path, r.Header)
			}
			if tc.name == "headers" && (r.Header.Get("X-Token") != "a b" || r.Header.Get("X-Other") != "1") {
				t.Errorf("headers %v", r.Header)
			}
		})
	}
}

func TestTracing_trustsTheCertificatesItIsTold(t *testing.T) {
	c := newCollector(t, true)
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	own := c.TLS.Certificates[0]
	der, err := x509.MarshalPKCS8PrivateKey(own.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: own.Certificate[0]}))
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", c.URL)
	t.Setenv("OTEL_EXPORTER_OTLP_CERTIFICATE", cert)
	t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", cert)
	t.Setenv("OTEL_EXPORTER_OTLP_CLIENT_KEY", key)
	span(t, quiet())
	if len(c.spans) != 1 || len(c.requests[0].TLS.PeerCertificates) != 1 {
		t.Errorf("the collector has %q from %v", c.spans, c.requests)
	}
}

func write(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTracing_isOffAndFreeWithoutAnEndpoint(t *testing.T) {
	for name, env := range map[string]map[string]string{
		"nothing":     {},
		"disabled":    {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_SDK_DISABLED": "TRUE"},
		"no exporter": {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_TRACES_EXPORTER": "none"},
	} {
		t.Run(name, func(t *testing.T) {
			for k, v := range env {
				t.Setenv(k, v)
			}
			shutdown, provider, err := Tracing(t.Context(), "s", "v", quiet())
			if err != nil || Enabled(provider) {
				t.Fatalf("%v, enabled = %v", err, Enabled(provider))
			}
			_, s := provider.Tracer("t").Start(t.Context(), "x")
			if s.IsRecording() || trace.SpanContextFromContext(t.Context()).IsValid() {
				t.Error("a span is recorded")
			}
			if err := shutdown(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTracing_refusesWithTheNameOfTheVariable(t *testing.T) {
	dir := t.TempDir()
	empty := filepath.Join(dir, "empty.pem")
	write(t, empty, nil)
	for _, tc := range []struct{ name, value, want string }{
		{"OTEL_EXPORTER_OTLP_ENDPOINT", "localhost:4318", "OTEL_EXPORTER_OTLP_ENDPOINT: it must be an http or https URL such as http://localhost:4318"},
		{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://%zz", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: it must be"},
		{"OTEL_EXPORTER_OTLP_PROTOCOL", "grpc", `OTEL_EXPORTER_OTLP_PROTOCOL: "grpc" is not supported: use http/protobuf, which collectors take on port 4318`},
		{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "http/json", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL:"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "token", "OTEL_EXPORTER_OTLP_HEADERS: it must be key=value"},
		{"OTEL_EXPORTER_OTLP_HEADERS", "token=%zz", "OTEL_EXPORTER_OTLP_HEADERS: it must be key=value"},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "10s", `OTEL_EXPORTER_OTLP_TIMEOUT: "10s" is not a number of milliseconds`},
		{"OTEL_EXPORTER_OTLP_TIMEOUT", "0", "OTEL_EXPORTER_OTLP_TIMEOUT:"},
		{"OTEL_EXPORTER_OTLP_COMPRESSION", "zstd", `OTEL_EXPORTER_OTLP_COMPRESSION: "zstd" is not supported: use gzip or none`},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", filepath.Join(dir, "absent"), "OTEL_EXPORTER_OTLP_CERTIFICATE: open "},
		{"OTEL_EXPORTER_OTLP_CERTIFICATE", empty, "holds no certificate in PEM form"},
		{"OTEL_EXPORTER_OTLP_CLIENT_KEY", empty, "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE and OTEL_EXPORTER_OTLP_CLIENT_KEY: "},
		{"OTEL_TRACES_EXPORTER", "zipkin", `OTEL_TRACES_EXPORTER: "zipkin" is not supported: use otlp or none`},
		{"OTEL_RESOURCE_ATTRIBUTES", "nonsense", "OTEL_RESOURCE_ATTRIBUTES: "},
	} {
		t.Run(tc.name+"="+tc.value, func(t *testing.T) {
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4318")
			t.Setenv(tc.name, tc.value)
			shutdown, provider, err := Tracing(t.Context(), "s", "v", quiet())
			if err == nil || !strings.HasPrefix(err.Error(), "set up tracing: ") || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want one with %s", err, tc.want)
			}
			if Enabled(provider) || shutdown(t.Context()) != nil {
				t.Error("what came with the error cannot be used")
			}
		})
	}
}

// attempt is how one request ends: an HTTP status with a Retry-After, or an
// error.
type attempt func(ctx context.Context) (status int, after string, err error)

// answers is a transport that needs no network.
type answers struct {
	t    *testing.T
	list []attempt
	n    int
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	_, _ = io.Copy(io.Discard, r.Body)
	a.n++
	if a.n > len(a.list) {
		a.t.Errorf("attempt %d was one too many", a.n)
		return nil, errors.New("too many")
	}
	code, after, err := a.list[a.n-1](r.Context())
	if err != nil {
		return nil, err
	}
	h := http.Header{"Retry-After": {after}, "Location": {"http://evil.invalid"}}
	return &http.Response{StatusCode: code, Status: http.StatusText(code), Header: h, Body: io.NopCloser(strings.NewReader("body"))}, nil
}

func status(code int, after ...string) attempt {
	return func(context.Context) (int, string, error) { return code, strings.Join(after, ""), nil }
}

func broken(context.Context) (int, string, error) { return 0, "", errors.New("no route") }

func hangs(ctx context.Context) (int, string, error) {
	<-ctx.Done()
	return 0, "", ctx.Err()
}

func TestUpload_triesAgainWhereThatMakesSense(t *testing.T) {
	type list = []attempt
	for _, tc := range []struct {
		name     string
		list     list
		min, max time.Duration
		warning  string
	}{
		{"at once", list{status(200)}, 0, 0, ""},
		{"after a break", list{broken, status(200)}, 800 * time.Millisecond, 1200 * time.Millisecond, ""},
		{"when it is busy", list{status(429), status(502), status(503), status(504), status(202)}, 9600 * time.Millisecond, 14400 * time.Millisecond, ""},
		{"as late as it asks", list{status(503, "30"), status(200)}, 30 * time.Second, 30 * time.Second, ""},
		{"not later than a minute", list{status(503, "9999"), status(200)}, time.Minute, time.Minute, ""},
		{"whatever it asks", list{status(503, "-1"), status(200)}, 800 * time.Millisecond, 1200 * time.Millisecond, ""},
		{"after a timeout", list{hangs, status(200)}, 2800 * time.Millisecond, 3200 * time.Millisecond, ""},
		{"not when refused", list{status(400)}, 0, 0, "send to collector:4318: it answered Bad Request"},
		{"not when sent elsewhere", list{status(307)}, 0, 0, "it answered Temporary Redirect"},
		{"gives up after the retries", list{broken, broken, broken, broken, broken}, 9600 * time.Millisecond, 14400 * time.Millisecond, "send to collector:4318: no route"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var b bytes.Buffer
				c := newClient(&otlpConfig{url: "http://user:hunter2@collector:4318/v1/traces?key=hunter2", timeout: 2 * time.Second, headers: http.Header{"X-Token": {"hunter2"}}}, Logger(&b, slog.LevelInfo, false))
				transport := &answers{t: t, list: tc.list}
				c.http.Transport = transport
				begin := time.Now()
				if err := c.UploadTraces(t.Context(), nil); err != nil {
					t.Errorf("an error, for the global handler to print: %v", err)
				}
				if took := time.Since(begin); took < tc.min || took > tc.max {
					t.Errorf("it took %v, want %v to %v", took, tc.min, tc.max)
				}
				if transport.n != len(tc.list) {
					t.Errorf("%d attempts, want %d", transport.n, len(tc.list))
				}
				if got := b.String(); !strings.Contains(got, tc.warning) || (tc.warning == "") != (got == "") {
					t.Errorf("logged %q, want %q", got, tc.warning)
				}
				if strings.Contains(b.String(), "hunter2") {
					t.Errorf("a secret is in the log: %s", b.String())
				}
			})
		})
	}
}

func TestUpload_stopsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newClient(&otlpConfig{url: "http://collector", timeout: time.Minute}, quiet())
		c.http.Transport = &answers{t: t, list: []attempt{status(503, "60")}}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begin := time.Now()
		_ = c.UploadTraces(ctx, nil)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("it took %v, want 1s", took)
		}
	})
}

func TestUpload_warnsOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b bytes.Buffer
		c := newClient(&otlpConfig{url: "http://collector", timeout: time.Second}, Logger(&b, slog.LevelInfo, false))
		for range 10 {
			c.http.Transport = &answers{t: t, list: []attempt{status(400)}}
			_ = c.UploadTraces(t.Context(), nil)
		}
		if n := strings.Count(b.String(), "\n"); n != 1 {
			t.Errorf("%d lines in one minute: %s", n, b.String())
		}
		<-time.After(warnEvery) // by the bubble's clock
		c.http.Transport = &answers{t: t, list: []attempt{status(400)}}
		_ = c.UploadTraces(t.Context(), nil)
		if n := strings.Count(b.String(), "\n"); n != 2 {
			t.Errorf("%d lines after a minute: %s", n, b.String())
		}
	})
}

func TestUpload_saysThatTheURLIsNone(t *testing.T) {
	var b bytes.Buffer
	c := newClient(&otlpConfig{url: "http://user:hunter2@%zz", timeout: time.Second}, Logger(&b, slog.LevelInfo, false))
	_ = c.UploadTraces(t.Context(), nil)
	if !strings.Contains(b.String(), "the OTLP endpoint is not a URL") || strings.Contains(b.String(), "hunter2") {
		t.Error(b.String())
	}
}

// The exporter of otlptracehttp compiles all of grpc in; common must not.
func TestPackage_compilesNoGRPC(t *testing.T) {
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", "../...").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.HasPrefix(line, "google.golang.org/grpc") || strings.HasPrefix(line, "github.com/twmb/franz-go") || strings.HasPrefix(line, "k8s.io/") {
			t.Errorf("common compiles in %s", line)
		}
	}
}
