package server

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/lsm/fiso/link/internal/discovery"
)

// names is a DNS server whose answers tests control.
type names struct {
	address string
	end     chan struct{}

	mu    sync.Mutex
	tells map[string]func(m *dns.Msg) // answers by name; nil: never answer
	asked map[string]int
}

func newNames(t *testing.T) *names {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	u, err := net.ListenPacket("udp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	n := &names{address: l.Addr().String(), end: make(chan struct{}), tells: map[string]func(*dns.Msg){}, asked: map[string]int{}}
	var up, served sync.WaitGroup
	for _, s := range []*dns.Server{{Listener: l, Handler: n}, {PacketConn: u, Handler: n}} {
		up.Add(1)
		s.NotifyStartedFunc = up.Done
		served.Go(func() { _ = s.ActivateAndServe() })
		t.Cleanup(func() { _ = s.Shutdown() })
	}
	t.Cleanup(func() { close(n.end) })
	up.Wait()
	return n
}

// ServeDNS gives the configured answer; there are no AAAA records.
func (n *names) ServeDNS(w dns.ResponseWriter, q *dns.Msg) {
	name := strings.TrimSuffix(q.Question[0].Name, ".")
	n.mu.Lock()
	tell, known := n.tells[name]
	n.asked[name]++
	n.mu.Unlock()
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = true
	switch {
	case !known:
		m.Rcode = dns.RcodeNameError
	case tell == nil:
		<-n.end
		return
	case q.Question[0].Qtype != dns.TypeAAAA || name == "broken.example":
		tell(m)
	}
	if udp := w.LocalAddr().Network() == "udp"; udp && m.Len() > 512 {
		m.Answer, m.Truncated = nil, true
	}
	_ = w.WriteMsg(m)
}

func (n *names) tell(name string, how func(m *dns.Msg)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.tells[name] = how
}

// is answers with these addresses and a TTL of 0.
func is(addresses ...string) func(m *dns.Msg) {
	return func(m *dns.Msg) {
		for _, a := range addresses {
			m.Answer = append(m.Answer, &dns.A{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET}, A: net.ParseIP(a)})
		}
	}
}

func fails(code int) func(m *dns.Msg) { return func(m *dns.Msg) { m.Rcode = code } }

// asks makes the server ask only this DNS server.
func (n *names) asks(i *Server) {
	*i.targets.dns = discovery.DNS{Servers: discovery.Servers{Addresses: []string{n.address}, Attempts: 3}, System: &net.Resolver{
		PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, n.address)
			if err == nil {
				context.AfterFunc(ctx, func() { _ = c.Close() }) // net waits for the answer beyond the end of ctx
			}
			return c, err
		},
	}}
}

// at runs a target at each of these addresses, on one port, that answers with its
// address; /wait waits for the channel.
func at(t *testing.T, wait chan struct{}, addresses ...string) (port string) {
	t.Helper()
	port = "0"
	for _, a := range addresses {
		l, err := net.Listen("tcp", net.JoinHostPort(a, port))
		if err != nil {
			t.Skipf("it takes %s:%s, and it cannot be listened on: %v", a, port, err)
		}
		_, port, _ = net.SplitHostPort(l.Addr().String())
		s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, a+"\n")
			if r.URL.Path == "/wait" {
				_ = http.NewResponseController(w).Flush()
				<-wait
				_, _ = io.WriteString(w, "and done\n")
			}
		})}
		var served sync.WaitGroup
		served.Go(func() { _ = s.Serve(l) })
		t.Cleanup(func() { _ = s.Close(); served.Wait() })
	}
	return port
}

func TestDNS_aNameThatMovesTakesNewCallsWithItAndLetsOldOnesEnd(t *testing.T) {
	t.Parallel() // mostly waiting
	n, wait := newNames(t), make(chan struct{})
	port := at(t, wait, "127.0.0.1", "127.0.0.2")
	n.tell("moves.example", is("127.0.0.1"))
	l := start(t, "targets:\n"+aTarget("x", "moves.example:"+port, ""), n.asks)
	client := &http.Client{}
	defer client.CloseIdleConnections()
	resp, err := client.Get("http://" + l.calls + "/link/x/wait")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	old := bufio.NewReader(resp.Body)
	if line, err := old.ReadString('\n'); line != "127.0.0.1\n" {
		t.Fatal(line, err)
	}
	n.tell("moves.example", is("127.0.0.2"))
	moved := time.Now()
	eventually(t, "calls at the new address", func() bool { _, body := l.call("x/"); return body == "127.0.0.2\n" })
	if took := time.Since(moved); took > 5*time.Second { // a TTL of 0 counts as a second
		t.Errorf("new calls went to the old address for %v", took)
	}
	close(wait)
	if line, err := old.ReadString('\n'); line != "and done\n" {
		t.Errorf("the call at the old address got %q, %v", line, err)
	}
}

