package spec

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/lsm/fiso/common/config"
)

// Limits of the values in a file. They are wide: they catch a wrong unit or an extra zero.
const (
	maxInFlight      = 65536
	maxRetries       = 1000
	maxBatchEvents   = 10_000
	maxBatchBytes    = 64 << 20
	maxOutputBytes   = 64 << 20
	maxTransformTime = time.Minute
	maxInterval      = 24 * time.Hour
	maxDrain         = 30 * time.Minute
	maxName          = 63  // DNS-1123 label, so that the name fits Kubernetes objects
	maxTopic         = 249 // limit of Kafka
)

var (
	label = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]*[a-z0-9])?$`)
	topic = regexp.MustCompile(`^[a-zA-Z0-9._-]+$`)
)

// fault is a short form of config.Fault.
func fault(key, format string, args ...any) error {
	return config.Fault(key, format, args...)
}

// Validate checks the fields of this struct; Parse checks that there is a name, which may come
// from the FlowDefinition. Validate returns all faults joined.
func (f *Flow) Validate() error {
	return errors.Join(f.validateName(), f.validateTypes(), f.validateSinks(), f.validateDeadLetter())
}

func (f *Flow) validateName() error { return validName("name", f.Name) }

// validName checks the name of a flow or sink. An empty name is valid here: other checks require
// it.
func validName(key, name string) error {
	switch {
	case name == "":
		return nil
	case len(name) > maxName:
		return fault(key, "%d characters are too many; use at most %d", len(name), maxName)
	case !label.MatchString(name):
		return fault(key, "%q is not a valid name; use lower-case letters, digits and dashes, as in %s", name, suggestName(name, strings.HasPrefix(key, "sinks")))
	}
	return nil
}

// suggestName returns a valid name that is close to the name of a flow or sink.
func suggestName(name string, isSink bool) string {
	s := strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + ('a' - 'A')
		default:
			return '-'
		}
	}, name)
	switch s = strings.Trim(s, "-"); {
	case s != "":
		return s
	case isSink:
		return "my-sink"
	}
	return "my-flow"
}

func (f *Flow) validateTypes() error {
	errs := []error{
		oneOf("source.type", "source", f.Source.Type, f.types.Sources, futureSources),
		oneOf("sink.type", "sink", f.Sink.Type, f.types.Sinks, futureSinks),
		oneOf("errorHandling.deadLetter.type", "dead letter place", f.ErrorHandling.DeadLetter.Type, f.types.DeadLetters, nil),
	}
	for i, s := range f.Sinks {
		errs = append(errs, oneOf(fmt.Sprintf("sinks[%d].type", i), "sink", s.Type, f.types.Sinks, futureSinks),
			oneOf(fmt.Sprintf("sinks[%d].errorHandling.deadLetter.type", i), "dead letter place", s.ErrorHandling.DeadLetter.Type, f.types.DeadLetters, nil))
	}
	return errors.Join(errs...)
}

// validateSinks checks that there is either one sink or a list of sinks, that the names in the
// list are distinct, and that each sink in the list can get an event.
func (f *Flow) validateSinks() error {
	one := f.Sink.Type != "" || f.Sink.Name != "" || !f.Sink.Config.IsZero()
	switch {
	case len(f.Sinks) == 0 && !one:
		return fault("sink", "missing; write where events go, in sink or in sinks")
	case len(f.Sinks) == 0 && f.Sink.Type == "":
		return fault("sink.type", "missing; write %s", list(f.types.Sinks))
	case len(f.Sinks) > 0 && one:
		return fault("sink", "does not go with sinks; make it one of them")
	}
	var errs []error
	named := map[string]int{}
	takesAll := -1
	for i, s := range f.Sinks {
		key := fmt.Sprintf("sinks[%d]", i)
		if first, twice := named[s.Name]; twice {
			errs = append(errs, fault(key+".name", "%s is the name of sinks[%d] too; give each sink a name of its own", s.Name, first))
		}
		named[s.Name] = i
		errs = append(errs, validName(key+".name", s.Name))
		if takesAll >= 0 && f.Routing != "all" {
			errs = append(errs, fault(key,
				"gets no event, because sinks[%d] has no when and takes them all; give that one a when, put it last, or set routing: all", takesAll))
		}
		if s.When.Key() == "" {
			takesAll = i
		}
	}
	return errors.Join(errs...)
}

// Connector types of the contract that a later version implements.
var (
	futureSources = []string{"grpc"}
	futureSinks   = []string{"grpc", "temporal"}
)

func oneOf(key, what, value string, known, later []string) error {
	if value == "" {
		return nil // the check of required fields reports an empty type
	}
	for _, k := range known {
		if k == value {
			return nil
		}
	}
	for _, l := range later {
		if l == value {
			return fault(key, "the %s type %q is known, but not in this version of fiso-flow; use %s", what, value, list(known))
		}
	}
	return fault(key, "%q is not a %s type; use %s", value, what, list(known))
}

func list(words []string) string {
	if len(words) == 1 {
		return words[0]
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

func (f *Flow) validateDeadLetter() error {
	e := &f.ErrorHandling
	errs := []error{f.oneDeadLetterPlace("errorHandling", e.DeadLetter, e.DeadLetterTopic, e.DeadLetter.Type)}
	nowhere := e.DeadLetter.Type == "" && slices.Contains(f.types.Sources, f.Source.Type) && !f.types.KeepsDeadLetters(f.Source.Type)
	if nowhere && e.OnExhausted != "block" {
		errs = append(errs, fault("source.type", "a source of type %s cannot keep dead letters; name a place in errorHandling.deadLetter "+
			"(type: file with config.path, or type: kafka with config.brokers), or set errorHandling.onExhausted: block", f.Source.Type))
		nowhere = false
	}
	for i, s := range f.Sinks {
		key := fmt.Sprintf("sinks[%d].errorHandling", i)
		own := e.WithOverride(&s.ErrorHandling)
		errs = append(errs, f.oneDeadLetterPlace(key, s.ErrorHandling.DeadLetter, s.ErrorHandling.DeadLetterTopic, own.DeadLetter.Type))
		if nowhere && own.DeadLetter.Type == "" && own.OnExhausted == "dlq" {
			errs = append(errs, fault(key+".onExhausted", "a source of type %s cannot keep dead letters; name a place in deadLetter", f.Source.Type))
		}
	}
	return errors.Join(errs...)
}

// oneDeadLetterPlace checks that key names only one place for dead letters.
func (f *Flow) oneDeadLetterPlace(key string, place DeadLetter, topic, kind string) error {
	switch {
	case place.Type == "" && !place.Config.IsZero():
		return fault(key+".deadLetter.type", "missing; write %s", list(f.types.DeadLetters))
	case kind == "file" && topic != "" && place.Type == "":
		return fault(key+".deadLetterTopic", "does not go with the deadLetter of type file that the flow names; set a deadLetter of type kafka here")
	case kind == "file" && topic != "":
		return fault(key+".deadLetterTopic", "does not go with a deadLetter of type file; remove one of the two")
	}
	return nil
}

// Validate checks the limits of a transform. Expressions are checked when they are compiled.
func (t *Transform) Validate() error {
	var errs []error
	for _, f := range t.Fields {
		if f.Name == "" {
			errs = append(errs, fault("fields", "a field has no name"))
		}
	}
	return errors.Join(append(errs,
		duration("timeout", t.Timeout, time.Millisecond, maxTransformTime),
		between("maxOutputBytes", int64(t.MaxOutputBytes), 1, maxOutputBytes),
	)...)
}

// Validate checks the limits of delivery.
func (d *Delivery) Validate() error {
	var guarantee error
	switch d.Guarantee {
	case "", "at-least-once":
	case "exactly-once":
		guarantee = fault("guarantee", "exactly-once is known, but not in this version of fiso-flow; leave it out for at-least-once")
	default:
		guarantee = fault("guarantee", "%q is not a guarantee; use at-least-once", d.Guarantee)
	}
	return errors.Join(
		between("maxInFlight", int64(d.MaxInFlight), 1, maxInFlight),
		duration("drainTimeout", d.DrainTimeout, time.Millisecond, maxDrain),
		guarantee,
	)
}

// Validate checks the limits of a batch.
func (b *Batch) Validate() error {
	return errors.Join(
		between("maxEvents", int64(b.MaxEvents), 1, maxBatchEvents),
		between("maxBytes", int64(b.MaxBytes), 1, maxBatchBytes),
		duration("maxWait", b.MaxWait, 0, time.Minute),
	)
}

// Validate checks retries and intervals.
func (e *ErrorHandling) Validate() error {
	errs := []error{
		between("maxRetries", int64(e.MaxRetries), 0, maxRetries),
		duration("initialInterval", e.InitialInterval, time.Millisecond, maxInterval),
		duration("maxInterval", e.MaxInterval, time.Millisecond, maxInterval),
	}
	if e.MaxInterval < e.InitialInterval && e.MaxInterval > 0 {
		errs = append(errs, fault("maxInterval", "%v is less than initialInterval, %v", e.MaxInterval, e.InitialInterval))
	}
	if !(e.Jitter >= 0 && e.Jitter <= 1) {
		errs = append(errs, fault("jitter", "%v is not a share; write a number from 0 to 1", e.Jitter))
	}
	if t := e.DeadLetterTopic; t != "" && (len(t) > maxTopic || !topic.MatchString(t) || t == "." || t == "..") {
		errs = append(errs, fault("deadLetterTopic", "%q is not a name of a Kafka topic; use letters, digits, dots, dashes and underscores, 249 at most", t))
	}
	return errors.Join(errs...)
}

// Validate checks the values that the sink overrides.
func (o *OutputErrorHandling) Validate() error {
	e := ErrorHandling{InitialInterval: time.Second, MaxInterval: time.Second}.WithOverride(o)
	if o.InitialInterval == nil || o.MaxInterval == nil { // the other interval has the value of the flow
		e.MaxInterval = max(e.MaxInterval, e.InitialInterval)
	}
	return e.Validate()
}

// Validate checks the limit.
func (s *StopTheLine) Validate() error {
	return between("consecutive", int64(s.Consecutive), 0, 1_000_000)
}

func between(key string, n, low, high int64) error {
	if n < low || n > high {
		return fault(key, "%d is out of bounds: from %d to %d is allowed", n, low, high)
	}
	return nil
}

func duration(key string, d, low, high time.Duration) error {
	if d < low || d > high {
		return fault(key, "%v is out of bounds: from %v to %v is allowed", d, low, high)
	}
	return nil
}
