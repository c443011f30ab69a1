package http1

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// The differential suite gives the same bytes to both halves and to net/http (and, with
// the build tag integration, to nginx), and wants them read alike. The tables of
// README.md list the intended differences. A difference without a row fails the suite,
// and so does a row that is no longer true.

// stream holds the pieces that one side writes to a connection.
type stream struct {
	pieces []string
	broken bool   // it is incomplete
	method string // of the request that an answer belongs to
}

func (s stream) text() string { return strings.Join(s.pieces, "") }

func (s stream) write(w io.Writer) {
	for _, p := range s.pieces {
		if _, err := io.WriteString(w, p); err != nil {
			return // the peer has refused it
		}
	}
}

// canonical sorts the fields, without those that net/http changes.
func canonical(h Header) string {
	var list []string
	for _, f := range h {
		list = append(list, textproto.CanonicalMIMEHeaderKey(f.Name)+"="+f.Value)
	}
	slices.Sort(list)
	return fmt.Sprint(list)
}

// ofNetHTTP converts a header of net/http, without framing.
func ofNetHTTP(h http.Header) (out Header) {
	for name, values := range h {
		for _, v := range values {
			if name != "Content-Length" && name != "Trailer" {
				out.Add(name, strings.TrimRight(v, " "))
			}
		}
	}
	return out
}

// reading is how a server read a stream of requests: what its handler saw, and whether
// the server refused something.
type reading struct {
	seen    []string
	refused bool
}

func (r reading) String() string { return fmt.Sprintf("%q, refused: %v", r.seen, r.refused) }

// cell is the word of README.md for how another server read a stream that we read as r.
func (r reading) cell(other reading) string {
	switch {
	case r.String() == other.String():
		return r.word()
	case r.word() == other.word():
		return other.word() + " otherwise"
	}
	return other.word()
}

func (r reading) word() string {
	switch {
	case r.refused:
		return "refuses"
	case len(r.seen) == 0:
		return "no request"
	}
	for _, s := range r.seen {
		if strings.HasSuffix(s, "broken") {
			return "refuses"
		}
	}
	return "takes"
}

const handled = "X-Handled"

// ask writes a stream to a server, and reads its answers.
func ask(t *testing.T, addr string, s stream) (refused bool, answers int) {
	t.Helper()
	a := dial(t, addr)
	defer func() { _ = a.Close() }()
	written := make(chan struct{})
	go func() {
		defer close(written)
		s.write(a.Conn)
		_ = a.Conn.(*net.TCPConn).CloseWrite()
	}()
	for {
		res, err := http.ReadResponse(a.in, &http.Request{Method: s.method})
		if err != nil {
			break
		}
		if res.StatusCode/100 == 1 {
			continue
		}
		answers++
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			break
		}
		refused = refused || res.Header.Get(handled) == "" && res.StatusCode >= 400
	}
	_ = a.Close()
	<-written
	return refused, answers
}

// servers are ours and that of net/http, each with what its handler saw of the current
// stream.
type servers struct {
	t            *testing.T
	ours, theirs string
	seen         chan string
}

func startServers(t *testing.T) *servers {
	s := &servers{t: t, seen: make(chan string, 64)}
	s.ours = serve(t, &Server{Handler: handlerFunc(func(_ context.Context, w ResponseWriter, r *Request) {
		b, err := io.ReadAll(r.Body)
		h := slices.Clone(r.Header)
		h.Del("Trailer")
		s.saw(r.Method, r.Target, r.Host, h, b, err, r.Trailer())
		_ = w.Head(200, Header{{Name: handled, Value: "1"}}, 2)
		_, _ = io.WriteString(w, "ok")
		_ = w.End(nil)
	})})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	h := &http.Server{ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), MaxHeaderBytes: 28 << 10, ReadHeaderTimeout: patience, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		s.saw(r.Method, r.RequestURI, r.Host, ofNetHTTP(r.Header), b, err, LateFields(ofNetHTTP(r.Trailer)))
		w.Header().Set(handled, "1")
		_, _ = io.WriteString(w, "ok")
	})}
	done := make(chan struct{})
	go func() { defer close(done); _ = h.Serve(l) }()
	t.Cleanup(func() { _ = h.Close(); <-done })
	s.theirs = l.Addr().String()
	return s
}

func (s *servers) saw(method, target, host string, h Header, body []byte, err error, trailer Header) {
	text := fmt.Sprintf("%s %s %s %s %q %s", method, target, host, canonical(h), body, canonical(trailer))
	if err != nil {
		text = fmt.Sprintf("%s %s %s %s broken", method, target, host, canonical(h)) // how much arrived is chance
	}
	s.seen <- text
}

