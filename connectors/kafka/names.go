package kafka

import (
	"errors"
	"fmt"
	"net"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/lsm/fiso/common/config"
)

// topicName is Kafka's rule for topic names, and for the ids of static members.
var topicName = regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`)

const topicRule = "use letters, digits, '.', '_' and '-', 249 at most, and not '.' or '..' alone"

// checkTopic returns a fault of key unless name is a valid topic name.
func checkTopic(key, name string) error {
	switch {
	case strings.TrimSpace(name) == "":
		return config.Fault(key, "a topic's name is empty")
	case !validName(name):
		return config.Fault(key, "%q is not a name of a Kafka topic; %s", name, topicRule)
	}
	return nil
}

func validName(name string) bool { return topicName.MatchString(name) && name != "." && name != ".." }

// checkGroup returns a fault unless name is a valid consumer group whose name is
// readable in logs.
func checkGroup(name string) error {
	const key = "consumerGroup"
	switch {
	case name == "":
		return config.Fault(key, "is required")
	case strings.TrimSpace(name) != name:
		return config.Fault(key, "%q has blanks around it, which would be part of the group's name; remove them", name)
	case strings.ContainsFunc(name, unicode.IsControl):
		return config.Fault(key, "%q has a control character in it; remove it", name)
	}
	return nil
}

// checkBroker accepts host, host:port and [v6]:port. The port defaults to 9092.
func checkBroker(broker string) error {
	broker = strings.TrimSpace(broker)
	switch {
	case broker == "":
		return errors.New("a broker's name is empty; write host:port")
	case strings.Contains(broker, "://"):
		return fmt.Errorf("%q is a URL; write host:port", broker)
	}
	host, port, err := net.SplitHostPort(broker)
	if !strings.Contains(broker, ":") {
		host, port, err = broker, defaultPort, nil
	}
	if err != nil || port == "" || host == "" || strings.ContainsAny(host, " \t\r\n/,") {
		return fmt.Errorf("%q is not an address; write host:port, such as kafka:9092", broker)
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return fmt.Errorf("the port of %q is not a number from 1 to 65535; write host:port, such as kafka:9092", broker)
	}
	return nil
}

const defaultPort = "9092"

// address returns the broker's address with its port.
func address(broker string) string {
	if !strings.Contains(broker, ":") {
		return net.JoinHostPort(broker, defaultPort)
	}
	return broker
}

// brokers returns the brokers' addresses without surrounding blanks.
func (c *ClientConfig) brokers() []string {
	out := make([]string, len(c.Brokers))
	for i, b := range c.Brokers {
		out[i] = strings.TrimSpace(b)
	}
	return out
}
