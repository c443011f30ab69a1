package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"time"

	"github.com/lsm/fiso/common/cloudevent"
	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/common/connector"
	"github.com/lsm/fiso/delivery"
	"github.com/lsm/fiso/delivery/fault"
	"github.com/lsm/fiso/flow/plan"
)

// testFile is a file of transform tests, in the directory of the flow file.
type testFile struct {
	Flow  string     `yaml:"flow" doc:"Flow file, relative to this file; default: the name of this file without _test."`
	Tests []testCase `yaml:"tests" required:"true" doc:"The tests."`
}

// testCase is one input and its expected result. Fields that are not set are not compared.
type testCase struct {
	Name      string            `yaml:"name" required:"true" doc:"What the test claims, in words."`
	Input     config.Raw        `yaml:"input" doc:"The payload: YAML that becomes JSON, or text that is taken as it is."`
	Key       string            `yaml:"key" blanks:"keep" doc:"Key of the record."`
	Headers   map[string]string `yaml:"headers" doc:"Headers of the record."`
	Time      time.Time         `yaml:"time" doc:"Time of the record; default: now."`
	Topic     string            `yaml:"topic" default:"test" doc:"Topic of the record."`
	Partition int32             `yaml:"partition" doc:"Partition of the record."`
	Offset    int64             `yaml:"offset" doc:"Offset of the record."`

	Output       config.Raw        `yaml:"output" doc:"Data of the outgoing event, compared as JSON."`
	Event        map[string]string `yaml:"event" doc:"Attributes of the outgoing event."`
	Sink         string            `yaml:"sink" doc:"The sink that takes the event."`
	EventHeaders map[string]string `yaml:"eventHeaders" blanks:"keep" doc:"Headers that the sink's eventHeaders make, by name; empty: left out."`
	RecordKey    string            `yaml:"recordKey" blanks:"keep" doc:"Key of the record that a kafka sink writes."`
	Events       []expected        `yaml:"events" doc:"Instead of output and event: all events, in order, once for each sink that takes one."`
	Filtered     bool              `yaml:"filtered" doc:"The event is filtered out."`
	Unrouted     bool              `yaml:"unrouted" doc:"No sink takes the event."`
	Error        string            `yaml:"error" enum:"DECODE_FAILED|TRANSFORM_FAILED|TRANSFORM_TIMEOUT|OUTPUT_TOO_LARGE|SINK_REJECTED" doc:"Error code with which the event fails."`
	Message      string            `yaml:"message" blanks:"keep" doc:"Text that the error message contains."`
}

// expected is one of several expected events.
type expected struct {
	Output       config.Raw        `yaml:"output" doc:"Data of the event, compared as JSON."`
	Event        map[string]string `yaml:"event" doc:"Attributes of the event."`
	Sink         string            `yaml:"sink" doc:"The sink that takes it."`
	EventHeaders map[string]string `yaml:"eventHeaders" blanks:"keep" doc:"Headers that the sink's eventHeaders make, by name; empty: left out."`
	RecordKey    string            `yaml:"recordKey" blanks:"keep" doc:"Key of the record that a kafka sink writes."`
	Error        string            `yaml:"error" enum:"DECODE_FAILED|TRANSFORM_FAILED|TRANSFORM_TIMEOUT|OUTPUT_TOO_LARGE|SINK_REJECTED" doc:"Error code with which this sink fails."`
}

// Validate checks that the test sets exactly one kind of result.
func (c *testCase) Validate() error {
	var errs []error
	want := 0
	one := !c.Output.IsZero() || len(c.Event) > 0 || c.Sink != "" || len(c.EventHeaders) > 0 || c.RecordKey != ""
	for _, set := range []bool{one, len(c.Events) > 0, c.Filtered, c.Unrouted, c.Error != ""} {
		if set {
			want++
		}
	}
	if want != 1 {
		errs = append(errs, config.Fault("name", "a test expects one of: output, event, sink, eventHeaders and recordKey; events; filtered; unrouted; or error"))
	}
	if c.Message != "" && c.Error == "" {
		errs = append(errs, config.Fault("message", "goes with error"))
	}
	return errors.Join(errs...)
}

// isTestFile reports whether path is a test file, judged by its name.
func isTestFile(path string) bool {
	base := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".yaml"), ".yml")
	return strings.HasSuffix(base, "_test")
}

