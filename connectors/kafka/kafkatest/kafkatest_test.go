package kafkatest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestEmbedded_keepsWhatItIsTold(t *testing.T) {
	dir := t.TempDir()
	c, err := Start(Options{Brokers: 2, Topics: map[string]int32{"t": 2}, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Brokers()) != 2 {
		t.Errorf("brokers %v", c.Brokers())
	}
	err = errors.Join(
		c.Produce(t.Context(), &kgo.Record{Topic: "t", Partition: 1, Value: []byte("a")}, &kgo.Record{Topic: "t", Partition: 1, Value: []byte("b")}),
		c.ProduceTx(t.Context(), "x", true, &kgo.Record{Topic: "t", Partition: 0, Value: []byte("tx")}),
		c.ProduceTx(t.Context(), "x", false, &kgo.Record{Topic: "t", Partition: 0, Value: []byte("aborted")}),
		c.Commit(t.Context(), "g", "t", 1, 1),
		c.CreateTopic(t.Context(), "u", 1, map[string]string{"max.message.bytes": "1000"}),
		c.AddPartitions(t.Context(), "u", 3),
		c.DeleteRecords(t.Context(), "t", 1, 1),
	)
	if err != nil {
		t.Fatal(err)
	}
	check := func(c *Cluster) {
		t.Helper()
		rs, err := c.Records(t.Context(), "t")
		if err != nil || len(rs) != 2 {
			t.Errorf("%d records, %v; want the committed one and the one not deleted", len(rs), err)
		}
		at, err := c.Committed(t.Context(), "g", "t")
		if err != nil || at[1] != 1 {
			t.Errorf("commits %v, %v", at, err)
		}
		ends, err := c.Ends(t.Context(), "u")
		if err != nil || len(ends) != 3 {
			t.Errorf("ends %v, %v", ends, err)
		}
	}
	check(c)
	c.Close()
	again, err := Start(Options{Brokers: 2, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Close()
	check(again)
}

func TestEmbedded_saysWhatFailed(t *testing.T) {
	c := Embedded(t, Options{})
	if err := c.CreateTopic(t.Context(), "t", 1, nil); err != nil {
		t.Fatal(err)
	}
	for what, err := range map[string]error{
		"create topic":      c.CreateTopic(t.Context(), "t", 1, nil),
		"add partitions to": c.AddPartitions(t.Context(), "none", 3),
		"delete records of": c.DeleteRecords(t.Context(), "none", 0, 1),
	} {
		if err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("want an error with %q, got %v", what, err)
		}
	}
	if at, err := c.Committed(t.Context(), "none", "t"); err != nil || len(at) != 0 {
		t.Errorf("commits of a group that is not there: %v, %v", at, err)
	}
	c.Fake.Close()
	if _, err := c.Ends(t.Context(), "t"); err == nil {
		t.Error("a closed cluster lists ends")
	}
	if _, err := c.Records(t.Context(), "t"); err == nil {
		t.Error("a closed cluster has records")
	}
	if _, err := c.Committed(t.Context(), "g", "t"); err == nil {
		t.Error("a closed cluster has commits")
	}
	if err := c.ProduceTx(t.Context(), "", true); err == nil {
		t.Error("a transaction without a name")
	}
}

func TestStart_portInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // the test is over then
	_, port, _ := net.SplitHostPort(l.Addr().String())
	n, _ := strconv.Atoi(port)
	if c, err := Start(Options{Port: n}); err == nil {
		c.Close()
		t.Error("started on a port that is taken")
	}
	if _, err := Start(Options{Client: []kgo.Opt{kgo.ClientID(""), kgo.SeedBrokers()}, Options: []kfake.Opt{kfake.NumBrokers(1)}}); err == nil {
		t.Error("started with a client that cannot work")
	}
}

// fakeJava puts a script named java on PATH that behaves like Kafka's start and stop.
func fakeJava(t *testing.T, script string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "java"), []byte("#!/bin/sh\n"+script), 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":/bin:/usr/bin")
	t.Setenv(HomeEnv, dir)
}

const goodJava = `case "$*" in
*StorageTool*) exit 0;;
esac
echo "[KafkaServer id=1] Kafka Server started"
trap 'exit 0' INT
while :; do sleep 0.05; done`

func TestReal_startsStopsAndRestartsItsProcesses(t *testing.T) {
	fakeJava(t, goodJava)
	c := Real(t, RealOptions{Brokers: 3, SASL: true, TLS: true, ClientCerts: true, Config: map[string]string{"x": "y"}})
	if len(c.Brokers()) != 3 || c.Certs.CA == "" {
		t.Errorf("brokers %v, certificates %+v", c.Brokers(), c.Certs)
	}
	c.Restart(1)
	c.stopTimeout = time.Millisecond // too short for a shell, so it is killed
	c.Restart(1)
	c.Kill(2)
	c.Kill(2) // it is dead already
	c.Start(2)
	conf, err := os.ReadFile(c.brokers[0].file("server.properties"))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"x=y", "EXTERNAL:SASL_SSL", "node.id=1", "min.insync.replicas=2", "ssl.client.auth=required", "ScramLoginModule", "OAUTHBEARER"} {
		if !bytes.Contains(conf, []byte(want)) {
			t.Errorf("server.properties has no %s", want)
		}
	}
	for protocol, o := range map[string]RealOptions{"SASL_PLAINTEXT": {SASL: true}, "SSL": {TLS: true}, "PLAINTEXT": {}} {
		if got := (&Processes{opts: o}).protocol(); got != protocol {
			t.Errorf("%+v speaks %s", o, got)
		}
	}
}

