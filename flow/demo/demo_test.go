package demo

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/lsm/fiso/common/connector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer is the output, which can be read while it is written.
type buffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func TestRun_endsWhenFisoFlowDoes(t *testing.T) {
	err := Run(t.Context(), Options{Out: io.Discard, Terminal: true, Length: time.Minute,
		Run: func(context.Context, string, io.Writer, func(string)) error { return errors.New("no such flow") }})
	if err == nil || !strings.Contains(err.Error(), "fiso-flow ended before the demo did") || !strings.Contains(err.Error(), "no such flow") {
		t.Errorf("got %v", err)
	}
}

func TestRun_endsWhenThePersonWantsIt(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	err := Run(ctx, Options{Out: io.Discard, Length: time.Minute,
		Run: func(ctx context.Context, _ string, _ io.Writer, _ func(string)) error {
			cancel()
			<-ctx.Done()
			return nil
		}})
	if err == nil || !strings.Contains(err.Error(), "stopped before the end") {
		t.Errorf("got %v", err)
	}
}

func TestOrders_areAlwaysTheSameAndMostlyGood(t *testing.T) {
	var a, b orders
	kinds := map[kind]int{}
	for range 360 {
		o, same := a.next(), b.next()
		if string(o.value) != string(same.value) || o.id != same.id {
			t.Fatalf("two runs differ: %+v and %+v", o, same)
		}
		kinds[o.kind]++
	}
	if kinds[good] < 300 || kinds[notJSON] == 0 || kinds[missingField] == 0 || kinds[refused] == 0 {
		t.Errorf("kinds of 360 orders: %v", kinds)
	}
}

func TestService_answersByWhatItIsGiven(t *testing.T) {
	s := &service{ledger: newLedger()}
	post := func(body string) int {
		w := httptest.NewRecorder()
		s.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", strings.NewReader(body)))
		return w.Code
	}
	for body, want := range map[string]int{
		`{`: 400,
		`{"data": {"order_id": "C1-0001", "status": "FRAUD"}}`:                   422,
		`{"data": {"order_id": "C1-0001", "status": "PAID", "amount_cents": 1}}`: 204,
		strings.Repeat(" ", maxOrder+1):                                          400,
	} {
		if got := post(body); got != want {
			t.Errorf("%.40s: %d, expected %d", body, got, want)
		}
	}
	s.away.Store(true)
	if got := post(`{"data": {"order_id": "C1-0002"}}`); got != 503 {
		t.Errorf("while it is away it answers %d", got)
	}
	if sum := s.ledger.totals(); sum.delivered != 1 || sum.withAmount != 1 || sum.retries != 1 {
		t.Errorf("the ledger has %+v", sum)
	}
}

func TestLedger_seesWhatIsWrong(t *testing.T) {
	l := newLedger()
	for id, k := range map[string]kind{"C1-0001": good, "C1-0002": good, "C2-0001": refused, "C2-0002": notJSON, "C3-0001": good} {
		l.orderProduced(order{id: id, kind: k})
	}
	l.orderDelivered("C1-0002", "PAID", false)
	l.orderDelivered("C1-0001", "PAID", false) // out of order
	l.orderDelivered("C1-0001", "PAID", false) // twice
	l.orderDelivered("C2-0001", "PAID", false) // should have been refused
	l.orderDeadLettered("C2-0002", "DECODE_FAILED", "not JSON")
	l.orderDeadLettered("C2-0002", "DECODE_FAILED", "not JSON") // twice
	sum := l.totals()
	if sum.addUp() || len(sum.lost) != 1 || len(sum.unexpected) != 1 || len(sum.disorder) != 1 || sum.duplicates != 2 {
		t.Errorf("the sum is %+v", sum)
	}
	var out buffer
	s := &demo{opts: Options{Out: &out}, ledger: l}
	s.printTotals()
	for _, says := range []string{"THE TOTALS DO NOT ADD UP", "missing: C3-0001", "in the wrong place: C2-0001", "out of order: C1-0002 before C1-0001"} {
		if !strings.Contains(out.String(), says) {
			t.Errorf("the totals do not say %q:\n%s", says, out.String())
		}
	}
}

func TestLedger_keepsABoundedPast(t *testing.T) {
	l := newLedger()
	for range maxNews + 10 {
		l.addNews("!", "again")
	}
	if fresh, n := l.since(0); len(fresh) != maxNews || n != maxNews+10 {
		t.Errorf("%d of %d kept", len(fresh), n)
	}
	if fresh, _ := l.since(maxNews + 8); len(fresh) != 2 {
		t.Errorf("%d are new", len(fresh))
	}
}

func TestScreen_redrawsItsPanel(t *testing.T) {
	l := newLedger()
	var out buffer
	s := &screen{out: &out, terminal: true, ledger: l, service: &service{ledger: l}, length: time.Second}
	s.draw()
	l.orderProduced(order{id: "C1-0001"})
	l.orderDelivered("C1-0001", "PAID", false)
	l.addNews("!", "%s", strings.Repeat("long ", 50))
	s.service.away.Store(true)
	s.draw()
	for _, says := range []string{"● answering", "\x1b[24A", "failing: 503 to everything", "C1-0001 PAID delivered", "…", "████"} {
		if !strings.Contains(out.String(), says) {
			t.Errorf("the panel lacks %q:\n%q", says, out.String())
		}
	}
}

func TestWatchDeadLetters_namesLettersWithoutAnOrder(t *testing.T) {
	if id := letterID(&connector.Message{Value: []byte("?"), Position: connector.PartitionOffset("d", 1, 2)}); id != "d-1-2" {
		t.Errorf("it is called %s", id)
	}
	if id := letterID(&connector.Message{Value: []byte(`{"legacy_id": "C3-0012"`)}); id != "C3-0012" {
		t.Errorf("it is called %s", id)
	}
}
