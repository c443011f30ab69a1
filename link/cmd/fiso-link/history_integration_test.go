//go:build integration && linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/lsm/fiso/connectors/kafka/kafkatest"
)

// service is a target that records the calls it executed.
type service struct {
	mu       sync.Mutex
	at       map[string][]time.Time // times of execution of each call, by Idempotency-Key
	body     map[string]string
	confused []string // keys that came with different bodies
	sick     bool     // answer 500
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the caller was killed
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	key := r.Header.Get("Idempotency-Key")
	switch {
	case r.URL.Path == "/bad":
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	case s.sick:
		w.WriteHeader(http.StatusInternalServerError)
		return
	}
	if before, ok := s.body[key]; ok && before != string(body) {
		s.confused = append(s.confused, key)
	}
	s.body[key], s.at[key] = string(body), append(s.at[key], time.Now())
}

func (s *service) setSick(sick bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sick = sick
}

func (s *service) executed() map[string][]time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.at)
}

// sidecar is a fiso-link process that can be killed and started again.
type sidecar struct {
	t            *testing.T
	bin, config  string
	calls, admin string
	cmd          *exec.Cmd
	ended        chan struct{}
	log          bytes.Buffer
}

func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }() // only the port number is needed
	return l.Addr().String()
}

func newSidecar(t *testing.T, targets string) *sidecar {
	t.Helper()
	dir := t.TempDir()
	s := &sidecar{t: t, bin: filepath.Join(dir, "fiso-link"), config: filepath.Join(dir, "config.yaml"), calls: freePort(t), admin: freePort(t)}
	if out, err := exec.Command("go", "build", "-o", s.bin, ".").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	text := "listenAddr: " + s.calls + "\nmetricsAddr: " + s.admin + "\n" + targets
	if err := os.WriteFile(s.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	s.start()
	t.Cleanup(func() {
		s.kill()
		if t.Failed() {
			t.Log(tail(s.log.String()))
		}
	})
	return s
}

func tail(s string) string { return s[max(0, len(s)-8000):] }

func (s *sidecar) start() {
	s.t.Helper()
	s.cmd = exec.Command(s.bin, "run", s.config)
	s.cmd.Stderr = &s.log
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL} // a test that is killed leaves nothing behind
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(c *exec.Cmd, ended chan struct{}) { defer close(ended); _ = c.Wait() }(s.cmd, s.ended) // it is killed
	wait(s.t, "fiso-link to listen", time.Minute, func() bool { _, _, err := get("http://" + s.admin + "/readyz"); return err == nil })
}

func (s *sidecar) kill() {
	_ = s.cmd.Process.Kill() // it may have ended
	<-s.ended
}

var client = &http.Client{Timeout: 20 * time.Second}

func get(url string) (int, string, error) {
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }() // it was read
	b, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(b), err
}

// post sends a call to be made later, and returns its id; "": it was not accepted.
func (s *sidecar) post(path, body, key string) string {
	req, err := http.NewRequest("POST", "http://"+s.calls+path, strings.NewReader(body))
	if err != nil {
		s.t.Error(err)
		return ""
	}
	req.Header.Set("Prefer", "respond-async")
	req.Header.Set("X-Customer", key)
	resp, err := client.Do(req)
	if err != nil {
		return ""
	}
	defer func() { _ = resp.Body.Close() }() // it is read below
	var a struct{ ID string }
	if resp.StatusCode != http.StatusAccepted || json.NewDecoder(resp.Body).Decode(&a) != nil {
		return ""
	}
	return a.ID
}

func wait(t *testing.T, what string, patience time.Duration, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !holds(); {
		if time.Now().After(end) {
			t.Fatal("waited in vain for " + what)
		}
		pause(20 * time.Millisecond)
	}
}

func pause(d time.Duration) { <-time.After(d) }