func TestReal_saysWhyABrokerDoesNotStart(t *testing.T) {
	for want, script := range map[string]string{
		"no such luck":      "echo no such luck >&2; exit 1",
		"the process ended": `case "$*" in *StorageTool*) exit 0;; esac; echo going down; exit 1`,
	} {
		fakeJava(t, script)
		java := filepath.Join(os.Getenv(HomeEnv), "java")
		c := &Processes{java: java, home: os.Getenv(HomeEnv), opts: RealOptions{Brokers: 1}, stopTimeout: time.Second}
		err := c.boot(t.TempDir())
		c.stopAll()
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	c := &Processes{java: "/no/java", opts: RealOptions{Brokers: 1}}
	if err := c.launch(&broker{dir: t.TempDir()}); err == nil {
		t.Error("launched nothing")
	}
	if err := c.launch(&broker{dir: "/no/dir"}); err == nil {
		t.Error("launched without a log")
	}
	if err := c.format(&broker{dir: "/proc/no"}); err == nil {
		t.Error("formatted nothing")
	}
}

// skipped is a testing.TB that records why it was skipped.
type skipped struct {
	testing.TB
	why string
}

func (s *skipped) Skip(args ...any)            { s.why = args[0].(string); panic(s) }
func (s *skipped) Skipf(f string, args ...any) { s.why = fmt.Sprintf(f, args...); panic(s) }

func TestReal_skipsWithoutJarsOrJava(t *testing.T) {
	skip := func() (why string) {
		s := &skipped{TB: t}
		defer func() { _ = recover(); why = s.why }() // of the skip
		Real(s, RealOptions{})
		return ""
	}
	t.Setenv(HomeEnv, "")
	if why := skip(); !strings.Contains(why, "of its jars") {
		t.Errorf("without jars: %q", why)
	}
	t.Setenv(HomeEnv, "somewhere")
	t.Setenv("PATH", "")
	if why := skip(); !strings.Contains(why, "no java on PATH") {
		t.Errorf("without java: %q", why)
	}
}

func TestStartReal_saysWhatIsMissing(t *testing.T) {
	t.Setenv(HomeEnv, "")
	if _, err := StartReal(t.TempDir(), RealOptions{}); err == nil || !strings.Contains(err.Error(), HomeEnv) {
		t.Errorf("without jars: %v", err)
	}
	fakeJava(t, goodJava)
	if _, err := StartReal("/no/dir", RealOptions{TLS: true}); err == nil {
		t.Error("started where certificates cannot be written")
	}
}

func TestUnsecuredToken_namesTheUser(t *testing.T) {
	if parts := strings.Split(UnsecuredToken(time.Hour), "."); len(parts) != 3 || parts[2] != "" {
		t.Errorf("token %q", parts)
	}
}

func TestCerts_cannotBeWritten(t *testing.T) {
	if _, err := makeCerts("/no/dir"); err == nil {
		t.Error("certificates in no folder")
	}
}

// failing is a testing.TB of a failed test that records its messages.
type failing struct {
	testing.TB
	said []string
}

func (f *failing) Failed() bool              { return true }
func (f *failing) Helper()                   {}
func (f *failing) Fatal(args ...any)         { f.said = append(f.said, fmt.Sprint(args...)); panic(f) }
func (f *failing) Fatalf(s string, a ...any) { f.Fatal(fmt.Sprintf(s, a...)) }
func (f *failing) Logf(s string, a ...any)   { f.said = append(f.said, fmt.Sprintf(s, a...)) }

func TestReal_showsTheLogsOfATestThatFailed(t *testing.T) {
	fakeJava(t, goodJava)
	f := &failing{TB: t}
	p, err := StartReal(t.TempDir(), RealOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c := &RealCluster{Processes: p, t: f}
	c.end()
	if len(f.said) != 1 || !strings.Contains(f.said[0], "Kafka Server started") {
		t.Errorf("said %q", f.said)
	}
	fatal := func(fn func()) {
		t.Helper()
		f.said = nil
		defer func() {
			if recover() == nil || len(f.said) == 0 {
				t.Error("the test went on")
			}
		}()
		fn()
	}
	c.java = "/no/java"
	fatal(func() { c.Start(1) })
	fakeJava(t, "echo short of breath; exit 3")
	c.java = filepath.Join(os.Getenv(HomeEnv), "java")
	fatal(func() { c.Start(1) })
	if !strings.Contains(f.said[0], "short of breath") {
		t.Errorf("said %q, not why", f.said)
	}
	c.brokers[0].dir = "/no/dir"
	fatal(func() { c.Start(1) })
	fatal(func() { Real(f, RealOptions{}) })
	fatal(func() { Embedded(f, Options{Dir: "/proc/no/such"}) })
}
