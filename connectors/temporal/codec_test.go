package temporal

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"go.temporal.io/api/workflowservice/v1"
	"google.golang.org/protobuf/proto"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
)

const canary = "c4n4ry"

// canaryCall has the canary in everything that a codec encrypts.
func canaryCall(context.Context, *cloudevent.Event) (Call, error) {
	text := []byte(`"` + canary + `"`)
	return Call{
		WorkflowID: "w", WorkflowType: "Order", TaskQueue: "orders", Args: [][]byte{text}, SignalName: "paid", SignalArgs: [][]byte{text},
		UpdateName: "pay", UpdateArgs: [][]byte{text}, Memo: map[string][]byte{"tenant": text},
		SearchAttributes: map[string]SearchAttribute{"Customer": {"keyword", []byte(`"c1"`)}},
	}, nil
}

type wirePayload struct {
	Metadata map[string][]byte `json:"metadata"`
	Data     []byte            `json:"data"`
}

// encrypt is a codec server. It turns each byte around, as a cipher for tests.
func encrypt(t *testing.T, w http.ResponseWriter, r *http.Request) {
	var all struct {
		Payloads []wirePayload `json:"payloads"`
	}
	if err := json.NewDecoder(r.Body).Decode(&all); err != nil {
		t.Error(err)
	}
	for i, p := range all.Payloads {
		inner, err := json.Marshal(p)
		if err != nil {
			t.Error(err)
		}
		for j := range inner {
			inner[j] ^= 0xff
		}
		all.Payloads[i] = wirePayload{map[string][]byte{"encoding": []byte("binary/encrypted")}, inner}
	}
	if err := json.NewEncoder(w).Encode(all); err != nil {
		t.Error(err)
	}
}

// onWire returns the bytes of all requests that the server got.
func (s *server) onWire(t *testing.T) []byte {
	t.Helper()
	var all []byte
	for _, r := range s.taken() {
		b, err := proto.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, b...)
	}
	return all
}

// T7: the SDK falls back to plain text for memos.
func TestSink_encryptsArgumentsAndMemosWithTheCodec(t *testing.T) {
	var paths []string
	codec := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		paths = append(paths, r.Method+" "+r.URL.Path+" "+r.Header.Get("X-Namespace")+" "+r.Header.Get("Content-Type"))
		encrypt(t, w, r)
	}))
	defer codec.Close()
	for _, action := range []string{ActionStart, ActionSignal, ActionSignalWithStart, ActionUpdateWithStart} {
		t.Run(action, func(t *testing.T) {
			srv := newServer(t)
			cfg := sinkConfig(srv.address, action)
			cfg.Codec.Endpoint = codec.URL + "/{namespace}/"
			s := newTestSink(t, cfg, SinkOptions{Call: canaryCall})
			if err := s.Send(t.Context(), order("1")); err != nil {
				t.Fatal(err)
			}
			wire := srv.onWire(t)
			if bytes.Contains(wire, []byte(canary)) {
				t.Error("the canary is on the wire")
			}
			if !bytes.Contains(wire, []byte("binary/encrypted")) {
				t.Error("nothing encrypted is on the wire")
			}
			if action != ActionSignal && !bytes.Contains(wire, []byte(`"c1"`)) {
				t.Error("the search attribute is encrypted: nobody could search for it")
			}
		})
	}
	if want := "POST /default/encode default application/json"; len(paths) != 4 || paths[0] != want {
		t.Errorf("the codec server got %q; want %q, once for each event", paths, want)
	}
}

// T7: a codec that fails is an outage, and nothing leaves in plain text.
func TestSink_sendsNothingWhileTheCodecFails(t *testing.T) {
	t.Parallel() // it mostly waits
	plain := `{"payloads":[{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"MQ=="},{"metadata":{"encoding":"anNvbi9wbGFpbg=="},"data":"MQ=="}]}`
	for _, row := range []struct {
		name   string
		answer func(w http.ResponseWriter, r *http.Request)
		text   string
	}{
		{"a fault", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500); _, _ = io.Copy(w, r.Body) }, "the codec server answered 500; see its log"},
		{"refused", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(403) }, "answered 403"},
		{"redirect", func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, "answered 307"},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>") }, "not a list of payloads"},
		{"too few", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{"payloads":[{}]}`) }, "1 payloads for 2"},
		{"too much", func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, maxCodecAnswer+1)) }, "larger than 16 MiB"},
		{"an echo", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, plain) }, "still plain JSON"},
		{"half an answer", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
		}, "read the answer"},
		{"no answer", func(_ http.ResponseWriter, r *http.Request) {
			_, _ = io.Copy(io.Discard, r.Body)
			<-r.Context().Done()
		}, "deadline"},
	} {
		t.Run(row.name, func(t *testing.T) {
			codec := httptest.NewServer(http.HandlerFunc(row.answer))
			defer codec.Close()
			srv := newServer(t)
			cfg := sinkConfig(srv.address, ActionStart)
			cfg.Codec.Endpoint = codec.URL
			if row.name == "no answer" {
				cfg.Codec.Timeout = 100 * time.Millisecond
			}
			s := newTestSink(t, cfg, SinkOptions{Call: canaryCall})
			err := s.Send(t.Context(), order("1"))
			wantError(t, err, connector.Unavailable, row.text)
			if strings.Contains(err.Error(), canary) {
				t.Errorf("the error holds the canary: %v", err)
			}
			if n := len(srv.taken()); n != 0 {
				t.Errorf("the server got %d requests without encryption", n)
			}
		})
	}
}

func TestSink_takesACodecThatIsAwayForAnOutage(t *testing.T) {
	codec := httptest.NewServer(http.NotFoundHandler())
	codec.Close()
	srv := newServer(t)
	cfg := sinkConfig(srv.address, ActionStart)
	cfg.Codec.Endpoint = codec.URL
	s := newTestSink(t, cfg, SinkOptions{})
	wantError(t, s.Send(t.Context(), order("1")), connector.Unavailable, "connection refused")

	ctx, cancel := context.WithCancel(t.Context())
	hanging := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		cancel()
		<-r.Context().Done()
	}))
	defer hanging.Close()
	cfg.Codec.Endpoint = hanging.URL
	s = newTestSink(t, cfg, SinkOptions{})
	wantError(t, s.Send(ctx, order("1")), connector.Interrupted, "canceled")
}

func TestSink_reachesACodecByTLS(t *testing.T) {
	codec := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { encrypt(t, w, r) }))
	defer codec.Close()
	srv := newServer(t)
	cfg := sinkConfig(srv.address, ActionStart)
	cfg.Codec = Codec{Endpoint: codec.URL, TLS: config.TLS{CAFile: writeFile(t, "ca.pem", certificatePEM(codec.Certificate())), ServerName: "example.com"}}
	s := newTestSink(t, cfg, SinkOptions{})
	if err := s.Send(t.Context(), order("1")); err != nil {
		t.Fatal(err)
	}
	if r, _ := last[*workflowservice.StartWorkflowExecutionRequest](t, srv); string(r.Input.Payloads[0].Metadata["encoding"]) != "binary/encrypted" {
		t.Errorf("the argument is %v", r.Input)
	}
}