// findTests returns the test files for path: path itself, the test file of a flow file, or all
// test files of a directory.
func findTests(path string) ([]string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return nil, fmt.Errorf("look for transform tests: %w", err)
	case info.IsDir():
		var found []string
		for _, ext := range []string{"yaml", "yml"} {
			// Glob fails only for a malformed pattern, which this is not.
			names, _ := filepath.Glob(filepath.Join(path, "*_test."+ext))
			found = append(found, names...)
		}
		sort.Strings(found)
		return found, nil
	case isTestFile(path):
		return []string{path}, nil
	}
	beside := strings.TrimSuffix(path, filepath.Ext(path)) + "_test" + filepath.Ext(path)
	if _, err := os.Stat(beside); err != nil {
		return nil, nil
	}
	return []string{beside}, nil
}

// readTests reads a test file. Flow of the result is relative to the working directory.
func readTests(path string) (*testFile, error) {
	data, err := config.ReadFile(context.Background(), path, config.MaxFile)
	if err != nil {
		return nil, fmt.Errorf("read transform tests: %w", err)
	}
	return parseTests(path, data)
}

// parseTests parses the content of a test file.
func parseTests(path string, data []byte) (*testFile, error) {
	var f testFile
	if err := config.Decode(path, data, &f); err != nil {
		return nil, err
	}
	if f.Flow == "" {
		ext := filepath.Ext(path)
		f.Flow = strings.TrimSuffix(filepath.Base(path), "_test"+ext) + ext
	}
	if !filepath.IsAbs(f.Flow) {
		f.Flow = filepath.Join(filepath.Dir(path), f.Flow)
	}
	return &f, nil
}

// message returns the record that the test describes.
func (c *testCase) message() (*connector.Message, error) {
	m := &connector.Message{
		Time:     c.Time,
		Position: connector.PartitionOffset(c.Topic, c.Partition, c.Offset),
	}
	if m.Time.IsZero() {
		m.Time = time.Now()
	}
	if c.Key != "" {
		m.Key = []byte(c.Key)
	}
	for k, v := range c.Headers {
		m.Headers = append(m.Headers, connector.Header{Key: k, Value: []byte(v)})
	}
	if c.Input.IsZero() {
		return m, nil
	}
	value, err := c.Input.JSON()
	if err != nil {
		return nil, fmt.Errorf("input: %w", err)
	}
	var text string
	if json.Unmarshal(value, &text) == nil {
		value = []byte(text) // text is used as it is
	}
	m.Value = value
	return m, nil
}

// compareOutcome describes how the outcome differs from the expected one, or returns "".
func (c *testCase) compareOutcome(all []plan.Delivery, err error) string {
	unrouted := errors.Is(err, delivery.ErrUnrouted)
	if len(c.Events) == 0 && err == nil {
		err = firstFailure(all)
	}
	switch {
	case c.Error != "":
		return c.judgeError(err)
	case c.Unrouted && unrouted:
		return ""
	case unrouted:
		return "no sink takes the event"
	case err != nil:
		return fmt.Sprintf("%s: %v", fault.CodeOf(err), err)
	case c.Unrouted && len(all) > 0:
		return "expected no sink to take the event, but sink " + all[0].Sink + " does"
	case c.Filtered && len(all) > 0:
		return "expected the event to be filtered, but it passed"
	case c.Filtered:
		return ""
	case len(all) == 0:
		return "the event was filtered"
	}
	want := c.Events
	if len(want) == 0 {
		want = []expected{{c.Output, c.Event, c.Sink, c.EventHeaders, c.RecordKey, ""}}
	}
	if len(all) != len(want) {
		return fmt.Sprintf("got %d events for sinks, expected %d", len(all), len(want))
	}
	for i := range want {
		if fault := want[i].compare(all[i]); fault != "" && len(want) > 1 {
			return fmt.Sprintf("event %d: %s", i+1, fault)
		} else if fault != "" {
			return fault
		}
	}
	return ""
}

// firstFailure returns the error of the first sink that would fail, or nil.
func firstFailure(all []plan.Delivery) error {
	for _, d := range all {
		if d.Err != nil {
			return d.Err
		}
	}
	return nil
}

