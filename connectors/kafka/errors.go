package kafka

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"

	"github.com/lsm/fiso/common/connector"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

// ErrTooLarge is in the chain of the error when the broker, or our own limit, refuses a
// record for its size.
var ErrTooLarge = errors.New("record is too large")

// ErrNoTopic is in the chain of the error when the topic does not exist.
var ErrNoTopic = errors.New("topic does not exist")

// ErrOutcomeUnknown is in the chain of the error when the wait for a record ended
// before the broker's answer.
var ErrOutcomeUnknown = errors.New("the answer was not waited for, and the record may be stored")

// errUndelivered is the error of a record that no broker accepted within the delivery
// timeout.
var errUndelivered = errors.New("no broker took the record")

// permanent are the errors about one record that a retry does not change.
var permanent = []error{
	kerr.MessageTooLarge, kerr.RecordListTooLarge, kerr.InvalidRecord, kerr.CorruptMessage,
	kerr.InvalidTimestamp, kerr.UnsupportedForMessageFormat,
}

// blocked are the errors that say nothing about the record: missing rights, wrong
// credentials, a missing topic or cluster. They never count against the record. An
// unreachable leader of one partition is among them, although other partitions may be
// writable.
var blocked = []error{
	kerr.SaslAuthenticationFailed, kerr.IllegalSaslState, kerr.UnsupportedSaslMechanism,
	kerr.TopicAuthorizationFailed, kerr.GroupAuthorizationFailed, kerr.ClusterAuthorizationFailed,
	kerr.TransactionalIDAuthorizationFailed, kerr.SecurityDisabled,
	kerr.UnknownTopicOrPartition, kerr.UnknownTopicID, kerr.InvalidTopicException, kerr.PolicyViolation, kerr.InvalidConfig,
	kerr.NotEnoughReplicas, kerr.NotEnoughReplicasAfterAppend, kerr.KafkaStorageError,
	kerr.BrokerNotAvailable, kerr.LeaderNotAvailable, kerr.UnsupportedVersion,
	kgo.ErrClientClosed,
}

// classify gives the error of a write to topic its class and its text. Only classify
// decides what a Kafka error means for a record.
func classify(topic string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.MessageTooLarge), errors.Is(err, kerr.RecordListTooLarge):
		return connector.AsPermanent(fmt.Errorf("write to topic %s: %w: raise max.message.bytes of the topic or make the record smaller: %w",
			topic, ErrTooLarge, err))
	case errors.Is(err, ErrTooLarge), errors.Is(err, ErrTooManyHops): // no broker was asked
		return connector.AsUnsendable(fmt.Errorf("write to topic %s: %w", topic, err))
	case errors.Is(err, kerr.UnknownTopicOrPartition), errors.Is(err, ErrNoTopic):
		return connector.AsBlocked(fmt.Errorf("%w: create topic %s, or check its name: %w", ErrNoTopic, topic, err))
	case errors.Is(err, kgo.ErrClientClosed), errors.Is(err, connector.ErrClosed):
		return connector.AsBlocked(fmt.Errorf("write to topic %s: %w", topic, connector.ErrClosed))
	case isAny(err, permanent):
		return connector.AsPermanent(fmt.Errorf("write to topic %s: %w", topic, explain(err)))
	case isAny(err, blocked), unreachable(err):
		return connector.AsBlocked(fmt.Errorf("write to topic %s: %w", topic, explain(err)))
	case brokenConnection(err):
		return connector.AsUnavailable(fmt.Errorf("write to topic %s: %w", topic, err), 0)
	default:
		// Temporary, or interrupted, which its cause says.
		return fmt.Errorf("write to topic %s: %w", topic, err)
	}
}

func isAny(err error, of []error) bool {
	for _, target := range of {
		if errors.Is(err, target) {
			return true
		}
	}
	return false
}

// unreachable reports whether err says that no broker could be reached.
func unreachable(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	if errors.Is(err, errUndelivered) {
		return true
	}
	if _, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok {
		return true
	}
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial" || isTLS(err)
}

// brokenConnection reports whether err says that a connection ended without an answer.
func brokenConnection(err error) bool {
	if errors.Is(err, context.Canceled) {
		return false
	}
	_, ok := errors.AsType[*net.OpError](err)
	return ok || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}

func isTLS(err error) bool {
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return true
	}
	if _, ok := errors.AsType[tls.RecordHeaderError](err); ok {
		return true
	}
	_, ok := errors.AsType[x509.UnknownAuthorityError](err)
	return ok
}

// explain adds a hint on what to do to an error.
func explain(err error) error {
	hint := ""
	switch {
	case err == nil:
		return nil
	case errors.Is(err, kerr.SaslAuthenticationFailed):
		hint = "the broker refused the credentials: check sasl.mechanism, username and password or token"
	case errors.Is(err, kerr.UnsupportedSaslMechanism), errors.Is(err, kerr.IllegalSaslState):
		hint = "the broker does not take this sasl.mechanism"
	case errors.Is(err, kerr.TopicAuthorizationFailed):
		hint = "this user may not use the topic: grant it READ and DESCRIBE, or WRITE for a sink"
	case errors.Is(err, kerr.GroupAuthorizationFailed):
		hint = "this user may not use the group: grant it READ on consumerGroup"
	case errors.Is(err, kerr.InvalidRecord):
		hint = "a compacted topic takes no record without a key, and some brokers check schemas: the broker's log says which"
	case errors.Is(err, kerr.InvalidTimestamp):
		hint = "the record's time is outside message.timestamp.before.max.ms and message.timestamp.after.max.ms of the topic: " +
			"raise them, or date records when they are written"
	case errors.Is(err, kerr.FencedInstanceID):
		hint = "another process runs with the same instanceId"
	case isTLS(err):
		hint = "check tls.caFile and tls.serverName, and that the port is the broker's TLS port"
	default:
		if _, ok := errors.AsType[*kgo.ErrFirstReadEOF](err); ok {
			hint = "the broker closed the connection at the first request: check tls and sasl, one side uses them and the other does not"
		}
	}
	if hint == "" {
		return err
	}
	return fmt.Errorf("%w (%s)", err, hint)
}

// lostMembership are the errors of a commit that mean that this member was expelled or
// joined again meanwhile.
var lostMembership = []error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.FencedInstanceID, kerr.StaleMemberEpoch}

// topicProblem describes why a topic cannot be read. A nil err means that it does not
// exist.
func topicProblem(topic string, err error) error {
	if err == nil || errors.Is(err, kerr.UnknownTopicOrPartition) || errors.Is(err, kerr.UnknownTopicID) {
		return fmt.Errorf("%w: create topic %s, or check its name", ErrNoTopic, topic)
	}
	return fmt.Errorf("topic %s: %w", topic, explain(err))
}
