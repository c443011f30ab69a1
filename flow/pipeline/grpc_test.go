package pipeline

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"google.golang.org/grpc/codes"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/connector"
	fisogrpc "github.com/lsm/fiso/connectors/grpc"
	"github.com/lsm/fiso/delivery/deadletter"
)

// One flow takes events by gRPC and sends them on by gRPC to another, which posts them: both sides
// of the protocol, on one port.
func TestGRPC_oneFlowFeedsAnotherAndTheProducerLearnsHowItsEventEnded(t *testing.T) {
	in := prepare(t)
	port, letters := freePort(t), filepath.Join(t.TempDir(), "dead.jsonl")
	place := fmt.Sprintf("errorHandling: {stopTheLine: {consecutive: 0}, deadLetter: {type: file, config: {path: %q}}}\n", letters)
	first := func(more string) string {
		return fmt.Sprintf(`name: first
source: {type: grpc, config: {listen: %q}}
filter: type != "noise"
sink: {type: grpc, config: {target: %q, flow: second, key: data.customer}}
%s%s`, port, port, place, more)
	}
	in.put("first.yaml", first(""))
	in.put("second.yaml", fmt.Sprintf(`name: second
source: {type: grpc, config: {listen: %q}}
sink: {type: http, config: {url: %q}}
%s`, port, in.service.URL, place))
	in.start(Options{})
	in.service.answers(func(body string) int {
		if strings.Contains(body, "bad") {
			return 400
		}
		return 200
	})

	sink, err := fisogrpc.NewSink(fisogrpc.SinkConfig{Target: port, Flow: "first"}, fisogrpc.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = sink.Close(t.Context()) }()
	send := func(id, kind, data string) error {
		return sink.Send(t.Context(), &cloudevent.Event{
			ID: id, Source: "/shop", Type: kind, DataContentType: "application/json",
			Data: cloudevent.Bytes([]byte(data)), Key: []byte("k"),
		})
	}
	in.until("the flows take events", func() bool { return send("1", "order", `{"customer":"c","n":"good-1"}`) == nil })
	for id, event := range map[string][2]string{
		"2": {"order", `{"customer":"c","n":"bad-2"}`}, // a dead letter of the second flow
		"3": {"noise", `{"customer":"c","n":"never"}`},
		"4": {"order", `{"n":"without a customer"}`}, // a dead letter of the first: no key
	} {
		if err := send(id, event[0], event[1]); err != nil {
			t.Errorf("event %s: %v", id, err)
		}
	}
	in.put("first.yaml", first("transform: {fields: {n: data.n, customer: data.customer, v: '2'}}\n"))
	in.until("the first flow is reloaded", func() bool {
		return in.metric("fiso_flow_reloads_total", map[string]string{"flow": "first", "status": "success"}) == 1
	})
	if err := send("5", "order", `{"customer":"c","n":"good-5"}`); err != nil {
		t.Error(err)
	}
	if n := in.service.got("good-1") + in.service.got("good-5"); n < 2 || in.service.got("never") > 0 || in.service.got(`"v":2`) != 1 {
		t.Errorf("the service got %q", in.service.bodies)
	}
	got := map[string]string{}
	for l, err := range deadletter.ReadFile(letters) {
		if err != nil {
			t.Fatal(err)
		}
		got[l.Message.ID] = l.Flow + " " + string(l.Code)
	}
	if len(got) != 2 || got["2"] != "second SINK_REJECTED" || got["4"] != "first TRANSFORM_FAILED" {
		t.Errorf("dead letters %v", got)
	}

	err = sink.Send(t.Context(), &cloudevent.Event{ID: "6", Type: "order"})
	if connector.ClassOf(err) != connector.Permanent {
		t.Errorf("an event without a source: %v", err)
	}
	lost, err := fisogrpc.NewSink(fisogrpc.SinkConfig{Target: port, Flow: "none"}, fisogrpc.SinkOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lost.Close(t.Context()) }()
	err = lost.Send(t.Context(), &cloudevent.Event{ID: "7", Source: "/s", Type: "order"})
	if connector.ClassOf(err) != connector.Blocked || !strings.Contains(fmt.Sprint(err), codes.NotFound.String()) {
		t.Errorf("an event for no flow: %v", err)
	}
}
