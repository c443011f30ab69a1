package gotest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
)

// event is one line of `go test -json`, as `go doc test2json` describes it.
type event struct {
	Action, Package, Test, Output, ImportPath, FailedBuild string
}

// eventPrinter reads the events of one `go test -json`, prints the line of each
// package and everything that a failed test said, and keeps the counts. It is
// written to by one goroutine, that of the command.
type eventPrinter struct {
	out    io.Writer
	res    *result
	line   []byte
	said   map[string][]string // by package and test, until it ends
	builds map[string][]string // by import path
}

func newEventPrinter(out io.Writer, res *result) *eventPrinter {
	return &eventPrinter{out: out, res: res, said: map[string][]string{}, builds: map[string][]string{}}
}

// Write takes a part of the stream; lines may be cut anywhere.
func (p *eventPrinter) Write(data []byte) (int, error) {
	p.line = append(p.line, data...)
	for {
		line, rest, found := bytes.Cut(p.line, []byte("\n"))
		if !found {
			return len(data), nil
		}
		p.take(line)
		p.line = rest
	}
}

func (p *eventPrinter) close() {
	if len(p.line) > 0 {
		p.take(p.line)
	}
}

func (p *eventPrinter) take(line []byte) {
	var e event
	if err := json.Unmarshal(line, &e); err != nil {
		// The go command itself speaks plainly: a download, a broken go.mod.
		fmt.Fprintf(p.out, "%s\n", line)
		return
	}
	key := e.Package + "\x00" + e.Test
	switch e.Action {
	case "output":
		p.said[key] = append(p.said[key], e.Output)
	case "build-output":
		p.builds[e.ImportPath] = append(p.builds[e.ImportPath], e.Output)
	case "build-fail":
		p.print(p.builds[e.ImportPath])
		// "pkg [pkg.test]" is pkg built once more, together with its tests.
		pkg, _, _ := strings.Cut(e.ImportPath, " ")
		if what := "build of " + pkg; !slices.Contains(p.res.failures, what) {
			p.res.fail(what)
		}
	case "pass", "fail", "skip":
		p.end(e, p.said[key])
		delete(p.said, key)
	}
}

// end closes the books on a test, or on a package where the event names no test.
func (p *eventPrinter) end(e event, said []string) {
	if e.Test == "" {
		p.endPackage(e, said)
		return
	}
	switch e.Action {
	case "pass":
		p.res.passed++
	case "fail":
		p.res.fail(e.Package + " " + e.Test)
		p.print(said)
	case "skip":
		p.res.skipped = append(p.res.skipped, skip{test: e.Package + " " + e.Test, reason: skipReason(said)})
	}
}

func (p *eventPrinter) endPackage(e event, said []string) {
	if e.Action != "fail" {
		// "ok  	package	0.1s", "?   	package	[no test files]"
		for _, line := range said {
			if strings.HasPrefix(line, "ok ") || strings.HasPrefix(line, "? ") {
				line, _, _ = strings.Cut(line, "\tcoverage:")
				fmt.Fprintln(p.out, strings.TrimRight(line, "\n"))
			}
		}
		return
	}
	// A package may fail without a failed test: a panic, os.Exit, a goroutine left behind.
	// One that could not be built has been told of already.
	if e.FailedBuild == "" && !p.res.failedIn(e.Package) {
		p.res.fail(e.Package + " (the package as a whole)")
		p.orphans(e.Package)
	}
	p.print(said)
}

// orphans prints what tests said that never ended, because the process died.
func (p *eventPrinter) orphans(pkg string) {
	for key, said := range p.said {
		if strings.HasPrefix(key, pkg+"\x00") {
			p.print(said)
			delete(p.said, key)
		}
	}
}

func (p *eventPrinter) print(lines []string) {
	for _, line := range lines {
		if !strings.HasPrefix(line, "=== ") && !strings.HasPrefix(line, "coverage: ") {
			fmt.Fprint(p.out, line)
		}
	}
}

// skipReason is what the test said when it gave up: its last own line.
func skipReason(said []string) string {
	reason := "no reason given"
	for _, line := range said {
		if text := strings.TrimSpace(line); text != "" && !strings.HasPrefix(text, "=== ") && !strings.HasPrefix(text, "--- ") {
			reason = text
		}
	}
	return reason
}
