package plan

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/lsm/fiso/common/cloudevent"
)

func grpcFlow(name, source, sink, more string) string {
	return "name: " + name + "\nsource: {type: grpc, config: {" + source + "}}\nsink: {" + sink + "}\n" +
		"errorHandling: {deadLetter: {type: file, config: {path: /x}}}\n" + more
}

func TestParse_refusesAFlowThatSendsToItsOwnGRPCSource(t *testing.T) {
	for name, tc := range map[string]struct {
		source, sink string
		refused      bool
	}{
		"the same":           {"listen: '127.0.0.1:18084'", "target: '127.0.0.1:18084'", true},
		"by DNS":             {"listen: ':18084'", "target: 'dns:///localhost:18084'", true},
		"by the flow's name": {"listen: ':18084'", "target: 'localhost:18084', flow: a", true},
		"another flow":       {"listen: ':18084'", "target: 'localhost:18084', flow: b", false},
		"another port":       {"listen: ':18084'", "target: 'localhost:18085'", false},
		"with TLS":           {"listen: ':18084'", "target: 'localhost:18084', tls: {enabled: true}", false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := Parse("flow.yaml", []byte(grpcFlow("a", tc.source, "type: grpc, config: {"+tc.sink+"}", "")))
			const want = "sink.config.target: this flow's source listens there: each event would come back endlessly; send to another address or flow"
			if tc.refused != (err != nil && strings.Contains(err.Error(), want)) || !tc.refused && err != nil {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestParseDir_refusesFlowsThatCannotShareAPort(t *testing.T) {
	for name, tc := range map[string]struct{ one, two, want string }{
		"other settings":  {grpcFlow("a", "", toStdout, ""), grpcFlow("b", "maxStreams: 7", toStdout, ""), "source.config.maxStreams: the flow a (DIR/0.yaml) listens on :50051 with a different maxStreams; give both the same, or another address"},
		"another type":    {grpcFlow("a", "listen: ':8080'", toStdout, ""), httpFlow("b", "", "url: 'http://orders/'", ""), "source.config.listen: the flow a (DIR/0.yaml) listens there already, with a source of type grpc; give this one another address"},
		"a circle":        {grpcFlow("a", "", "type: grpc, config: {target: 'localhost:50051', flow: b}", ""), grpcFlow("b", "", "type: grpc, config: {target: 'localhost:50051', flow: a}", ""), "the flows a, b, a read what the one before them writes"},
		"the same port":   {grpcFlow("a", "", toStdout, ""), grpcFlow("b", "", toStdout, ""), ""},
		"one feeds other": {grpcFlow("a", "", "type: grpc, config: {target: 'localhost:50051', flow: b}", ""), grpcFlow("b", "", toStdout, ""), ""},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			put(t, filepath.Join(dir, "0.yaml"), tc.one)
			put(t, filepath.Join(dir, "1.yaml"), tc.two)
			_, err := ParseDir(dir)
			want := strings.ReplaceAll(tc.want, "DIR", dir)
			if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
				t.Errorf("got %v, want %s", err, want)
			}
		})
	}
}

func TestGRPCKey_isMadeOfTheOutgoingEvent(t *testing.T) {
	e := &cloudevent.Event{ID: "1", Source: "/s", Type: "t", Key: []byte("of the record"), Data: cloudevent.Bytes([]byte(`{"customer":"c-7"}`))}
	for key, want := range map[string]string{"": "of the record", ", key: data.customer": "c-7"} {
		p := parsed(t, grpcFlow("a", "", "type: grpc, config: {target: 'orders:50051'"+key+"}", ""))
		added, err := p.outputs[0].sink.additions(t.Context(), e)
		if err != nil || string(added.key) != want {
			t.Errorf("key %q, %v, want %s", added.key, err, want)
		}
		if keys := len(p.outputs[0].sink.expressions()); (keys == 1) != (key != "") {
			t.Errorf("%d expressions", keys)
		}
		if x := p.explain(); x.Source != "grpc: fiso.v1.Events on :50051" || x.Sink != "grpc: fiso.v1.Events of orders:50051" {
			t.Errorf("explained as %s to %s", x.Source, x.Sink)
		}
	}
	if _, err := Parse("f.yaml", []byte(grpcFlow("a", "", "type: grpc, config: {target: 'x:1', key: order.created}", ""))); err == nil || !strings.Contains(err.Error(), "sink.config.key") {
		t.Errorf("got %v", err)
	}
}