func (c *testCase) judgeError(err error) string {
	if err == nil {
		return fmt.Sprintf("expected the error %s, but the event passed", c.Error)
	}
	if code := string(fault.CodeOf(err)); code != c.Error {
		return fmt.Sprintf("expected the error %s, got %s: %v", c.Error, code, err)
	}
	if !strings.Contains(err.Error(), c.Message) {
		return fmt.Sprintf("expected an error that says %q, got: %v", c.Message, err)
	}
	return ""
}

func (c *expected) compare(d plan.Delivery) string {
	if c.Sink != "" && c.Sink != d.Sink {
		return fmt.Sprintf("the sink is %s, expected %s", d.Sink, c.Sink)
	}
	switch {
	case c.Error != "" && d.Err == nil:
		return fmt.Sprintf("expected the error %s, but the event passed", c.Error)
	case c.Error != "" && c.Error != string(fault.CodeOf(d.Err)), c.Error == "" && d.Err != nil:
		return fmt.Sprintf("%s: %v", fault.CodeOf(d.Err), d.Err)
	case d.Err != nil:
		return ""
	}
	e := d.Event
	if fault := c.compareAdditions(d); fault != "" {
		return fault
	}
	got := attributes(e)
	for _, name := range sortedKeys(c.Event) {
		if got[name] != c.Event[name] {
			return fmt.Sprintf("%s is %q, expected %q", name, got[name], c.Event[name])
		}
	}
	if c.Output.IsZero() {
		return ""
	}
	want, err := c.Output.JSON()
	if err != nil {
		return fmt.Sprintf("output: %v", err)
	}
	var text string
	if json.Unmarshal(want, &text) == nil && json.Valid([]byte(text)) {
		want = []byte(text)
	}
	if !sameJSON(want, e.Data.Bytes()) {
		return fmt.Sprintf("the output is\n      %s\n    expected\n      %s", e.Data.Bytes(), want)
	}
	return ""
}

// compareAdditions compares what the sink adds to the event.
func (c *expected) compareAdditions(d plan.Delivery) string {
	for _, name := range sortedKeys(c.EventHeaders) {
		got := ""
		for _, h := range d.Headers {
			if strings.EqualFold(h.Key, name) {
				got = string(h.Value)
			}
		}
		if got != c.EventHeaders[name] {
			return fmt.Sprintf("header %s is %q, expected %q", name, got, c.EventHeaders[name])
		}
	}
	if c.RecordKey != "" && c.RecordKey != string(d.Key) {
		return fmt.Sprintf("the record's key is %q, expected %q", d.Key, c.RecordKey)
	}
	return ""
}

// sameJSON reports whether two JSON documents have the same value. The order of members and the
// notation of numbers do not matter.
func sameJSON(a, b []byte) bool {
	x, errA := decodeJSON(a)
	y, errB := decodeJSON(b)
	return errA == nil && errB == nil && sameValue(x, y)
}

func decodeJSON(b []byte) (any, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var v any
	err := dec.Decode(&v)
	return v, err
}

func sameValue(a, b any) bool {
	switch a := a.(type) {
	case json.Number:
		n, ok := b.(json.Number)
		if !ok {
			return false
		}
		if a == n {
			return true // also for numbers that are too large to compute, such as 1e9999999
		}
		x, okX := new(big.Rat).SetString(a.String())
		y, okY := new(big.Rat).SetString(n.String())
		return okX && okY && x.Cmp(y) == 0
	case map[string]any:
		m, ok := b.(map[string]any)
		if !ok || len(a) != len(m) {
			return false
		}
		for k, v := range a {
			w, ok := m[k]
			if !ok || !sameValue(v, w) {
				return false
			}
		}
		return true
	case []any:
		l, ok := b.([]any)
		if !ok || len(a) != len(l) {
			return false
		}
		for i := range a {
			if !sameValue(a[i], l[i]) {
				return false
			}
		}
		return true
	default:
		return a == b
	}
}

func attributes(e *cloudevent.Event) map[string]string {
	m := map[string]string{
		"id": e.ID, "source": e.Source, "type": e.Type, "subject": e.Subject,
		"datacontenttype": e.DataContentType, "dataschema": e.DataSchema,
	}
	if !e.Time.IsZero() {
		m["time"] = e.Time.Format(time.RFC3339Nano)
	}
	for _, x := range e.Extensions {
		m[x.Name] = x.Value
	}
	return m
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}
