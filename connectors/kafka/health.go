package kafka

import (
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// aspect is one part of the source that can fail.
type aspect int

const (
	aspectConnect aspect = iota // a broker cannot be reached
	aspectProbe                 // the cluster does not answer
	aspectTopics                // a topic is missing or refused
	aspectGroup                 // the group refuses this member
	aspectStart                 // the start positions cannot be found
	aspectCommit                // commits are refused
	aspectSession               // the session was given up and starts over
	aspects
)

// health holds the current error of each aspect. franz-go reports connection and group
// errors to it by hooks.
type health struct {
	mu   sync.Mutex
	errs [aspects]error
}

var (
	_ kgo.HookBrokerConnect    = (*health)(nil)
	_ kgo.HookGroupManageError = (*health)(nil)
)

func (h *health) set(a aspect, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.errs[a] = err
}

// problems returns the current errors as texts. When no broker can be reached, the
// failed probe that follows from it is left out.
func (h *health) problems() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	var all []string
	for a, err := range h.errs {
		if err == nil || aspect(a) == aspectProbe && h.errs[aspectConnect] != nil {
			continue
		}
		all = append(all, err.Error())
	}
	return all
}

// OnBrokerConnect is called by franz-go after every attempt to connect.
func (h *health) OnBrokerConnect(meta kgo.BrokerMetadata, _ time.Duration, _ net.Conn, err error) {
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = fmt.Errorf("%w: the broker closed the connection before it was ready: check tls, and sasl with its credentials", err)
		}
		err = fmt.Errorf("broker %s:%d: %w", meta.Host, meta.Port, explain(err))
	}
	h.set(aspectConnect, err)
}

// OnGroupManageError is called by franz-go when the group refused this member.
func (h *health) OnGroupManageError(err error) {
	h.set(aspectGroup, fmt.Errorf("consumer group: %w", explain(err)))
}

// unreachable reports whether the cluster does not answer or refuses connections.
func (h *health) unreachable() bool {
	return h.get(aspectConnect) != nil || h.get(aspectProbe) != nil
}

func (h *health) get(a aspect) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.errs[a]
}