// letters returns the ids of the dead letters in a topic.
func letters(t *testing.T, c *kafkatest.RealCluster, topic string) map[string]bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	rs, err := c.Records(ctx, topic)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, r := range rs {
		for _, h := range r.Headers {
			if h.Key == "ce_id" {
				ids[string(h.Value)] = true
			}
		}
	}
	return ids
}

// Every accepted call is executed at least once, under one id, or becomes a dead
// letter, in spite of kills of fiso-link, restarts of the broker and an outage of the
// target. Only calls in flight at a kill are executed twice.
func TestHistory_acceptedIsExecutedOrADeadLetter(t *testing.T) {
	const total, senders = 6000, 8
	c := kafkatest.Real(t, kafkatest.RealOptions{})
	if err := c.CreateTopic(t.Context(), "calls", 4, nil); err != nil {
		t.Fatal(err)
	}
	target := &service{at: map[string][]time.Time{}, body: map[string]string{}}
	up := httptest.NewServer(target)
	defer up.Close()
	link := newSidecar(t, fmt.Sprintf(`asyncBrokers: [%s]
targets:
  - name: crm
    protocol: http
    host: '%s'
    retry: {initialInterval: 20ms, maxInterval: 200ms}
    circuitBreaker: {resetTimeout: 500ms}
    async: {topic: calls, key: 'headers["x-customer"]', timeout: 3s}
`, strings.Join(c.Brokers(), ","), up.Listener.Addr()))

	var mu sync.Mutex
	accepted, refused := map[string]string{}, 0
	var senderGroup sync.WaitGroup
	for n := range senders {
		senderGroup.Go(func() {
			for i := n; i < total; i += senders {
				path, body := "/link/crm/good", strconv.Itoa(i)
				if i%100 == 7 {
					path = "/link/crm/bad"
				}
				id := link.post(path, body, "c"+strconv.Itoa(i%50))
				mu.Lock()
				if id == "" {
					refused++
				} else {
					accepted[id] = body
				}
				mu.Unlock()
				if id == "" {
					pause(20 * time.Millisecond) // fiso-link or the broker is down
				}
			}
		})
	}
	kills := chaos(c, link, target)
	senderGroup.Wait()
	wait(t, "everything that was accepted", 2*time.Minute, func() bool {
		done, dead := target.executed(), map[string]bool{}
		if len(done) >= len(accepted)*98/100 {
			dead = letters(t, c, "calls-dlq")
		}
		for id := range accepted {
			if done[id] == nil && !dead[id] {
				return false
			}
		}
		return true
	})
	again, bound := 0, 0
	for _, times := range target.executed() {
		again += len(times) - 1
		for _, kill := range kills { // settled since the last commit (one a second, plus one for the commit itself), or in flight
			for _, at := range times {
				if d := kill.Sub(at); d > -500*time.Millisecond && d < 3*time.Second {
					bound++
				}
			}
		}
	}
	target.mu.Lock()
	defer target.mu.Unlock()
	if len(target.confused) > 0 {
		t.Errorf("ids that stand for two calls: %v", target.confused)
	}
	for id, body := range accepted {
		if got, ok := target.body[id]; ok && got != body {
			t.Errorf("%s was accepted as %s and executed as %s", id, body, got)
		}
	}
	if again > bound {
		t.Errorf("%d calls were made again; %d were under way around the kills", again, bound)
	}
	t.Logf("accepted %d, not accepted %d, executed %d, made again %d (bound %d), kills %d", len(accepted), refused, len(target.at), again, bound, len(kills))
}

// chaos causes one failure after the other, and returns the times at which fiso-link
// was killed.
func chaos(c *kafkatest.RealCluster, link *sidecar, target *service) (kills []time.Time) {
	kill := func() {
		link.kill()
		kills = append(kills, time.Now())
		link.start()
		pause(2 * time.Second)
	}
	pause(time.Second)
	kill()
	c.Restart(1)
	pause(2 * time.Second)
	kill()
	target.setSick(true)
	pause(2 * time.Second)
	kill()
	target.setSick(false)
	pause(2 * time.Second)
	kill()
	c.Kill(1)
	c.Start(1)
	pause(2 * time.Second)
	return kills
}