func (s *servers) read(addr string, in stream) (r reading) {
	s.t.Helper()
	r.refused, _ = ask(s.t, addr, in)
	r.refused = r.refused && !in.broken // the table has a row for it
	for {
		select {
		case one := <-s.seen:
			r.seen = append(r.seen, one)
			continue
		default:
		}
		return r
	}
}

// fetched is what a client read of an answer.
type fetched struct {
	status  int
	text    string
	refused bool
}

func (f fetched) String() string {
	return fmt.Sprintf("%d %s, refused: %v", f.status, f.text, f.refused)
}

func (f fetched) word() string {
	if f.refused {
		return "refuses"
	}
	return "takes"
}

func (f fetched) cell(other fetched) string {
	switch {
	case f.String() == other.String():
		return f.word()
	case f.word() == other.word() && !f.refused:
		return "takes otherwise"
	}
	return other.word()
}

// answering is a server that writes one answer to each connection and closes it.
func answering(t *testing.T) (addr string, next chan stream) {
	next = make(chan stream, 1)
	g := newTarget(t, func(p *peer) {
		if p.request() == nil {
			return
		}
		s := <-next
		s.write(p.Conn)
		_ = p.Conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, p.in)
	})
	return g.addr, next
}

// ourClient reads an answer with the Transport.
func ourClient(t *testing.T, addr, method string) (f fetched) {
	t.Helper()
	tr := transport(t, TransportConfig{})
	defer tr.Close()
	out := get("/")
	out.Method = method
	a, err := tr.RoundTrip(t.Context(), addr, out, nil)
	if err != nil {
		return fetched{refused: true}
	}
	defer func() { _ = a.Body.Close() }()
	b, err := io.ReadAll(a.Body)
	var trailer Header
	if a.Trailer != nil {
		trailer = a.Trailer()
	}
	h := slices.Clone(a.Header)
	h.Del("Trailer")
	return result(a.Status, h, b, err, trailer)
}

func result(status int, h Header, body []byte, err error, trailer Header) fetched {
	if err != nil {
		return fetched{status: status, text: canonical(h), refused: true}
	}
	return fetched{status: status, text: fmt.Sprintf("%s %q %s", canonical(h), body, canonical(trailer))}
}

// theirClient reads an answer with the client of net/http.
func theirClient(t *testing.T, addr, method string) (f fetched) {
	t.Helper()
	tr := &http.Transport{DisableCompression: true, MaxResponseHeaderBytes: 64 << 10}
	defer tr.CloseIdleConnections()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second) // nginx waits for the rest of some
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+addr+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := tr.RoundTrip(r)
	if err != nil {
		return fetched{refused: true}
	}
	defer func() { _ = res.Body.Close() }()
	var b []byte
	if res.StatusCode != 101 { // whose body is the connection
		b, err = io.ReadAll(res.Body)
	}
	return result(res.StatusCode, EndToEnd(ofNetHTTP(res.Header)), b, err, LateFields(ofNetHTTP(res.Trailer)))
}

// L7, https://github.com/golang/go/issues/71988: valid requests are read as net/http reads them, in every order of
// fields, framing and size, in any pieces, and cut off anywhere.
func TestDifferential_requestsAreReadAlike(t *testing.T) {
	s := startServers(t)
	for seed := range uint64(rounds(t)) {
		in := newGenerator(seed).requests()
		ours := s.read(s.ours, in)
		if theirs := s.read(s.theirs, in); ours.String() != theirs.String() {
			t.Fatalf("seed %d: %q\nread as %v\nnet/http  %v", seed, in.text(), ours, theirs)
		}
	}
	for name, in := range recorded(t, "requests") {
		ours := s.read(s.ours, in)
		if theirs := s.read(s.theirs, in); ours.String() != theirs.String() || ours.word() != "takes" || len(ours.seen) == 0 {
			t.Errorf("%s is read as %v\nnet/http  %v", name, ours, theirs)
		}
	}
}