// UL5: an entry of the hosts file (hostAliases, --add-host) lost to DNS.
func TestDNS_aCallGoesWhereTheHostsFileSays(t *testing.T) {
	n := newNames(t)
	port := at(t, nil, "127.0.0.1", "127.0.0.2")
	n.tell("crm.example", is("127.0.0.1"))
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("127.0.0.2 crm.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	l := start(t, "targets:\n"+aTarget("x", "crm.example:"+port, ""), n.asks, func(i *Server) { i.targets.dns.WithHosts(hosts) })
	if code, body := l.call("x/"); code != 200 || body != "127.0.0.2\n" {
		t.Errorf("%d %q", code, body)
	}
}

func TestDNS_thatFlapsFailsNoCall(t *testing.T) {
	t.Parallel() // mostly waiting
	n := newNames(t)
	port := at(t, nil, "127.0.0.1")
	var mu sync.Mutex
	turn := 0
	n.tell("flaps.example", func(m *dns.Msg) {
		mu.Lock()
		defer mu.Unlock()
		turn++
		[]func(*dns.Msg){is("127.0.0.1"), fails(dns.RcodeServerFailure), is("127.0.0.1", "127.0.0.1"), fails(dns.RcodeNameError), is()}[(turn-1)%5](m)
	})
	l := start(t, "targets:\n"+aTarget("x", "flaps.example:"+port, ""), n.asks)
	eventually(t, "DNS to be asked again and again", func() bool {
		if code, body := l.call("x/"); code != 200 {
			t.Fatalf("%d %s", code, body)
		}
		mu.Lock()
		defer mu.Unlock()
		return turn > 2
	})
}

func TestDNS_thatHangsHoldsUpNoOtherTarget(t *testing.T) {
	t.Parallel() // mostly waiting
	n := newNames(t)
	port := at(t, nil, "127.0.0.1")
	n.tell("hangs.example", nil)
	n.tell("fine.example", is("127.0.0.1"))
	l := start(t, "targets:\n"+aTarget("hangs", "hangs.example:"+port, ", timeout: 4s")+aTarget("fine", "fine.example:"+port, ""), n.asks)
	var held sync.WaitGroup
	for range 20 {
		held.Go(func() {
			if got := l.outcome(t, "GET", "hangs", "a", nil, false); got != "UPSTREAM_TIMEOUT" && got != "CONNECT_FAILED" {
				t.Errorf("a call whose name is not answered: %s", got)
			}
		})
	}
	eventually(t, "the look-up that hangs", func() bool { n.mu.Lock(); defer n.mu.Unlock(); return n.asked["hangs.example"] > 0 })
	began := time.Now()
	for i := range 50 {
		if code, body := l.call("fine/"); code != 200 {
			t.Fatalf("call %d: %d %s", i, code, body)
		}
	}
	if took := time.Since(began); took > 3500*time.Millisecond {
		t.Errorf("50 calls of another target took %v, about as long as those that wait", took)
	}
	held.Wait()
}

func TestDNS_oddAnswersFailInWordsOrNotAtAll(t *testing.T) {
	t.Parallel() // mostly waiting
	n := newNames(t)
	port := at(t, nil, "127.0.0.1")
	many := []string{"127.0.0.1"}
	for i := range 2000 {
		many = append(many, fmt.Sprintf("127.0.%d.%d", i/200, i%200+1))
	}
	n.tell("many.example", func(m *dns.Msg) { is(many[:1]...)(m); is(many...)(m) })
	n.tell("alias.example", func(m *dns.Msg) {
		m.Answer = append(m.Answer, &dns.CNAME{Hdr: dns.RR_Header{Name: m.Question[0].Name, Rrtype: dns.TypeCNAME, Class: dns.ClassINET}, Target: "other.example."})
		is("127.0.0.1")(m)
	})
	n.tell("broken.example", fails(dns.RcodeServerFailure))
	n.tell("empty.example", is())
	n.tell("forged.example", func(m *dns.Msg) { is("127.0.0.1")(m); m.Id++ })
	text := "targets:\n"
	for _, name := range []string{"many", "alias", "broken", "empty", "nowhere", "forged"} {
		timeout := map[bool]string{true: "1s", false: "10s"}[name == "forged"] // "forged" must wait for the right answer
		text += aTarget(name, name+".example:"+port, ", timeout: "+timeout+", retry: {maxAttempts: 1}")
	}
	l := start(t, text, n.asks)
	for name, want := range map[string]string{
		"many": "", "alias": "127.0.0.1\n", "broken": "CONNECT_FAILED", "empty": "there is no such name", "nowhere": "look up nowhere.example: there is no such name", "forged": "",
	} {
		t.Run(name, func(t *testing.T) {
			if name == "many" { // nothing listens at most of them
				e := l.i.targets.entries["many"].target.Endpoints.(*discovery.Endpoints)
				_, done, err := e.Pick(t.Context(), nil)
				if err != nil {
					t.Fatal(err)
				}
				done(0)
				if all, _ := e.Status(); len(all) < 100 || len(all) > 300 {
					t.Errorf("%d addresses of %d are used", len(all), len(many))
				}
				return
			}
			code, body := l.call(name + "/")
			if name == "forged" {
				if code == 200 {
					t.Error("an answer to another question is believed")
				}
				return
			}
			if !strings.Contains(body, want) {
				t.Errorf("%d %s", code, body)
			}
		})
	}
}