// While the dead letter topic refuses records, or is gone, nothing is lost, the
// readiness page and a metric report it, and calls to other targets are not affected.
func TestHistory_aDeadLetterTopicThatTakesNothingLosesNothing(t *testing.T) {
	c := kafkatest.Real(t, kafkatest.RealOptions{})
	if err := c.CreateTopic(t.Context(), "calls", 2, nil); err != nil {
		t.Fatal(err)
	}
	target := &service{at: map[string][]time.Time{}, body: map[string]string{}}
	up := httptest.NewServer(target)
	defer up.Close()
	link := newSidecar(t, fmt.Sprintf(`asyncBrokers: [%s]
targets:
  - {name: crm, protocol: http, host: '%s', async: {topic: calls, timeout: 2s, stopTheLine: {consecutive: 0}}}
  - {name: other, protocol: http, host: '%s'}
`, strings.Join(c.Brokers(), ","), up.Listener.Addr(), up.Listener.Addr()))
	accepted := map[string]bool{link.post("/link/crm/bad", "first", ""): true}
	wait(t, "the first dead letter", time.Minute, func() bool {
		return strings.Contains(metrics(link), `fiso_link_dlq_total{code="SINK_REJECTED",target="crm"} 1`)
	})
	before := latency(t, link)

	cl, err := kgo.NewClient(kgo.SeedBrokers(c.Brokers()...))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	admin := kadm.NewClient(cl)
	if _, err := admin.DeleteTopics(t.Context(), "calls-dlq"); err != nil {
		t.Fatal(err)
	}
	delete(accepted, slices.Collect(maps.Keys(accepted))[0])        // deleted with the topic
	none, usual := "1", "1048588"                                   // max.message.bytes: every write is refused, or none
	wait(t, "the topic to be made anew", time.Minute, func() bool { // deletion takes a moment
		_, err := admin.CreateTopic(t.Context(), 1, 1, map[string]*string{"max.message.bytes": &none}, "calls-dlq")
		return err == nil
	})
	for i := range 30 {
		id := link.post("/link/crm/bad", strconv.Itoa(i), "")
		if id == "" {
			t.Fatal("not accepted")
		}
		accepted[id] = true
	}
	wait(t, "words about what is held", time.Minute, func() bool {
		_, text, err := get("http://" + link.admin + "/readyz?verbose")
		return err == nil && strings.Contains(text, "because their dead letter cannot be written") && strings.Contains(metrics(link), `fiso_link_async_held{target="crm"} 30`)
	})
	during := latency(t, link)
	if _, err := admin.AlterTopicConfigs(t.Context(), []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "max.message.bytes", Value: &usual}}, "calls-dlq"); err != nil {
		t.Fatal(err)
	}
	wait(t, "all dead letters", time.Minute, func() bool { return len(letters(t, c, "calls-dlq")) >= len(accepted) })
	for id := range accepted {
		if !letters(t, c, "calls-dlq")[id] {
			t.Errorf("%s is lost", id)
		}
	}
	wait(t, "nothing held", time.Minute, func() bool { return strings.Contains(metrics(link), `fiso_link_async_held{target="crm"} 0`) })
	t.Logf("median of a call to another target: %v before, %v while dead letters were held", before, during)
	if during > 10*before+20*time.Millisecond {
		t.Errorf("calls to another target took %v, and %v before", during, before)
	}
}

func metrics(s *sidecar) string {
	_, text, err := get("http://" + s.admin + "/metrics")
	if err != nil {
		return ""
	}
	return text
}

// latency returns the median time of calls to another target.
func latency(t *testing.T, s *sidecar) time.Duration {
	t.Helper()
	var took []time.Duration
	for range 200 {
		began := time.Now()
		code, _, err := get("http://" + s.calls + "/link/other/")
		if code != 200 || err != nil {
			t.Fatal(code, err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	return took[len(took)/2]
}
