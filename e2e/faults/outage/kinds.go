package outage

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/lsm/fiso/e2e/faults/internal/harness"
)

// kind is one kind of outage of a sink.
type kind struct {
	name, title string
	// prepare runs before the process starts. It returns the url and further settings of the sink.
	// nil: the address of the sink.
	prepare func(ctx context.Context, s *harness.Env, k *sink) (settings string, err error)
	// begin starts the outage, end ends it.
	begin, end func(ctx context.Context, s *harness.Env, k *sink) error
	// noCallsSeen: no call reaches the sink, so only the tries of the flow are counted.
	noCallsSeen bool
	// connections: connections are counted instead of calls.
	connections bool
	// fullRate: events are produced at the full rate, so more of them wait than two busy cores
	// deliver within the limit. Only the first must arrive in time.
	fullRate bool
	// triesNeverFail: a try may last until the sink is back, so no try fails.
	triesNeverFail bool
	// maxTryTime is how long a try that began before the outage may take.
	maxTryTime time.Duration
	// noticeDelay is the additional time that the flow may take to notice the return.
	noticeDelay time.Duration
}

var kinds = []kind{
	{name: "refused", title: "the sink refuses connections", noCallsSeen: true, begin: stop, end: start},
	{
		name: "name", title: "the sink's name does not resolve", noCallsSeen: true,
		// Go reads /etc/hosts again after 5 s.
		noticeDelay: 5 * time.Second, prepare: ownHosts, begin: removeName, end: addName,
	},
	{name: "expired", title: "the sink's certificate has expired", connections: true, prepare: secure, begin: presentExpired, end: presentGood},
	{name: "authority", title: "the sink's certificate is from an authority that is not trusted", connections: true, prepare: secure,
		begin: presentForeign, end: presentGood},
	{name: "503", title: "the sink answers 503", begin: answers(status(http.StatusServiceUnavailable, "")), end: answers(nil)},
	{name: "429", title: "the sink answers 429", begin: answers(status(http.StatusTooManyRequests, "")), end: answers(nil)},
	{name: "429after", title: "the sink answers 429 with Retry-After: 1", begin: answers(status(http.StatusTooManyRequests, "1")), end: answers(nil)},
	{name: "hangs", title: "the sink does not answer", prepare: shortTimeout, begin: answers(hang), end: endHanging},
	{name: "steady", title: "the sink answers 503, and the backlog is large", fullRate: true, begin: answers(status(http.StatusServiceUnavailable, "")),
		end: answers(nil)},
}

func address(k *sink) string { return "url: 'http://" + k.address + "/'" }

func stop(_ context.Context, _ *harness.Env, k *sink) error {
	k.stop()
	return nil
}

func start(ctx context.Context, _ *harness.Env, k *sink) error { return k.start(ctx) }

func answers(a answer) func(context.Context, *harness.Env, *sink) error {
	return func(_ context.Context, _ *harness.Env, k *sink) error {
		k.answerBy(a)
		return nil
	}
}

func shortTimeout(_ context.Context, _ *harness.Env, k *sink) (string, error) {
	return address(k) + ", timeout: 1s", nil
}

// endHanging closes the connections of hanging calls, like a restart of the application.
func endHanging(ctx context.Context, _ *harness.Env, k *sink) error {
	_ = k.server.Close()
	k.answerBy(nil)
	return k.start(ctx)
}

func secure(ctx context.Context, s *harness.Env, k *sink) (string, error) {
	certs, err := newCertificates()
	if err != nil {
		return "", err
	}
	k.certificates = certs
	ca := filepath.Join(s.Dir(), "authority.pem")
	if err := os.WriteFile(ca, certs.authority, 0o600); err != nil {
		return "", fmt.Errorf("write the authority's certificate: %w", err)
	}
	k.present(certs.good)
	return fmt.Sprintf("url: 'https://%s/', tls: {caFile: %s}", k.address, ca), k.restart(ctx)
}

func presentExpired(ctx context.Context, _ *harness.Env, k *sink) error {
	k.present(k.certificates.expired)
	return k.restart(ctx)
}

func presentForeign(ctx context.Context, _ *harness.Env, k *sink) error {
	k.present(k.certificates.foreign)
	return k.restart(ctx)
}

func presentGood(_ context.Context, _ *harness.Env, k *sink) error {
	k.present(k.certificates.good)
	return nil
}

// sinkName is in no DNS (RFC 2606).
const sinkName = "sink.invalid"

// hosts and lookups return the files that replace those in /etc.
func hosts(s *harness.Env) string   { return filepath.Join(s.Dir(), "hosts") }
func lookups(s *harness.Env) string { return filepath.Join(s.Dir(), "nsswitch.conf") }

// ownHosts gives the process its own /etc/hosts, which is its only source of names.
func ownHosts(ctx context.Context, s *harness.Env, k *sink) (string, error) {
	if err := os.WriteFile(lookups(s), []byte("hosts: files\n"), 0o600); err != nil {
		return "", fmt.Errorf("write nsswitch.conf: %w", err)
	}
	if err := addName(ctx, s, k); err != nil {
		return "", err
	}
	s.Wrapper = []string{
		"unshare", "--user", "--map-root-user", "--mount", "sh", "-c",
		`mount --bind "$0" /etc/hosts && mount --bind "$1" /etc/nsswitch.conf && shift && exec "$@"`, hosts(s), lookups(s),
	}
	try := exec.CommandContext(ctx, s.Wrapper[0], append(s.Wrapper[1:], "true")...)
	if out, err := try.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w: cannot create a mount namespace with its own /etc/hosts: %w: %s", errSkipped, err, strings.TrimSpace(string(out)))
	}
	_, port, _ := strings.Cut(k.address, ":")
	return fmt.Sprintf("url: 'http://%s:%s/'", sinkName, port), nil
}

func addName(_ context.Context, s *harness.Env, _ *sink) error {
	return writeHosts(s, "127.0.0.1 localhost "+sinkName+"\n")
}

func removeName(ctx context.Context, s *harness.Env, k *sink) error {
	if err := writeHosts(s, "127.0.0.1 localhost\n"); err != nil {
		return err
	}
	select { // Go may cache the name this long
	case <-time.After(5 * time.Second):
	case <-ctx.Done():
	}
	return k.restart(ctx) // open connections do not look up the name
}

// writeHosts overwrites the file, because it is mounted.
func writeHosts(s *harness.Env, text string) error {
	if err := os.WriteFile(hosts(s), []byte(text), 0o600); err != nil {
		return fmt.Errorf("write the hosts file: %w", err)
	}
	return nil
}
