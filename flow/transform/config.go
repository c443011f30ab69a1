package transform

import (
	"fmt"
	"time"

	"github.com/lsm/fiso/common/config"
)

// Config is the part of a flow file about events: the blocks filter, transform
// and cloudevents.
type Config struct {
	Flow   string // the flow's name
	Source string // the CloudEvents source of records that have none; default fiso-flow/<flow>

	Filter config.Text   // CEL bool; false: the event is not for this flow
	CEL    config.Text   // the output as one expression
	Fields config.Fields // or one expression for each of its members
	// The attributes of the outgoing event that differ from the incoming one.
	ID, Type, EventSource, Subject, DataSchema config.Text
	Extensions                                 config.Fields

	Split  config.Text // CEL list: each element becomes an event of its own
	Routes []Route     // the outputs, in order; none: one that takes everything
	All    bool        // true: every output whose condition is true takes the event; false: only the first one

	Timeout        time.Duration // for all expressions of one event together; default 5s
	MaxOutputBytes int           // of what the transform makes; default 1 MiB
}

// Route is an output, and the condition for its events.
type Route struct {
	Name string
	When config.Text // CEL bool, on the finished event; none: it takes every event
	Key  string      // path of When in the file, such as sinks[0].when
}

const (
	defaultTimeout        = 5 * time.Second
	defaultMaxOutputBytes = 1 << 20
)

// attribute is a cloudevents expression, and how its value is set.
type attribute struct {
	*expression
	set      func(o *outgoing, value string)
	required bool
}

// attributes compiles the cloudevents block.
func (c *compiler) attributes(cfg *Config) []attribute {
	var all []attribute
	add := func(name string, text config.Text, required bool, set func(o *outgoing, value string)) {
		if text.IsZero() {
			return
		}
		all = append(all, attribute{c.expression("cloudevents."+name, text, wantText), set, required})
	}
	add("id", cfg.ID, true, func(o *outgoing, value string) { o.ID = value })
	add("type", cfg.Type, true, func(o *outgoing, value string) { o.Type = value })
	add("source", cfg.EventSource, true, func(o *outgoing, value string) { o.Source = value })
	add("subject", cfg.Subject, false, func(o *outgoing, value string) { o.Subject = value })
	add("dataschema", cfg.DataSchema, false, func(o *outgoing, value string) { o.DataSchema = value })
	for _, f := range cfg.Extensions {
		key := "extensions." + f.Name
		if fault := badExtension(f.Name); fault != "" {
			c.fault("cloudevents."+key, f.Value, 1, 1, fault, "use lower-case letters and digits, up to 20 of them")
			continue
		}
		name := f.Name
		add(key, f.Value, false, func(o *outgoing, value string) { o.setExtension(name, value) })
	}
	return all
}

// badExtension says why a name is not valid for an extension, or "".
func badExtension(name string) string {
	switch name {
	case "specversion", "id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "data", "data_base64":
		return fmt.Sprintf("%s is an attribute and not an extension", name)
	}
	if name == "" || len(name) > 20 {
		return fmt.Sprintf("an extension cannot be named %q", name)
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return fmt.Sprintf("an extension cannot be named %q", name)
		}
	}
	return ""
}