// L7, https://github.com/golang/go/issues/71988: the same for answers.
func TestDifferential_answersAreReadAlike(t *testing.T) {
	addr, next := answering(t)
	for seed := range uint64(rounds(t)) {
		in := newGenerator(seed).answers()
		next <- in
		ours := ourClient(t, addr, in.method)
		next <- in
		if theirs := theirClient(t, addr, in.method); ours.String() != theirs.String() {
			t.Fatalf("seed %d: %q\nread as %v\nnet/http  %v", seed, in.text(), ours, theirs)
		}
	}
	for name, in := range recorded(t, "answers") {
		next <- in
		ours := ourClient(t, addr, "GET")
		next <- in
		if theirs := theirClient(t, addr, "GET"); ours.String() != theirs.String() || ours.refused {
			t.Errorf("%s is read as %v\nnet/http  %v", name, ours, theirs)
		}
	}
}

// rounds is the number of generated streams.
func rounds(t *testing.T) int {
	if testing.Short() || raceEnabled {
		return 150
	}
	return 600
}

// recorded returns the streams of real programs.
func recorded(t *testing.T, of string) map[string]stream {
	t.Helper()
	files, err := filepath.Glob("testdata/recorded/" + of + "/*.http")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d recordings, %v", len(files), err)
	}
	all := map[string]stream{}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		all[filepath.Base(f)] = stream{pieces: []string{string(b)}, method: "GET"}
	}
	return all
}

// L7, https://github.com/golang/go/issues/71988: odd messages are read as the tables of README.md say.
func TestDifferential_theTableOfRequestsHolds(t *testing.T) {
	s := startServers(t)
	got := map[string][]string{}
	for _, row := range oddRequests {
		in := stream{pieces: []string{row.text}, method: "GET"}
		ours := s.read(s.ours, in)
		got[row.rule] = []string{ours.word(), ours.cell(s.read(s.theirs, in))}
	}
	holds(t, "requests", got, 2)
}

// L7, https://github.com/golang/go/issues/71988: the same for answers.
func TestDifferential_theTableOfAnswersHolds(t *testing.T) {
	addr, next := answering(t)
	got := map[string][]string{}
	for _, row := range oddAnswers {
		in := stream{pieces: []string{row.text}}
		next <- in
		ours := ourClient(t, addr, row.method())
		next <- in
		got[row.rule] = []string{ours.word(), ours.cell(theirClient(t, addr, row.method()))}
	}
	holds(t, "answers", got, 2)
}

// holds compares what was found with a table of README.md. Its first column is the rule,
// then come the columns of readers, and last the reason. A rule on which all readers
// agree has no row.
func holds(t *testing.T, table string, got map[string][]string, columns int) {
	t.Helper()
	rows := tableOf(t, table)
	for rule, cells := range got {
		row, there := rows[rule]
		differs := slices.ContainsFunc(cells, func(c string) bool { return c != cells[0] })
		switch {
		case !there && differs:
			t.Errorf("| %s | %s | is not in the table of %s in README.md", rule, strings.Join(cells, " | "), table)
		case there && !slices.Equal(row[:columns], cells[:columns]):
			t.Errorf("| %s | %s | README.md says %v", rule, strings.Join(cells, " | "), row[:columns])
		case there && row[0] == row[1] && row[0] == row[2]:
			t.Errorf("%q is no difference", rule)
		}
	}
	for rule := range rows {
		if got[rule] == nil {
			t.Errorf("the table of %s in README.md has %q, which nothing tries", table, rule)
		}
	}
}

// tableOf returns, by rule, the cells after the rule in the table between the comments
// "differences: name" and "end".
func tableOf(t *testing.T, name string) map[string][]string {
	t.Helper()
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := bytes.Cut(b, []byte("<!-- differences: "+name+" -->"))
	text, _, ok2 := bytes.Cut(rest, []byte("<!-- end -->"))
	if !ok || !ok2 {
		t.Fatalf("README.md has no table of %s", name)
	}
	rows := map[string][]string{}
	in := bufio.NewScanner(bytes.NewReader(text))
	for n := 0; in.Scan(); {
		cells := strings.Split(strings.Trim(in.Text(), "| "), " | ")
		if len(cells) != 5 {
			continue
		}
		if n++; n > 1 {
			rows[cells[0]] = cells[1:]
		}
	}
	return rows
}

// The rules of README.md name tests that exist.
func TestREADME_namesTestsThatExist(t *testing.T) {
	b, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	var code []byte
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		code = append(code, text...)
	}
	names := regexp.MustCompile("`((?:Test|Fuzz)[A-Za-z0-9_]+)`").FindAllSubmatch(b, -1)
	if len(names) < 30 {
		t.Errorf("only %d tests are named", len(names))
	}
	for _, name := range names {
		if !bytes.Contains(code, []byte("func "+string(name[1])+"(")) {
			t.Errorf("there is no %s", name[1])
		}
	}
}
