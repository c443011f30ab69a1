package temporal

import (
	"encoding/base64"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	"go.temporal.io/sdk/converter"

	"github.com/lsm/fiso/common/connector"
)

// base64Codec is a codec in place of an encryption.
type base64Codec struct{}

func (base64Codec) Encode(ps []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(ps))
	for i, p := range ps {
		data := []byte(base64.StdEncoding.EncodeToString(p.Data))
		out[i] = &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/base64")}, Data: data}
	}
	return out, nil
}

func (base64Codec) Decode(ps []*commonpb.Payload) ([]*commonpb.Payload, error) {
	out := make([]*commonpb.Payload, len(ps))
	for i, p := range ps {
		data, err := base64.StdEncoding.DecodeString(string(p.Data))
		if err != nil {
			return nil, err
		}
		out[i] = plainJSON(string(data))
	}
	return out, nil
}

// codecServer is a codec server that can be made to fail.
type codecServer struct {
	url  string
	fail atomic.Pointer[http.HandlerFunc]
}

func newCodecServer(t testing.TB) *codecServer {
	c, working := &codecServer{}, converter.NewPayloadCodecHTTPHandler(base64Codec{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if fail := c.fail.Load(); fail != nil {
			(*fail)(w, r)
			return
		}
		working.ServeHTTP(w, r)
	}))
	t.Cleanup(srv.Close)
	c.url = srv.URL
	return c
}

func encoded(text string) *commonpb.Payload {
	ps, _ := base64Codec{}.Encode([]*commonpb.Payload{plainJSON(text)})
	return ps[0]
}

// T7 (https://github.com/temporalio/sdk-go): nothing of an event goes to the server in plain
// text where payloads are encoded: neither in a result, nor in a heartbeat, nor in a failure.
func TestCodec_keepsTheEventOutOfTheHistory(t *testing.T) {
	f, codec := newFakeTemporal(t), newCodecServer(t)
	cfg := sourceConfig(f)
	cfg.Codec = Codec{Endpoint: codec.url + "/", Timeout: time.Second}
	r := start(t, newTestSource(t, cfg, SourceOptions{}), nil)
	body := eventJSON("canary", "k")
	c := f.call("1", nil, encoded(body))
	m := r.first()
	if string(m.Value) != body {
		t.Errorf("the value is %s, want the decoded %s", m.Value, body)
	}
	until(t, "a heartbeat arrives", func() bool { return len(f.look(c).beats) > 0 })
	m.Settle(nil)
	done := f.closed(c)
	plain, err := base64Codec{}.Decode(done.result.GetPayloads())
	if err != nil || len(plain) != 1 || string(plain[0].Data) != `{"outcome":"settled"}` {
		t.Errorf("the result is %v (%v), want the encoded outcome", done.result, err)
	}
	if done.beats[0] != nil {
		t.Errorf("the heartbeat has the details %v, want none", done.beats[0])
	}
	bad := f.closed(f.call("2", nil, encoded(`{"specversion":"1.0","id":"1","source":"/s","type":"t","time":"canary"}`)))
	if want := "fiso.publish: the decoded argument is not a valid CloudEvent"; bad.failures[0].Message != want {
		t.Errorf("the failure is %q, want %q", bad.failures[0].Message, want)
	}
}

// A codec that fails is an outage. Status says so, the attempt is retried, and the answer of
// the codec, which may hold a payload, is not repeated.
func TestCodec_thatFailsIsAnOutage(t *testing.T) {
	t.Parallel() // it mostly waits
	for name, c := range map[string]struct {
		fail http.HandlerFunc
		want string
	}{
		"error": {func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "canary", 500) }, "/decode: the codec server answered 500; see its log"},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/other", http.StatusTemporaryRedirect)
		}, "the codec server answered 307"},
		"endless": {func(w http.ResponseWriter, _ *http.Request) {
			part := []byte(strings.Repeat(" ", 1<<20))
			for range 17 {
				_, _ = w.Write(part)
			}
		}, "the answer is larger than 16 MiB"},
		"silent": {func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body) // or the server does not see that the client has gone
			<-r.Context().Done()
		}, "context deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			f, codec, log := newFakeTemporal(t), newCodecServer(t), &lines{}
			codec.fail.Store(&c.fail)
			cfg := sourceConfig(f)
			cfg.Codec = Codec{Endpoint: codec.url, Timeout: 10 * time.Second}
			if name == "silent" {
				cfg.Codec.Timeout = 50 * time.Millisecond
			}
			r := start(t, newTestSource(t, cfg, SourceOptions{Logger: log.logger()}), settle(nil))
			call := f.call("1", nil, encoded(eventJSON("order-7", "k")))
			until(t, "the attempt fails", func() bool { return len(f.look(call).failures) == 1 })
			failure := f.look(call).failures[0]
			if want := "the payload codec of the source does not answer; the next attempt sends it again with the same id"; failure.Message != want {
				t.Errorf("the failure is %q, want %q", failure.Message, want)
			}
			if info := failure.GetApplicationFailureInfo(); info.GetType() != ErrorUnsettled || info.GetNextRetryDelay().AsDuration() != codecRetryDelay {
				t.Errorf("the failure is %v, want fiso.Unsettled", info)
			}
			got := r.s.Status()
			if !strings.HasPrefix(got.Problem, "codec http://") || !strings.Contains(got.Problem, c.want) || got.Unreachable {
				t.Errorf("Status is %+v, want a problem of the codec with %q", got, c.want)
			}
			if strings.Contains(got.Problem, "canary") || log.count("canary") > 0 {
				t.Error("the answer of the codec is repeated")
			}
			codec.fail.Store(nil)
			f.change(func() { call.readyAt = time.Now() }) // without the delay
			f.closed(call)
			if got := r.s.Status().Problem; got != "" {
				t.Errorf("the problem is %q after the codec answered, want none", got)
			}
		})
	}
}

// The codec may fail after the event was settled. The next attempt answers, and the event is
// not handed over again.
func TestCodec_thatFailsForAResultCostsNoDuplicate(t *testing.T) {
	f, codec := newFakeTemporal(t), newCodecServer(t)
	fail := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	cfg := sourceConfig(f)
	cfg.Codec = Codec{Endpoint: codec.url, Timeout: time.Second}
	r := start(t, newTestSource(t, cfg, SourceOptions{}), func(m *connector.Message) {
		codec.fail.Store(&fail)
		m.Settle(nil)
	})
	call := f.call("1", nil, encoded(eventJSON("order-7", "k")))
	until(t, "the attempt fails", func() bool { return len(f.look(call).failures) == 1 })
	codec.fail.Store(nil)
	f.change(func() { call.readyAt = time.Now() })
	f.closed(call)
	if got := r.messages(); len(got) != 1 {
		t.Errorf("%d messages are handed over, want 1", len(got))
	}
}
