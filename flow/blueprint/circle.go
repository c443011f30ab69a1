package blueprint

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/lsm/fiso/common/config"
	"github.com/lsm/fiso/flow/spec"
)

// circles refuses a flow that reads what it writes: each event, or each of its
// dead letters, would come again without end. A pattern that matches the topic
// for dead letters stands for all topics but that one.
func (b *Blueprint) circles(c *checker) {
	src, ok := b.source.(*kafkaSource)
	if !ok {
		return
	}
	if src.TopicsPattern != "" {
		src.pattern, _ = regexp.Compile(src.TopicsPattern) // its faults were told
	}
	b.lettersCircle(c, src, b.letters, b.Flow.ErrorHandling.DeadLetter)
	for _, o := range b.outputs {
		if e := o.ErrorHandling; e.DeadLetter.Type != "" || e.DeadLetterTopic != "" {
			b.lettersCircle(c, src, o.letters, e.DeadLetter)
		}
	}
	for _, o := range b.outputs {
		if s, ok := o.sink.(*kafkaSink); ok && sameCluster(src.Brokers, s.Brokers) && src.takes(s.Topic) {
			c.add(o.fault("topic", "%s is a topic that this flow reads: each event would come again without end; write to another topic", s.Topic))
		}
	}
}

// lettersCircle refuses a place for dead letters that the flow reads.
func (b *Blueprint) lettersCircle(c *checker, src *kafkaSource, place letters, named spec.DeadLetter) {
	l, ok := place.(*kafkaLetters)
	if !ok || !sameCluster(src.Brokers, l.Brokers) {
		return
	}
	key := src.key(l.Topic)
	switch {
	case key != "" && named.Type != "":
		c.add(named.Config.Fault("topic",
			"%s is a topic that this flow reads: each dead letter would become another one; name a topic for dead letters alone", l.Topic))
	case key != "":
		c.add(b.Flow.Source.Config.Fault(key, "%s is the topic for this flow's dead letters, each of which would become another one: "+
			"name a topic for dead letters alone in errorHandling.deadLetterTopic", l.Topic))
	case src.matches(l.Topic) && !slices.Contains(src.exclude, l.Topic):
		src.exclude = append(src.exclude, l.Topic)
	}
}

// key is the key under source.config that names the topic, or "".
func (c *kafkaSource) key(topic string) string {
	if topic != "" && c.Topic == topic {
		return "topic"
	}
	if i := slices.Index(c.Topics, topic); i >= 0 {
		return "topics[" + strconv.Itoa(i) + "]"
	}
	return ""
}

// matches reports whether the source's pattern matches the topic.
func (c *kafkaSource) matches(topic string) bool {
	return c.pattern != nil && topic != "" && c.pattern.MatchString(topic)
}

// takes reports whether the source reads the topic.
func (c *kafkaSource) takes(topic string) bool {
	return c.key(topic) != "" || c.matches(topic) && !slices.Contains(c.exclude, topic)
}

// sameCluster reports whether two lists of brokers have one in common. Clusters
// that go by several names are told apart only when a flow runs.
func sameCluster(a, b []string) bool {
	return slices.ContainsFunc(a, func(broker string) bool {
		return slices.ContainsFunc(b, func(other string) bool { return address(broker) == address(other) })
	})
}

// address is a broker's address in one way of writing it.
func address(broker string) string {
	host, port, err := net.SplitHostPort(strings.TrimSpace(broker))
	if err != nil {
		host, port = strings.TrimSpace(broker), "9092"
	}
	if n, err := strconv.Atoi(port); err == nil {
		port = strconv.Itoa(n)
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	if ip := net.ParseIP(host); ip != nil {
		host = ip.String()
	}
	return net.JoinHostPort(host, port)
}

// circlesAmong refuses flows that together read what they write: without a filter
// each event would go round without end, and dead letters that go from one to the
// other and back are never delivered. A flow that reads the dead letters of
// another and writes to its topic is a way to try again, and is let be: what
// never passes is stopped by its count (deadletter.MaxDeaths, maxHops).
func circlesAmong(flows []*Blueprint) config.Errors {
	var faults config.Errors
	for _, c := range []circle{
		{flows, (*Blueprint).passes, "each event would go round without end; write to another topic, or set a filter"},
		{flows, (*Blueprint).buries, "a dead letter would go round and never be delivered; let one of them not read the other's dead letters"},
	} {
		if way := c.find(); way != nil {
			faults = append(faults, c.fault(way))
		}
	}
	return faults
}

// target is a topic of a cluster that a flow writes to.
type target struct {
	topic   string
	brokers []string
}

// passes is where every event of the flow goes that can be delivered.
func (b *Blueprint) passes() target {
	if b.several() || !b.Flow.Filter.IsZero() {
		return target{} // some events may go elsewhere
	}
	if s, ok := b.outputs[0].sink.(*kafkaSink); ok {
		return target{s.Topic, s.Brokers}
	}
	return target{}
}

// buries is where the dead letters of the flow go.
func (b *Blueprint) buries() target {
	if l, ok := b.letters.(*kafkaLetters); ok {
		return target{l.Topic, l.Brokers}
	}
	return target{}
}

// circle looks for flows that write in a circle.
type circle struct {
	flows  []*Blueprint
	writes func(*Blueprint) target
	means  string
}

// find is the flows of the first circle, in the order of writing, or nil.
func (c *circle) find() []*Blueprint {
	done := map[*Blueprint]bool{}
	var way []*Blueprint
	var visit func(*Blueprint) []*Blueprint
	visit = func(b *Blueprint) []*Blueprint {
		if i := slices.Index(way, b); i >= 0 {
			return way[i:]
		}
		if done[b] {
			return nil
		}
		done[b] = true
		way = append(way, b)
		for _, next := range c.readers(b) {
			if found := visit(next); found != nil {
				return found
			}
		}
		way = way[:len(way)-1]
		return nil
	}
	for _, b := range c.flows {
		if found := visit(b); found != nil {
			return found
		}
	}
	return nil
}

// readers are the other flows that read what b writes.
func (c *circle) readers(b *Blueprint) []*Blueprint {
	to := c.writes(b)
	if to.topic == "" {
		return nil
	}
	var all []*Blueprint
	for _, other := range c.flows {
		src, ok := other.source.(*kafkaSource)
		if ok && other != b && src.takes(to.topic) && sameCluster(src.Brokers, to.brokers) {
			all = append(all, other)
		}
	}
	return all
}

// fault is that of the last flow of a circle.
func (c *circle) fault(way []*Blueprint) *config.Error {
	names := make([]string, 0, len(way)+1)
	for _, b := range append(slices.Clone(way), way[0]) {
		names = append(names, b.Name())
	}
	last := way[len(way)-1]
	return last.Flow.Source.Config.Fault("", "the flows %s read what the one before them writes: %s", strings.Join(names, ", "), c.means)
}
