package plan

import (
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// protocolKafka is the protocol of a topic as a place.
const protocolKafka = "kafka"

func (c *kafkaSink) writes() place       { return place{protocolKafka, c.Topic, c.Brokers} }
func (c *deadLetterTopic) writes() place { return place{protocolKafka, c.Topic, c.Brokers} }

func (c *kafkaSource) excluded() []string   { return c.exclude }
func (c *kafkaSource) excludePlace(p place) { c.exclude = append(c.exclude, p.name) }

func (c *kafkaSource) reads(p place) (key string, ok bool) {
	if p.protocol != protocolKafka || p.name == "" || !sameCluster(c.Brokers, p.servers) {
		return "", false
	}
	if c.Topic == p.name {
		return "topic", true
	}
	if i := slices.Index(c.Topics, p.name); i >= 0 {
		return "topics[" + strconv.Itoa(i) + "]", true
	}
	return "", c.matches(p.name) && !slices.Contains(c.exclude, p.name)
}

// matches reports whether the pattern of the source matches the topic. An invalid pattern matches
// nothing; Validate reports it.
func (c *kafkaSource) matches(topic string) bool {
	pattern, err := regexp.Compile(c.TopicsPattern)
	return c.TopicsPattern != "" && err == nil && pattern.MatchString(topic)
}

// sameCluster reports whether two broker lists have a broker in common. It cannot know that
// different names belong to one cluster.
func sameCluster(a, b []string) bool {
	return slices.ContainsFunc(a, func(broker string) bool {
		return slices.ContainsFunc(b, func(other string) bool { return address(broker) == address(other) })
	})
}

// address returns the broker's address in canonical form.
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
